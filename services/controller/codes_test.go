package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// TestCodeLoadTimeout: of two workers one does not answer. The load is taken
// back, and the same one succeeds once that worker does.
func TestCodeLoadTimeout(t *testing.T) {
	s := newStack(t)
	s.config.LoadTimeout = 500 * time.Millisecond
	stop := s.controller()
	w1, w2 := bustest.StartWorker(t, s.bus, "w1", "t4"), bustest.StartWorker(t, s.bus, "w2", "t4")
	bustest.Until(t, "both workers are known", func() bool { return len(s.view().Workers) == 2 })
	w2.Script(func(a protocol.Action) *protocol.Result {
		if a.Kind == protocol.LoadModelFromDisk {
			return &protocol.Result{}
		}
		return nil
	})
	m := s.ask("clockwork.load", `{"path":"zoo/a"}`)
	fault := wire.DecodeError(m.Data)
	if codeOf(t, m) != protocol.LoadTimeout || len(fault.Workers) != 1 || fault.Workers[0].Worker != "w2" {
		t.Fatalf("answer %+v", fault)
	}
	bustest.Until(t, "it is taken back", func() bool { return len(w1.Models()) == 0 })
	if v := s.view(); len(v.Models) != 0 {
		t.Errorf("models %+v", v.Models)
	}
	w2.Script(nil)
	stop()
	s.config.LoadTimeout = bustest.Wait
	s.controller()
	s.view() // it leads
	if code := s.load(`{"path":"zoo/a"}`); code != protocol.OK {
		t.Errorf("the same load, now that both answer: %s", code)
	}
}

// TestCodeLoadingClosed: from PROFILING on, for models that are loaded too, and
// over a restart.
func TestCodeLoadingClosed(t *testing.T) {
	s := newStack(t)
	stop := s.controller()
	s.loaded("a")
	closed := func(in protocol.Stage) {
		t.Helper()
		s.awaitStage(in)
		for _, path := range []string{"zoo/a", "zoo/b"} {
			if code := s.load(fmt.Sprintf(`{"path":%q}`, path)); code != protocol.LoadingClosed {
				t.Errorf("%s in %s: %s", path, in, code)
			}
		}
	}
	closed(protocol.Profiling)
	s.activate()
	closed(protocol.Active)
	stop()
	s.controller()
	closed(protocol.Active)
}

// TestTheServiceCountsWhatItRefuses as far as its library lets it: at once.
func TestTheServiceCountsWhatItRefuses(t *testing.T) {
	s := newStack(t)
	s.controller()
	s.awaitStage(protocol.Querying)
	if code := s.load(`{"path":"` + strings.Repeat("x", maxLoad) + `"}`); code != protocol.PayloadTooLarge {
		t.Errorf("a load of more than %d bytes: %s", maxLoad, code)
	}
	if code := s.load(`{"path":`); code != protocol.BadMessage {
		t.Errorf("half a load: %s", code)
	}
	if stats := string(s.ask("$SRV.STATS.clockwork", "").Data); !strings.Contains(stats, `"num_errors":2`) {
		t.Errorf("the service says %s", stats)
	}
}

// TestCodeModelTooLargeForTheStore: a model whose inputs do not fit into a value of the store
// is refused for good, not as if the store were away; the next load is none the worse.
func TestCodeModelTooLargeForTheStore(t *testing.T) {
	s := newStack(t)
	s.controller()
	w := bustest.StartWorker(t, s.bus, "w1", "t4")
	s.awaitStage(protocol.AwaitingModels)
	w.Script(func(a protocol.Action) *protocol.Result {
		if a.Kind != protocol.LoadModelFromDisk || a.Load.Path != "zoo/wide" {
			return nil
		}
		m := bustest.Spec(a.Load.Names[0], a.Load.Path)
		for i := range 10_000 {
			m.Inputs = append(m.Inputs, protocol.TensorSpec{Name: fmt.Sprintf("%0100d", i), Datatype: protocol.FP32, Shape: []int64{2}})
		}
		return &protocol.Result{Kind: a.Kind, Code: protocol.OK, Loaded: []protocol.ModelSpec{m}}
	})
	m := s.ask("clockwork.load", `{"path":"zoo/wide"}`)
	fault := wire.DecodeError(m.Data)
	if codeOf(t, m) != protocol.ModelTooLarge || fault.Got <= fault.Limit || !strings.Contains(fault.Message, "10001 inputs") {
		t.Errorf("answer %+v", fault)
	}
	if code := s.load(`{"path":"zoo/a"}`); code != protocol.OK {
		t.Errorf("the next load: %s", code)
	}
}
