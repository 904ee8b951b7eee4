package sched

import "testing"

// An execution blocks models with tighter budgets only if it takes much of the time that their
// requests can wait: what is shorter delays them no more than another one of their own.
func TestOnlyLongExecutionsBlock(t *testing.T) {
	for _, c := range []struct {
		takes  float64 // ms
		blocks bool
	}{
		{3, false},
		{5.5, false}, // of 22 ms that a request of the tight model can wait
		{6, true},
		{40, true},
	} {
		r := newRig(t, "clockwork", Defaults(), part{name: "tight", exec: []float64{3}}, part{name: "other", exec: []float64{c.takes}})
		r.join(0, "w", 2, "tight", "other")
		r.submit(1, "tight", 25)
		r.submit(2, "other", 400)
		r.submit(3, "other", 400)
		for _, copy := range r.core.gpus[0].replicas {
			if copy.model.spec.Name == "other" && r.lanes().blocking(copy) != c.blocks {
				t.Errorf("an execution of %v ms beside a budget of 25 ms blocks: %v, expected %v", c.takes, !c.blocks, c.blocks)
			}
			if copy.model.spec.Name == "tight" && r.lanes().blocking(copy) {
				t.Error("the tightest model blocks")
			}
		}
	}
}
