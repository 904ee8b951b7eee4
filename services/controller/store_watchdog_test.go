package controller

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/testkit/logtext"
)

// loseStore has the broker forget everything, once the leading controller has made all of it:
// each bucket takes a write.
func (s *stack) loseStore() {
	s.t.Helper()
	for _, name := range []string{"state", "profile", "epoch", "lease", "worker", "device", "health"} {
		bustest.Until(s.t, name+" is made", func() bool {
			kv, err := s.bus.JS.KeyValue(s.t.Context(), "clockwork_"+name)
			return err == nil && kv.Delete(s.t.Context(), "nothing") == nil
		})
	}
	bustest.LoseStore(s.t, s.server)
}

func (s *stack) awaitStored(stage protocol.Stage, models int) {
	s.t.Helper()
	bustest.Until(s.t, "the store holds "+stage.String(), func() bool {
		read, err := s.state.Read(s.t.Context())
		return err == nil && read.Stage == stage && len(read.Models) == models && len(read.Torn) == 0
	})
}

// TestG12ALostStoreIsWrittenAgain by the controller that lives: what it serves
// goes on, requests may wait for a scheduler again, one warning says what is at
// stake, and a controller that restarts goes on in ACTIVE.
func TestG12ALostStoreIsWrittenAgain(t *testing.T) {
	s := newStack(t)
	log := &logtext.Buffer{}
	s.log = slog.New(slog.NewTextHandler(log, nil))
	stop := s.controller()
	s.infer("a", jsonInfer) // so that numbers in the buffer begin anew later
	bustest.StartWorker(t, s.bus, "w1", "t4")
	s.awaitStage(protocol.AwaitingModels)
	if code := s.load(`{"path":"zoo/a","copies":2}`); code != protocol.OK {
		t.Fatal(code)
	}
	if code := s.load(`{"path":"zoo/a"}`); code != protocol.OK {
		t.Fatal(code)
	}
	scheduler := s.activate()
	s.output(bustest.Next(t, "the request that waited", s.submit), raw)

	s.loseStore()
	replies := s.infer("a", jsonInfer)
	s.output(bustest.Next(t, "a submission without a store", s.submit), raw)
	if code := codeOf(t, bustest.Next(t, "the reply", replies)); code != protocol.OK {
		t.Errorf("without a store: %s", code)
	}
	s.awaitStored(protocol.Active, 3)
	if n := strings.Count(log.String(), "level=WARN msg=\"the state store was lost"); n != 1 {
		t.Errorf("%d warnings of the lost store", n)
	}

	stop()
	scheduler.Set(protocol.Standby, 0)
	s.controller()
	v := s.view()
	if v.Stage != protocol.Active || len(v.Models) != 3 || v.Models[0].Quarantined != "" || len(v.Models[0].Profile) != 1 {
		t.Errorf("after a restart: stage %s, models %+v", v.Stage, v.Models)
	}
	s.awaitScheduler(protocol.Standby)
	replies = s.infer("a", jsonInfer)
	bustest.Until(t, "the request is stored", func() bool { return s.view().Buffered == 1 })
	scheduler.Set(protocol.SchedulerActive, 2)
	s.output(bustest.Next(t, "the request from the new buffer", s.submit), raw)
	if code := codeOf(t, bustest.Next(t, "its reply", replies)); code != protocol.OK {
		t.Errorf("from the new buffer: %s", code)
	}
}

// TestAStoreThatIsLostWhileLoadingTakesLoadsAgain, and the stage moves on.
func TestAStoreThatIsLostWhileLoadingTakesLoadsAgain(t *testing.T) {
	s := newStack(t)
	s.controller()
	bustest.StartWorker(t, s.bus, "w1", "t4")
	s.awaitStage(protocol.AwaitingModels)
	s.loseStore()
	s.awaitStored(protocol.AwaitingModels, 0)
	if code := s.load(`{"path":"zoo/a"}`); code != protocol.OK {
		t.Fatal(code)
	}
	s.activate()
	s.awaitStored(protocol.Active, 1)
	// The front door heard of the model through a watch of the new bucket.
	replies := s.infer("a", jsonInfer)
	s.output(bustest.Next(t, "the submission", s.submit), raw)
	if code := codeOf(t, bustest.Next(t, "the reply", replies)); code != protocol.OK {
		t.Error(code)
	}
}

// TestALostStoreLeavesALeader: the leases are lost with the rest, so who stood by
// may take the lead, from an empty store. It must find its way all the same.
func TestALostStoreLeavesALeader(t *testing.T) {
	s, _ := serving(t)
	s.controller()
	s.loseStore()
	bustest.Until(t, "the store holds the model again", func() bool {
		read, err := s.state.Read(t.Context())
		return err == nil && len(read.Models) == 1 && len(read.Torn) == 0
	})
	bustest.Until(t, "a leader shows it", func() bool { return len(s.view().Models) == 1 })
}

// TestALostStoreIsMadeAgainHoweverLateThatIsSeen: by then the lease could not be renewed for
// longer than it lives, so that the store counts as one that takes no writes.
func TestALostStoreIsMadeAgainHoweverLateThatIsSeen(t *testing.T) {
	t.Parallel() // it waits until the lease is over
	s := newStack(t)
	s.config.StoreCheckEvery = liveness.RenewEvery + liveness.LeaseTTL + 500*time.Millisecond
	s.controller()
	s.awaitStage(protocol.Querying)
	s.loseStore()
	bustest.Until(t, "the controller has its lease again", func() bool {
		holder, err := s.bus.JS.KeyValue(t.Context(), "clockwork_lease")
		if err != nil {
			return false
		}
		_, err = holder.Get(t.Context(), "controller")
		return err == nil
	})
}

// Each stream may be lost alone, for as long as it takes to be noticed: it is made again, what
// was in it is written again, and models can be loaded.
func TestEachStreamMayBeLostAlone(t *testing.T) {
	for _, name := range []string{"KV_clockwork_state", "KV_clockwork_profile", "KV_clockwork_epoch", "KV_clockwork_lease", "clockwork_buffer"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			s.config.LoadIdle = time.Minute // the stage stays LOADING
			s.controller()
			bustest.StartWorker(t, s.bus, "w1", "t4")
			s.awaitStage(protocol.AwaitingModels)
			bustest.Until(t, "it is there, and lost", func() bool { return s.bus.JS.DeleteStream(t.Context(), name) == nil })
			bustest.Until(t, "it is there again", func() bool {
				_, err := s.bus.JS.Stream(t.Context(), name)
				return err == nil
			})
			bustest.Until(t, "a model can be loaded", func() bool { return s.load(`{"path":"zoo/a"}`) == protocol.OK })
			s.awaitStored(protocol.Loading, 1)
			if fault := s.view().StoreFault; fault != "" {
				t.Error(fault)
			}
		})
	}
}
