package chaos

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"clockwork/pkg/adapter/clock"
)

// Fault is something that befalls a service.
type Fault uint8

const (
	// Kill ends its process without warning (SIGKILL); nobody starts it again.
	Kill Fault = iota + 1
	// Restart kills it, and starts it again when the fault ends.
	Restart
	// Pause stops its process (SIGSTOP) for as long as the fault lasts.
	Pause
	// Slow stops it half of the time.
	Slow
	// Partition keeps all that it sends and is sent for as long as the fault
	// lasts.
	Partition
	// Stop asks it to end (SIGTERM): no fault, but as an operator does it.
	Stop
	// Step has a worker's clock a second ahead for as long as the fault lasts.
	Step
)

var faultNames = map[Fault]string{Kill: "kill", Restart: "restart", Pause: "pause", Slow: "slow", Partition: "partition", Stop: "stop", Step: "step"}

func (f Fault) String() string { return faultNames[f] }

// FaultNames lists them as FaultOf takes them.
func FaultNames() []string {
	var names []string
	for f := Kill; f <= Step; f++ {
		names = append(names, f.String())
	}
	return names
}

// FaultOf finds a fault by its name.
func FaultOf(name string) (Fault, error) {
	for f, n := range faultNames {
		if n == name {
			return f, nil
		}
	}
	return 0, fmt.Errorf("no fault is called %q (%s)", name, strings.Join(FaultNames(), ", "))
}

// slice is how long a slow service is stopped at a time, and runs.
const slice = 20 * time.Millisecond

// grace is how long a service may take to end when it is asked to.
const grace = 30 * time.Second

// Inflict has a fault befall a service for so long. It returns when the fault
// is over.
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

// clockStep is how far ahead a worker's clock is stepped.
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
