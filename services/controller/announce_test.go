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

// quiet waits until one worker was told of twice more, and another one not at all
// meanwhile.
func (l *listener) quiet(t *testing.T, about, during string) {
	t.Helper()
	last, since := l.told(about), l.told(during)
	bustest.Until(t, "no more is told of "+about, func() bool {
		if n := l.told(about); n != last {
			last, since = n, l.told(during)
		}
		return l.told(during) >= since+2
	})
}

// TestAnAnnouncedWorkerIsToldOfUntilConfirmed: the message is lost at first, then
// confirmed by a deposed scheduler, then by the active one. Of a worker that is
// gone nothing more is told.
func TestAnAnnouncedWorkerIsToldOfUntilConfirmed(t *testing.T) {
	s := newStack(t)
	s.controller()
	s.loaded("a")
	s.activate().set(protocol.SchedulerActive, 7)
	bustest.Until(t, "epoch 7 is active", func() bool { v := s.view(); return v.Stage == protocol.Active && v.Epoch == 7 })
	l := s.listener(func(worker string, time int) uint64 {
		switch {
		case worker != "w2" || time == 1:
			return 0
		case time == 2:
			return 6
		}
		return 7
	})
	bustest.StartWorker(t, s.bus, "w2", "t4")
	bustest.Until(t, "it is told of until the active scheduler has it", func() bool { return l.told("w2") >= 3 })
	w3 := bustest.StartWorker(t, s.bus, "w3", "t4")
	l.quiet(t, "w2", "w3")
	w3.Stop()
	bustest.StartWorker(t, s.bus, "w4", "t4")
	bustest.Until(t, "w4 is told of", func() bool { return l.told("w4") > 0 })
	l.quiet(t, "w3", "w4")
}
