package sched

import (
	"fmt"
	"testing"

	"clockwork/pkg/protocol"
)

// Who is loaded first where loads are scarce: of policy clockwork, whose load
// brings most requests a second of transfer; by the original, who has most work
// waiting.
func TestWhoIsLoadedFirst(t *testing.T) {
	cheap := part{name: "cheap", load: 5, exec: []float64{2, 2.5, 3.5}}
	for _, c := range []struct {
		what     string
		dear     part
		cheap    int // so many requests wait
		dears    int
		first    string // of policy clockwork
		faithful string
	}{
		// 1 / 5 ms = 200 a second against 1 / 20 ms = 50; of work 10 against 2.
		{"small weights before large ones", part{name: "dear", load: 20, exec: []float64{10}}, 1, 1, "cheap", "dear"},
		// 200 a second against 5 / 20 ms = 250.
		{"unless more wait for them", part{name: "dear", load: 20, exec: []float64{10, 11, 13}}, 1, 5, "dear", "dear"},
		// 2 / 5 ms = 400 against 1 / 5 ms = 200; of work 4 against 10.
		{"with equal weights, whom most wait for", part{name: "dear", load: 5, exec: []float64{10}}, 2, 1, "cheap", "dear"},
		{"also if it is the one with much work", part{name: "dear", load: 5, exec: []float64{10}}, 1, 2, "dear", "dear"},
	} {
		for policy, want := range map[string]string{"clockwork": c.first, "faithful": c.faithful} {
			t.Run(c.what+"/"+policy, func(t *testing.T) {
				r := newRig(t, policy, Defaults(), part{name: "other", load: 50, exec: []float64{1}}, cheap, c.dear)
				r.join(0, "w1", 8)
				r.lanes().loadShortage = 1
				r.submit(0, "other", 100) // the transfer lane is busy
				for range c.cheap {
					r.submit(1, "cheap", 100)
				}
				for range c.dears {
					r.submit(1, "dear", 100)
				}
				r.result(2, r.sent(protocol.LoadWeights)[0], protocol.OK, 2)
				if loads := r.sent(protocol.LoadWeights); len(loads) < 2 || loads[1].Action.Model != want {
					t.Errorf("loaded %v, expected %s next", models(loads), want)
				}
			})
		}
	}
}

// Where loads are enough for all, whoever must begin first goes first: else one
// with large weights would wait until it is too late.
func TestWhoMustBeLoadedFirstIs(t *testing.T) {
	r := newRig(t, "clockwork", Defaults(), part{name: "other", load: 50, exec: []float64{1}},
		part{name: "light", load: 5, exec: []float64{1}}, part{name: "heavy", load: 20, exec: []float64{1}})
	r.join(0, "w1", 8)
	r.submit(0, "other", 100)
	r.submit(1, "light", 60) // to be done at 58, so begun at 52
	r.submit(1, "heavy", 70) // to be done at 67.5, so begun at 46.5
	r.result(2, r.sent(protocol.LoadWeights)[0], protocol.OK, 2)
	if loads := r.sent(protocol.LoadWeights); models(loads) != "[other heavy]" {
		t.Errorf("loaded %s, expected heavy next", models(loads))
	}
}

// What no load would be in time for gets none: it would cost another its place.
func TestALoadThatComesTooLateIsNotBegun(t *testing.T) {
	r := newRig(t, "clockwork", Defaults(), part{name: "other", load: 50, exec: []float64{1}}, part{name: "a", load: 10, exec: []float64{1}})
	r.join(0, "w1", 8)
	r.submit(0, "other", 100)
	r.submit(0, "a", 20)
	r.result(12, r.sent(protocol.LoadWeights)[0], protocol.OK, 2) // a would be there at 22
	if loads := r.sent(protocol.LoadWeights); models(loads) != "[other]" {
		t.Errorf("loaded %s", models(loads))
	}
}

// A model for which requests are turned away takes nobody's place who was used
// since they were turned away before.
func TestWhatIsAskedForMoreOftenKeepsItsPlace(t *testing.T) {
	for _, c := range []struct {
		what    string
		used    float64 // when the other one was used last
		evicted bool
	}{
		{"it was used in between", 20, false},
		{"it was not", 5, true},
	} {
		r := newRig(t, "clockwork", Defaults(), part{name: "here", exec: []float64{1}}, part{name: "tight", load: 10, exec: []float64{1}})
		r.join(0, "w1", 1, "here")
		use := func(at float64) {
			r.submit(at, "here", 100)
			sent := r.sent(protocol.Infer)
			r.result(at+1, sent[len(sent)-1], protocol.OK, 1)
		}
		if c.used < 10 {
			use(c.used)
		}
		r.submit(10, "tight", 8) // its load alone takes longer
		if c.used > 10 {
			use(c.used)
		}
		r.submit(30, "tight", 8)
		if evicted := len(r.sent(protocol.EvictWeights)) > 0; evicted != c.evicted {
			t.Errorf("%s: evicted %t", c.what, evicted)
		}
	}
}

