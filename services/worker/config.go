package worker

import (
	"fmt"
	"time"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// Config is the configuration of a worker.
type Config struct {
	// Name is the worker's name, unique in the stack: the worker holds the lease
	// worker.<Name>.
	Name string
	// Inventory lists the devices of the worker's host. The worker takes GPUs of
	// them, by a lease of its own (bus.DeviceUser). Inventory is empty for a backend
	// that needs no devices; GPUs is then ignored.
	Inventory backend.Inventory
	GPUs      int
	// Open opens the backend on the worker's devices. It is called once, when the
	// worker holds its name, and may take seconds.
	Open func(devices []string) (backend.Backend, error)
	// GenerateInputs: requests without inputs run on generated inputs; otherwise
	// they are answered INVALID_INPUT.
	GenerateInputs bool
	// Ahead bounds how far in the future an action may start; later ones are
	// answered TOO_EARLY.
	Ahead time.Duration
	// MaxQueued bounds the waiting actions per lane.
	MaxQueued int
	// MaxInputBytes and MaxInputs bound the inputs that wait for their action,
	// InputWait how long each waits.
	MaxInputBytes int64
	MaxInputs     int
	InputWait     time.Duration
	// Observers see what the core is given and what it wants done, under the lock; they
	// must not block.
	Observers work.Observers
	// Telemetry is the hub that receives the worker's results; nil for none.
	Telemetry *watch.Hub
	// Overdue says when an execution or a transfer counts as hung: the worker ends the
	// executor of its GPU.
	Overdue work.Overdue
	// RestartWithin is how long the executor after one that ended may take to be ready, default
	// 15 s; then it is ended, and another started, which has longer. 0 for any time.
	RestartWithin time.Duration
	// NameWait is how long the name or a device may stay held before its holder counts as
	// alive: the lease of a killed worker outlives it by seconds.
	NameWait time.Duration
	// Finish bounds the time for the remaining actions of a stopping worker; the
	// rest is answered SHUTTING_DOWN.
	Finish time.Duration
	// MaxModels bounds the models in host memory, including copies.
	MaxModels int
}

// DefaultConfig returns the defaults for a worker with this name.
func DefaultConfig(name string, open func(devices []string) (backend.Backend, error)) Config {
	return Config{
		Name:          name,
		Open:          open,
		Ahead:         time.Minute,
		MaxQueued:     4096,
		MaxInputBytes: 1 << 30,
		MaxInputs:     65536,
		InputWait:     time.Minute,
		Overdue:       work.DefaultOverdue(),
		RestartWithin: work.Defaults().RestartWithin,
		NameWait:      6 * time.Second,
		Finish:        5 * time.Second,
		MaxModels:     65536,
	}
}

// Validate returns an error that names the first invalid field.
func (c Config) Validate() error {
	switch {
	case !protocol.ValidName(c.Name):
		return fmt.Errorf("worker name %q is not 1 to %d of [a-z0-9_-]", c.Name, protocol.MaxName)
	case c.Open == nil:
		return fmt.Errorf("worker %s has no backend", c.Name)
	case c.Ahead <= 0 || c.InputWait <= 0 || c.NameWait <= 0 || c.Finish <= 0:
		return fmt.Errorf("ahead is %v, input-wait %v, name-wait %v, finish %v; all must be positive", c.Ahead, c.InputWait, c.NameWait, c.Finish)
	case c.RestartWithin < 0:
		return fmt.Errorf("restart-within is %v; it must be 0 or positive", c.RestartWithin)
	case !(c.Overdue.Factor >= 0 && c.Overdue.Factor <= 1e6) || c.Overdue.Floor < 0 || c.Overdue.Unmeasured < 0:
		return fmt.Errorf("what is overdue: factor %v, floor %v, unmeasured %v; all must be 0 or positive, the factor at most a million",
			c.Overdue.Factor, c.Overdue.Floor, c.Overdue.Unmeasured)
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
