package controller

import (
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// listener is the scheduler's ear: it counts how often it is told of each worker,
// and confirms with the epoch that answer says, 0 for not at all.
type listener struct {
	mu     sync.Mutex
	times  map[string]int
	answer func(worker string, time int) (epoch uint64)
}

func (s *stack) listener(answer func(worker string, time int) uint64) *listener {
	s.t.Helper()
	l := &listener{times: map[string]int{}, answer: answer}
	joins := wire.NewChunks(wire.Join)
	s.on(s.bus.Subjects.SchedulerJoin(), func(m *nats.Msg) {
		w, whole, fault := joins.Add(m.Data)
		if fault != nil || !whole {
			s.t.Errorf("join: %v, %v", whole, fault)
			return
		}
		l.mu.Lock()
		l.times[w.ID]++
		epoch := l.answer(w.ID, l.times[w.ID])
		l.mu.Unlock()
		if epoch == 0 {
			return
		}
		if err := m.Respond(wire.Heartbeat.Encode(&protocol.Heartbeat{Epoch: epoch})); err != nil {
			s.t.Error(err)
		}
	})
	return l
}

func (l *listener) told(worker string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.times[worker]
}

// TestAnAnnouncedWorkerIsToldOfUntilConfirmed by the epoch that serves: a deposed scheduler
// confirms first. The scripts of pkg/core/startup (joining_again) have the rest.
func TestAnAnnouncedWorkerIsToldOfUntilConfirmed(t *testing.T) {
	s := newStack(t)
	s.controller()
	s.loaded("a")
	s.activate().set(protocol.SchedulerActive, 7)
	bustest.Until(t, "epoch 7 is active", func() bool { v := s.view(); return v.Stage == protocol.Active && v.Epoch == 7 })
	l := s.listener(func(_ string, time int) uint64 { return uint64(5 + time) }) // 6, then 7
	bustest.StartWorker(t, s.bus, "w2", "t4")
	bustest.Until(t, "it is told of until the active scheduler has it", func() bool { return l.told("w2") == 2 })
}