// Loads are scarce while cold requests are lost for want of one.
func TestLoadsAreScarceWhileColdRequestsAreLost(t *testing.T) {
	r := newRig(t, "clockwork", Defaults(), part{name: "other", load: 900, exec: []float64{1}}, part{name: "a", load: 10, exec: []float64{1}})
	r.join(0, "w1", 8)
	r.submit(0, "other", 1000)
	for i := range 8 {
		r.submit(1+float64(i), "a", 50)
	}
	p := r.lanes()
	if p.loadShortage >= shortageThreshold {
		t.Fatalf("scarcity is %v before anything was lost", p.loadShortage)
	}
	r.until(100)
	if p.loadShortage < shortageThreshold {
		t.Fatalf("scarcity is %v with 8 of 8 cold requests lost", p.loadShortage)
	}
	for range lossMemory {
		p.observeCold(0)
	}
	if p.loadShortage >= shortageThreshold {
		t.Errorf("scarcity is %v when %d more had their load in time", p.loadShortage, lossMemory)
	}
}

// A model that has copies counts with the share of its requests that is too much
// for them.
func TestWhatPresentCopiesDoIsNoReasonToLoad(t *testing.T) {
	r := newRig(t, "clockwork", Defaults(), part{name: "a", load: 10, exec: []float64{1}})
	r.join(0, "w1", 1, "a")
	r.join(0, "w2", 1)
	m := r.core.models[0]
	m.head, m.items = &request{model: m}, 30
	m.demand.load = int64(millis(40))
	m.demand.exec = int64(millis(200)) // twice what one GPU does in 100 ms: half is left over
	if rank := r.lanes().loadRank(m); rank != 1_500_000 {
		t.Errorf("15 requests for 10 ms of transfer rank at %d thousandths a second, expected 1,500,000", rank)
	}
}

// Under pressure a GPU's time has a price. Here it serves one request in 2 ms.
func TestWhatIsWorthALoad(t *testing.T) {
	for _, c := range []struct {
		what     string
		waiting  int
		pressure float64
		here     int // requests for the model that the GPU has; it runs one at a time
		pays     bool
	}{
		{"one request that takes 3 ms", 1, 1, 2, false}, // 1 < 3/2
		{"two that take 3.5 ms together", 2, 1, 2, true},
		{"one, if nobody loses by it", 1, 0, 2, true},
		{"one, if nothing waits for the GPU", 1, 1, 1, true},
		{"one, if the GPU has nothing to do", 1, 1, 0, true},
		{"nobody waits; they were turned away", 0, 1, 2, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := newRig(t, "clockwork", Defaults(), part{name: "here", exec: []float64{2}}, part{name: "cold", exec: []float64{3, 3.5}})
			r.join(0, "w1", 8, "here")
			for range c.here {
				r.submit(0, "here", 100)
			}
			g, m := r.core.gpus[0], r.core.models[1]
			g.served, g.busyTime, r.lanes().pressure = 1, float64(millis(2)), c.pressure
			if m.items = c.waiting; c.waiting > 0 {
				m.head = &request{model: m, size: 1}
			}
			if pays := r.lanes().worthLoading(g, m); pays != c.pays {
				t.Errorf("pays: %t", pays)
			}
		})
	}
}

// What is not worth it while others need the GPU is loaded once they do not.
func TestADearModelIsLoadedWhenNothingWaitsForTheGPU(t *testing.T) {
	r := newRig(t, "clockwork", Defaults(), part{name: "here", exec: []float64{2}}, part{name: "cold", exec: []float64{3}})
	r.join(0, "w1", 8, "here")
	r.submit(0, "here", 100)
	r.submit(0, "here", 100)
	g := r.core.gpus[0]
	g.served, g.busyTime, r.lanes().pressure = 1, float64(millis(2)), 1
	r.submit(1, "cold", 100)
	if loads := r.sent(protocol.LoadWeights); len(loads) > 0 {
		t.Fatalf("loaded %v while the GPU had better to do", models(loads))
	}
	r.result(3, r.sent(protocol.Infer)[0], protocol.OK, 2)
	r.result(5, r.sent(protocol.Infer)[1], protocol.OK, 2)
	if loads := r.sent(protocol.LoadWeights); len(loads) != 1 || loads[0].Action.Model != "cold" {
		t.Errorf("loaded %v, expected cold", models(loads))
	}
}

// models are those of actions.
func models(list []Addressed) string {
	var names []string
	for _, a := range list {
		names = append(names, a.Action.Model)
	}
	return fmt.Sprint(names)
}
