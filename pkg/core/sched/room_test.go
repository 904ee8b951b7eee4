package sched

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// Of models that have no work at the moment, those that nobody waits for leave
// first, even when others were used longer ago.
func TestAModelWithRequestsStaysBeforeOneWithout(t *testing.T) {
	r := newRig(t, "clockwork", Defaults(), part{name: "waits", exec: []float64{5}}, part{name: "unused", exec: []float64{5}},
		part{name: "runs", exec: []float64{20}}, part{name: "cold", exec: []float64{5}})
	r.join(0, "w1", 3, "waits", "unused", "runs") // used in this order
	r.submit(1, "runs", 500)
	r.submit(2, "waits", 500)
	r.submit(3, "cold", 500)
	evictions := r.sent(protocol.EvictWeights)
	if len(evictions) != 1 || evictions[0].Action.Model != "unused" {
		t.Errorf("%v left for cold, expected unused", evictions)
	}
}

// Only the worker that was given an action can end it.
func TestTheResultOfAnotherWorkerIsAStray(t *testing.T) {
	r := newRig(t, "clockwork", Defaults(), part{name: "a", exec: []float64{5}})
	r.join(0, "w1", 4, "a")
	r.join(0, "w2", 4)
	r.submit(1, "a", 500)
	sent := r.sent(protocol.Infer)[0]
	forged := sent
	forged.Worker = "w2"
	r.result(3, forged, protocol.OK, 2)
	if s := r.core.Stats(); s.Succeeded != 0 || s.Strays != 1 || s.InFlight != 1 {
		t.Errorf("after the result of w2: %+v", s)
	}
	r.result(7, sent, protocol.OK, 5)
	if s := r.core.Stats(); s.Succeeded != 1 {
		t.Errorf("after that of %s: %+v", sent.Worker, s)
	}
}

// A GPU on which loads of a model failed is the last choice for it, until one
// succeeds.
func TestALoadThatSucceedsIsForgiven(t *testing.T) {
	r := newRig(t, "clockwork", Defaults(), part{name: "a", exec: []float64{5}})
	r.join(0, "w1", 4)
	r.submit(1, "a", 500)
	first := r.sent(protocol.LoadWeights)[0]
	m, g := r.core.names["a"], r.core.gpus[0]
	r.result(6, first, protocol.BackendError, 5)
	if g.failures[m] != 1 {
		t.Fatalf("%d failures are known, expected 1", g.failures[m])
	}
	again := r.sent(protocol.LoadWeights)
	if len(again) != 2 {
		t.Fatalf("the load was tried %d times, expected 2", len(again))
	}
	r.result(12, again[1], protocol.OK, 5)
	if len(g.failures) != 0 {
		t.Errorf("failures are still known: %v", g.failures)
	}
}

// How long a GPU may be busy with others is what its most urgent model can spare:
// of a budget of 60 ms, less 3 + 5 + 1 ms of its way and 10 ms of its own
// execution, 41 ms. Budgets of long ago do not count, and 25 ms are always
// allowed.
func TestABatchIsAsLongAsTheMostUrgentModelCanSpare(t *testing.T) {
	for _, c := range []struct {
		what          string
		budget, later float64
		want          int // of sizes 1, 2, 4 and 8, which take 10, 20, 40 and 80 ms
	}{
		{"60 ms of budget leave 41", 60, 1, 4},
		{"58 ms leave 39", 58, 1, 2},
		{"10 ms leave nothing, and 25 are allowed", 10, 1, 2},
		{"200 ms leave 181", 200, 1, 8},
		{"58 ms, three seconds ago", 58, 3000, 8},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := newRig(t, "clockwork", Defaults(), part{name: "urgent", exec: []float64{10}}, part{name: "long", exec: []float64{10, 20, 40, 80}})
			r.join(0, "w1", 4, "urgent", "long")
			r.submit(1, "urgent", c.budget)
			r.step(1+c.later, &Tick{})
			r.core.gpus[0].slackAt = 0 // asked at once
			if got := r.lanes().longest(r.core.names["long"].holders[0]); got != c.want {
				t.Errorf("the largest batch is %d, expected %d", got, c.want)
			}
		})
	}
	if budgetMemory != time.Second {
		t.Error("three seconds are no longer long ago for sure")
	}
}
