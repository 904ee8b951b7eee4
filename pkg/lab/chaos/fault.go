package chaos

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"clockwork/pkg/adapter/clock"
)

// Fault is a kind of fault.
type Fault uint8

const (
	// Kill kills the process (SIGKILL) for good.
	Kill Fault = iota + 1
	// Restart kills the process and starts it again when the fault ends.
	Restart
	// Pause stops the process (SIGSTOP) for the duration of the fault.
	Pause
	// Slow stops the process half of the time.
	Slow
	// Partition delays all its incoming and outgoing data until the fault ends.
	Partition
	// Stop terminates the process (SIGTERM), as an operator would.
	Stop
	// Step sets a worker's clock ahead by one second for the duration of the fault.
	Step
)

var faultNames = map[Fault]string{Kill: "kill", Restart: "restart", Pause: "pause", Slow: "slow", Partition: "partition", Stop: "stop", Step: "step"}

func (f Fault) String() string { return faultNames[f] }

// FaultNames lists the names that FaultOf accepts.
func FaultNames() []string {
	var names []string
	for f := Kill; f <= Step; f++ {
		names = append(names, f.String())
	}
	return names
}

// FaultOf returns the fault with this name.
func FaultOf(name string) (Fault, error) {
	for f, n := range faultNames {
		if n == name {
			return f, nil
		}
	}
	return 0, fmt.Errorf("no fault is called %q (%s)", name, strings.Join(FaultNames(), ", "))
}

// slice is how long a slowed process is stopped, and then runs, each time.
const slice = 20 * time.Millisecond

// grace is how long a process may take to end after SIGTERM.
const grace = 30 * time.Second

// Inflict injects a fault of this length into a service. It returns when the
// fault is over.
func (s *Service) Inflict(ctx context.Context, f Fault, length time.Duration) error {
	switch f {
	case Kill:
		s.Process.Kill()
		return nil
	case Restart:
		s.Process.Kill()
		clock.Pause(ctx, length)
		return s.start()
	case Pause:
		if err := s.Process.Signal(syscall.SIGSTOP); err != nil {
			return fmt.Errorf("pause %s: %w", s.Name, err)
		}
		clock.Pause(ctx, length)
		return s.Process.Signal(syscall.SIGCONT)
	case Slow:
		return s.slow(ctx, length)
	case Partition:
		if s.Proxy == nil {
			return fmt.Errorf("partition %s: it is the broker that others reach by a network", s.Name)
		}
		s.Proxy.Cut()
		clock.Pause(ctx, length)
		s.Proxy.Heal()
		return nil
	case Step:
		return s.step(ctx, length)
	case Stop:
		code, err := s.Process.Terminate(grace)
		if err == nil && code != 0 {
			err = fmt.Errorf("stop %s: it ended with code %d", s.Name, code)
		}
		return err
	}
	return fmt.Errorf("inflict %d: no such fault", f)
}

// clockStep is how far a worker's clock is stepped ahead.
const clockStep = time.Second

func (s *Service) step(ctx context.Context, length time.Duration) error {
	if s.kind != "worker" {
		return fmt.Errorf("step %s: only the clocks of workers are stepped", s.Name)
	}
	for range 2 { // ahead, and back
		if err := s.Process.Signal(syscall.SIGUSR1); err != nil {
			return fmt.Errorf("step the clock of %s: %w", s.Name, err)
		}
		clock.Pause(ctx, length)
		length = 0
	}
	return nil
}

func (s *Service) slow(ctx context.Context, length time.Duration) error {
	for end := time.Now().Add(length); time.Now().Before(end) && ctx.Err() == nil; {
		for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
			if err := s.Process.Signal(signal); err != nil {
				return fmt.Errorf("slow %s: %w", s.Name, err)
			}
			time.Sleep(slice)
		}
	}
	return nil
}
