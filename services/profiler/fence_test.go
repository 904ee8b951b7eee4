package profiler

import (
	"testing"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
)

// TestG7AFormerProfilerStoresNothing: it does not know yet that another one measures. What
// it has measured so far is less than what the other one stored, and must not replace it.
func TestG7AFormerProfilerStoresNothing(t *testing.T) {
	b := newBench(t)
	w := bustest.StartWorker(t, b.bus, "w1", "t4")
	held := make(chan protocol.Action, 100)
	goOn := make(chan struct{})
	w.Script(func(a protocol.Action) *protocol.Result {
		if a.Kind == protocol.LoadWeights {
			select {
			case held <- a:
			default:
			}
			<-goOn
		}
		return nil
	})
	b.profiler()
	b.give(specs(1), w)
	bustest.Next(t, "a measurement that takes long", held)
	later, _ := bustest.Succeed(t, b.bus, protocol.Profiler)
	model := specs(1)[0]
	whole := protocol.Profile{Digest: model.Digest, GPUType: "t4", Backend: model.Backend, BackendVersion: model.BackendVersion}
	whole.LoadWeights.Samples = 99
	if err := later.PutProfile(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	b.awaitBeat(func(h protocol.Heartbeat) bool { return h.State == protocol.Standby })
	if p, found, err := later.Profile(t.Context(), whole); err != nil || !found || p.LoadWeights.Samples != 99 {
		t.Errorf("stored is %+v, %v, %v", p, found, err)
	}
	for _, a := range w.Received(protocol.LoadWeights) {
		if a.Leader.Service != protocol.Profiler || a.Leader.Term == 0 || a.Leader.Term >= later.Term() {
			t.Errorf("sent in the name of %+v, the later term is %d", a.Leader, later.Term())
		}
	}
}
