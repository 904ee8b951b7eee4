package bustest

import (
	"sync"
	"testing"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
)

// Scheduler is a scheduler as other services see it: its heartbeat. It decides nothing.
type Scheduler struct {
	heartbeats *bus.Heartbeater
	stop       func()

	mu    sync.Mutex // guards everything below
	state protocol.ServiceState
	epoch uint64
}

// StartScheduler starts heartbeats, until Stop or the end of the test. led is called with the
// epoch before each heartbeat that says it is active.
func StartScheduler(t testing.TB, b *bus.Bus, id string, state protocol.ServiceState, epoch uint64, led func(epoch uint64)) *Scheduler {
	s := &Scheduler{state: state, epoch: epoch}
	s.heartbeats = b.StartHeartbeats(protocol.Scheduler, id, func() protocol.Heartbeat {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.state == protocol.SchedulerActive {
			led(s.epoch)
		}
		return protocol.Heartbeat{Incarnation: 1, Epoch: s.epoch, State: s.state}
	})
	s.stop = sync.OnceFunc(s.heartbeats.Stop)
	t.Cleanup(func() { s.Set(protocol.Standby, 0); s.Stop() })
	return s
}

// Set changes what the heartbeats say, at once.
func (s *Scheduler) Set(state protocol.ServiceState, epoch uint64) {
	s.mu.Lock()
	s.state, s.epoch = state, epoch
	s.mu.Unlock()
	s.heartbeats.Now()
}

// Stop ends the heartbeats.
func (s *Scheduler) Stop() { s.stop() }
