package startup

import (
	"testing"

	"clockwork/pkg/protocol"
)

// Pages are a worker's own: one that starts again with pages of another size, or comes beside
// others, serves what was loaded.
func TestAnotherPageSizeIsNoOtherModel(t *testing.T) {
	c := DefaultConfig()
	c.Issuer = 7
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	loaded := protocol.ModelSpec{Name: "a", Path: "m", Digest: "d", BatchSizes: []int{1}, WeightsBytes: 100, Pages: 7}
	m.Step(0, Started{Stage: protocol.Loading, Models: []protocol.ModelSpec{loaded}})
	m.Step(0, WorkerSeen{ID: "w", Incarnation: 1})
	out := m.Step(0, WorkerAnswered{protocol.WorkerState{ID: "w", Incarnation: 1, PageSize: 1, GPUs: []protocol.GPUState{{Type: "t4", PagesTotal: 200}}}})
	if len(out.Actions) != 1 {
		t.Fatalf("asked for %+v", out.Actions)
	}
	here := loaded
	here.Pages = 100
	m.Step(0, LoadResult{protocol.Result{Issuer: 7, Worker: "w", Action: out.Actions[0].Action.ID, Kind: protocol.LoadModelFromDisk, Code: protocol.OK, Loaded: []protocol.ModelSpec{here}}})
	if lacking := m.Models()[0].Lacking; len(lacking) > 0 {
		t.Errorf("with smaller pages it is not served: %+v", lacking)
	}
	m.Step(0, WorkerSeen{ID: "v", Incarnation: 1})
	m.Step(0, WorkerAnswered{protocol.WorkerState{ID: "v", Incarnation: 1, PageSize: 16, Models: []protocol.ModelSpec{loaded}, GPUs: []protocol.GPUState{{Type: "t4", PagesTotal: 20}}}})
	if _, counts := m.Countdown(0); !counts {
		t.Error("with a worker whose pages are larger, loading does not close")
	}
	if lacking := m.Models()[0].Lacking; len(lacking) > 0 {
		t.Errorf("beside one with larger pages it is not served: %+v", lacking)
	}
}
