package work

import (
	"testing"

	"clockwork/pkg/protocol"
)

func smallWorker() *Worker {
	c := Defaults()
	c.Name, c.Incarnation, c.GPUs = "w", 1, []GPU{{Type: "t", Pages: 8, PageSize: 1}}
	return New(c)
}

// codes gives a worker an action at once and returns what it is answered in that step.
func codes(w *Worker, a protocol.Action) (codes []protocol.Code) {
	a.Latest = protocol.Never
	out := w.Step(1, &Received{Action: a})
	for _, r := range append(out.Results, out.Again...) {
		codes = append(codes, r.Code)
	}
	return codes
}

// An action of epoch 0 comes from the controller or the profiler. It may look and load
// from disk whatever the epoch, but a GPU obeys the newest scheduler alone: an
// emulation that this core replaced refused the former as well.
func TestAnActionWithoutEpochIsFencedOnGPUsAlone(t *testing.T) {
	w := smallWorker()
	for i, step := range []struct {
		kind  protocol.Kind
		epoch uint64
		want  protocol.Code
	}{
		{protocol.Infer, 0, protocol.UnknownModel}, // no epoch was seen: it is obeyed
		{protocol.Infer, 5, protocol.UnknownModel},
		{protocol.Infer, 0, protocol.StaleEpoch},
		{protocol.LoadWeights, 0, protocol.StaleEpoch},
		{protocol.EvictWeights, 4, protocol.StaleEpoch},
		{protocol.GetWorkerState, 4, protocol.StaleEpoch},
		{protocol.GetWorkerState, 0, protocol.OK},
		{protocol.LoadModelFromDisk, 0, protocol.InvalidAction}, // for it names nothing
		{protocol.Infer, 5, protocol.UnknownModel},
	} {
		got := codes(w, protocol.Action{ID: protocol.ActionID(i + 1), Issuer: 7, Kind: step.kind, Epoch: step.epoch, Model: "m"})
		if len(got) != 1 || got[0] != step.want {
			t.Errorf("%d: %v of epoch %d: %v, expected %v", i, step.kind, step.epoch, got, step.want)
		}
	}
}

// Two loads of one name from two paths are both taken: neither is there yet. The one
// that is read last must not be told that its name holds the other's model.
func TestTheSecondOfTwoLoadsOfOneNameIsRefused(t *testing.T) {
	w := smallWorker()
	var orders []*Order
	for i, path := range []string{"p", "q"} {
		out := w.Step(1, &Received{Action: protocol.Action{ID: protocol.ActionID(i + 1), Kind: protocol.LoadModelFromDisk, Latest: protocol.Never,
			Load: &protocol.LoadSpec{Path: path, Names: []string{"m"}}}})
		orders = append(orders, out.Read...)
	}
	for i, want := range []protocol.Code{protocol.OK, protocol.InvalidAction} {
		path := orders[i].Action.Load.Path
		out := w.Step(2, &ModelRead{Order: orders[i], Spec: protocol.ModelSpec{Path: path, Digest: path}, Handle: path})
		if len(out.Results) != 1 || out.Results[0].Code != want {
			t.Errorf("load from %s: %+v, expected %s", path, out.Results, want)
		}
		if closed := len(out.Close) == 1; closed != (want != protocol.OK) {
			t.Errorf("load from %s: closed %v", path, out.Close)
		}
	}
}
