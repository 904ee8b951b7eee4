package controller

import (
	"log/slog"
	"strings"
	"testing"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/testkit/logtext"
)

// spoil writes what is no value of ours over keys of the state.
func (s *stack) spoil(keys ...string) {
	s.t.Helper()
	kv, err := s.bus.JS.KeyValue(s.t.Context(), "clockwork_state")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, key := range keys {
		if _, err := kv.Put(s.t.Context(), key, []byte("spoiled {")); err != nil {
			s.t.Fatal(err)
		}
	}
}

// unspoiled waits until the store can be read.
func (s *stack) unspoiled() {
	s.t.Helper()
	bustest.Until(s.t, "everything can be read again", func() bool {
		broken, _, err := s.state.Unreadable(s.t.Context(), 0)
		return err == nil && len(broken) == 0
	})
}

var spoiled = []string{"stage", "model.a", "model.never", "worker.w1", "profile.no.one", "quarantine.a"}

// TestStateThatCannotBeReadIsReplaced by the controller that leads, from its memory.
func TestStateThatCannotBeReadIsReplaced(t *testing.T) {
	s, _ := serving(t)
	s.spoil(spoiled...)
	s.unspoiled()
	s.awaitStored(protocol.Active, 1)
	if got := s.view(); got.Stage != protocol.Active || len(got.Models) != 1 {
		t.Errorf("it shows %v with %d models", got.Stage, len(got.Models))
	}
}

// TestAControllerStartsWhateverIsStored: it goes on from the last values that could be
// read, and says so once.
func TestAControllerStartsWhateverIsStored(t *testing.T) {
	s := newStack(t)
	log := &logtext.Buffer{}
	s.log = slog.New(slog.NewTextHandler(log, nil))
	stop := s.controller()
	bustest.StartWorker(t, s.bus, "w1", "t4")
	s.awaitStage(protocol.AwaitingModels)
	if code := s.load(`{"path":"zoo/a"}`); code != protocol.OK {
		t.Fatal(code)
	}
	s.activate()
	s.awaitStored(protocol.Active, 1)
	stop()
	s.spoil(spoiled...)
	s.spoil("stage", "model.a") // twice
	s.controller()
	s.awaitStored(protocol.Active, 1)
	s.unspoiled()
	bustest.Until(t, "a leader shows it", func() bool { return len(s.view().Models) == 1 })
	if n := strings.Count(log.String(), "were repaired"); n != 1 {
		t.Errorf("it said %d times what it repaired", n)
	}
	if n := strings.Count(log.String(), "state not read"); n > 0 {
		t.Errorf("it could not read the state %d times", n)
	}
}

// TestAStageThatNobodyCanReadBeginsAnew, as one that was lost does.
func TestAStageThatNobodyCanReadBeginsAnew(t *testing.T) {
	s := newStack(t)
	s.spoil("stage", "model.a")
	s.controller()
	bustest.StartWorker(t, s.bus, "w1", "t4")
	s.awaitStored(protocol.AwaitingModels, 0)
}
