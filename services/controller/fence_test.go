package controller

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
)

// answered reports whether a controller answers.
func (s *stack) answered() bool {
	_, err := s.client.Request("clockwork.ls", nil, time.Second)
	return err == nil
}

// TestG7AFormerControllerAcceptsNoLoad: it does not know yet that another one leads. What it
// accepted, nobody would profile or serve.
func TestG7AFormerControllerAcceptsNoLoad(t *testing.T) {
	for what, body := range map[string]string{"a new model": `{"path":"zoo/b"}`, "a model that is loaded": `{"path":"zoo/a"}`} {
		t.Run(what, func(t *testing.T) {
			s := newStack(t)
			s.config.LoadIdle = bustest.Wait        // it stays in LOADING
			s.config.StoreCheckEvery = bustest.Wait // it is told by what it writes
			s.controller()
			s.loaded("a")
			later, release := bustest.Succeed(t, s.bus, protocol.Controller)
			if code := s.load(body); code == protocol.OK {
				t.Error("the former controller answers OK")
			}
			if read, err := later.Recall(t.Context()); err != nil || len(read.Models) != 1 {
				t.Errorf("the store holds %+v, %v", read.Models, err)
			}
			release() // the former controller leads again, from what is stored
			bustest.Until(t, "it takes loads", func() bool { return s.answered() && s.load(`{"path":"zoo/c"}`) == protocol.OK })
			if v := s.view(); len(v.Models) < 2 {
				t.Errorf("it serves %+v", v.Models)
			}
			if read, err := s.state.Read(t.Context()); err != nil || len(read.Models) != len(s.view().Models) || len(read.Torn) > 0 {
				t.Errorf("stored are %+v, torn %v, %v", read.Models, read.Torn, err)
			}
		})
	}
}

// TestG7AFormerControllerMovesNoStage: its countdown ends while another one leads.
func TestG7AFormerControllerMovesNoStage(t *testing.T) {
	s := newStack(t)
	s.config.StoreCheckEvery = bustest.Wait // it is told by what it writes
	s.controller()
	s.loaded("a")
	later, _ := bustest.Succeed(t, s.bus, protocol.Controller)
	read, err := later.Recall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bustest.Until(t, "the former controller has ended", func() bool { return !s.answered() })
	if again, err := later.Recall(t.Context()); err != nil || again.Stage != read.Stage || again.Revision != read.Revision {
		t.Errorf("stage %s became %s, %v", read.Stage, again.Stage, err)
	}
}

// TestG7AControllerThatMissedAnotherBeginsAnew: another one led and is gone before this one
// noticed, so that nobody holds the lease. It takes it again, but not with what it remembers.
func TestG7AControllerThatMissedAnotherBeginsAnew(t *testing.T) {
	s := newStack(t)
	s.config.LoadIdle = bustest.Wait
	s.controller()
	w := s.loaded("a")
	later, release := bustest.Succeed(t, s.bus, protocol.Controller)
	model := bustest.Spec("b", "zoo/b")
	w.Hold(model)
	if err := later.PutModel(t.Context(), model); err != nil {
		t.Fatal(err)
	}
	release()
	bustest.Until(t, "it knows what the other one stored", func() bool { return len(s.view().Models) == 2 })
}
