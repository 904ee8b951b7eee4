package worker

import (
	"fmt"
	"time"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// Config is everything that can be set of a worker.
type Config struct {
	// Name is the worker's name, unique in the stack: it holds the lease
	// worker.<Name> while it lives.
	Name string
	// Inventory is what the worker's host has; of its devices the worker takes GPUs
	// for itself, each by the lease gpu.<host>.<device>. It is empty for a backend
	// that needs nothing of the host, and GPUs is then of no meaning.
	Inventory backend.Inventory
	GPUs      int
	// Open opens the backend on the devices that were taken. It is called once,
	// when the worker has its name, and may take seconds.
	Open func(devices []string) (backend.Backend, error)
	// GenerateInputs: requests without inputs run on generated ones; else they
	// are answered INVALID_INPUT.
	GenerateInputs bool
	// Ahead is how far in the future an action may begin; further ones are
	// answered TOO_EARLY.
	Ahead time.Duration
	// MaxQueued bounds the actions that wait for one lane of one GPU.
	MaxQueued int
	// MaxInputBytes and MaxInputs bound the inputs that wait for their action;
	// InputWait is how long one is kept.
	MaxInputBytes int64
	MaxInputs     int
	InputWait     time.Duration
	// Telemetry hears of the results that the worker gives; nil is nobody.
	Telemetry *watch.Hub
	// Finish is how long the actions that a worker has may take when it is told
	// to stop; the rest is answered SHUTTING_DOWN.
	Finish time.Duration
	// MaxModels bounds the models in host memory, copies counted.
	MaxModels int
}

// DefaultConfig returns the defaults for a worker of this name.
func DefaultConfig(name string, open func(devices []string) (backend.Backend, error)) Config {
	return Config{
		Name:          name,
		Open:          open,
		Ahead:         time.Minute,
		MaxQueued:     4096,
		MaxInputBytes: 1 << 30,
		MaxInputs:     65536,
		InputWait:     time.Minute,
		Finish:        5 * time.Second,
		MaxModels:     65536,
	}
}

// Validate names the first field that makes no sense.
func (c Config) Validate() error {
	switch {
	case !protocol.ValidName(c.Name):
		return fmt.Errorf("worker name %q is not 1 to %d of [a-z0-9_-]", c.Name, protocol.MaxName)
	case c.Open == nil:
		return fmt.Errorf("worker %s has no backend", c.Name)
	case c.Ahead <= 0 || c.InputWait <= 0 || c.Finish <= 0:
		return fmt.Errorf("ahead is %v, input-wait %v, finish %v; all must be positive", c.Ahead, c.InputWait, c.Finish)
	case c.MaxQueued < 1 || c.MaxInputs < 1 || c.MaxInputBytes < 1 || c.MaxModels < 1:
		return fmt.Errorf("limits of actions, inputs and models must be positive")
	}
	return c.validateDevices()
}

func (c Config) validateDevices() error {
	if len(c.Inventory.Devices) == 0 {
		return nil
	}
	for _, name := range append([]string{c.Inventory.Host}, c.Inventory.Devices...) {
		if !protocol.ValidName(name) {
			return fmt.Errorf("a host or device of worker %s is called %q, which is no name", c.Name, name)
		}
	}
	if n := len(c.Inventory.Devices); c.GPUs < 1 || c.GPUs > n {
		return fmt.Errorf("worker %s is to have %d GPUs, and its host has devices for %d", c.Name, c.GPUs, n)
	}
	return nil
}
