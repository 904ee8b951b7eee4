package sched

import (
	"math"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// original are the constants of the original where ours differ.
func original(c *Config) { c.Ahead = 10 * time.Millisecond }

// When a request is to be done, after its arrival. The original: slo - buffer,
// but ahead + buffer at least; ours is never later than the client's deadline.
func TestTheInternalDeadline(t *testing.T) {
	for _, c := range []struct {
		policy         string
		set            func(*Config)
		budget, target float64
	}{
		{"faithful", original, 100, 95},
		{"faithful", original, 20.5, 15.5},
		{"faithful", original, 20, 15}, // 20 - 5 = 10 + 5
		{"faithful", original, 18, 15}, // 18 - 5 = 13 is less than 10 + 5
		{"faithful", original, 15, 15},
		{"faithful", original, 12, 12},        // the original: 15, after the deadline
		{"faithful", func(*Config) {}, 12, 8}, // 3 + 5
		{"faithful", func(*Config) {}, 7, 7},

		// Policy clockwork keeps 5 ms, but a twentieth of the budget at most.
		{"clockwork", func(*Config) {}, 1000, 995},
		{"clockwork", func(*Config) {}, 100, 95},
		{"clockwork", func(*Config) {}, 50, 47.5},
		{"clockwork", func(*Config) {}, 10, 9.5},
		{"clockwork", func(c *Config) { c.Buffer = 0 }, 10, 10},
	} {
		r := newRig(t, c.policy, defaultsWith(c.set))
		if target := inMillis(r.lanes().target(millis(c.budget), 0)); target != c.target {
			t.Errorf("%s, a budget of %v ms: to be done in %v ms, expected %v", c.policy, c.budget, target, c.target)
		}
	}
}

// What a request adds to its model's demand, under policy faithful with the
// constants of the original: buffer 5, ahead 10, at most 25 for a load, C 100.
// The model takes 10 ms alone and 5 ms to load. In ms:
//
//	deadline d    = max(slo - 5, 15)
//	execution   E = 10 * 100 / d
//	load budget l = min(25, d - (5 + 10 + 5 + 10)), 15 at least
//	load        W = 10 * 100 / l
func TestWhatARequestAddsToTheDemand(t *testing.T) {
	for _, c := range []struct{ slo, exec, budget, load float64 }{
		{slo: 205, exec: 5, budget: 25, load: 40},                 // d 200; 1000/200, 200 - 30 is more than 25
		{slo: 105, exec: 10, budget: 25, load: 40},                // d 100
		{slo: 55, exec: 20, budget: 20, load: 50},                 // d 50; 50 - 30
		{slo: 45, exec: 25, budget: 15, load: 1000. / 15},         // d 40; 40 - 30 is less than 15
		{slo: 30, exec: 40, budget: 15, load: 1000. / 15},         // d 25
		{slo: 16, exec: 1000. / 15, budget: 15, load: 1000. / 15}, // d 15
	} {
		r := newRig(t, "faithful", defaultsWith(original), part{name: "a", load: 5, exec: []float64{10}})
		r.core.now = instant(3)
		m := r.core.models[0]
		m.capable[r.core.kindOf(gpuKind{name: "t4"})]++ // as if there were a GPU
		q := &request{model: m, arrived: r.core.now, deadline: r.core.now.Add(r.lanes().target(millis(c.slo), 0))}
		m.put(q)
		r.lanes().queued(q)
		near(t, "the demand for execution", m.demand.exec, c.exec)
		near(t, "the demand for a load", m.demand.load, c.load)
		if until := instant(3 + c.budget); q.demand.until != until {
			t.Errorf("an SLO of %v ms: demand for a load until %v, expected %v", c.slo, q.demand.until, until)
		}
	}
}

// near compares nanoseconds with milliseconds worked out by hand.
func near(t *testing.T, what string, got int64, want float64) {
	t.Helper()
	if have := float64(got) / 1e6; math.Abs(have-want) > 1e-3+math.Abs(want)/1e4 {
		t.Errorf("%s is %v ms, expected %v", what, have, want)
	}
}

// E falls when a request ends; W when it begins, ends, or its load budget has
// passed. Each request here adds 10 * 100 / 95 = 10.526 to E and 40 to W.
func TestWhenDemandFalls(t *testing.T) {
	r := newRig(t, "faithful", defaultsWith(original), part{name: "a", load: 5, exec: []float64{10}})
	demand := func(when string, exec, load float64) {
		t.Helper()
		near(t, when+": E", r.core.models[0].demand.exec, exec)
		near(t, when+": W", r.core.models[0].demand.load, load)
	}
	r.join(0, "w", 4)
	r.submit(0, "a", 100)
	r.submit(0, "a", 100)
	r.submit(0, "a", 100)
	demand("three wait", 31.579, 120)
	loads := r.sent(protocol.LoadWeights)
	r.result(5, loads[0], protocol.OK, 5)
	demand("the first has begun", 31.579, 80)
	infer := r.sent(protocol.Infer)[0]
	r.result(16, infer, protocol.OK, 10)
	demand("it has ended, the next has begun", 21.053, 40)
	r.submit(16.5, "a", 100)
	r.step(16.5, &DoorLost{Door: 1})
	demand("nobody waits for them; one still runs", 10.526, 0)
	r.submit(17, "a", 100)
	demand("one more", 21.053, 40)
	r.submit(42, "a", 100)
	demand("25 ms later its load budget has not passed", 31.579, 80)
	r.submit(42.001, "a", 100)
	demand("now it has", 42.105, 80)
	r.until(300)
	demand("all were refused", 10.526, 0)
}

// holding is a model with copies on GPUs that have so much to do, in ms of
// which a share is for the model itself.
type holding struct {
	outstanding, own float64
	phase            phase
}

// holdings makes a model of demand E and W with its copies.
func holdings(exec, load float64, on []holding) *model {
	m := &model{modelPlan: modelPlan{demand: modelDemand{exec: int64(millis(exec)), load: int64(millis(load))}}}
	for _, h := range on {
		g := &gpu{gpuPlan: gpuPlan{demand: int64(millis(h.outstanding))}}
		r := &replica{model: m, gpu: g, phase: h.phase, replicaPlan: replicaPlan{share: int64(millis(h.own))}}
		g.replicas, m.replicas = append(g.replicas, r), append(m.replicas, r)
	}
	return m
}

// The load priority p = W - sum of W * (x/sum x) * (C/O), with x = C/O, O 1 at
// least and C = 100, and the shares of E that the GPUs are given in proportion
// to x. A single copy is given all of E before its O is looked at; of several,
// each as it was.
func TestTheLoadPriority(t *testing.T) {
	for _, c := range []struct {
		what       string
		exec, load float64
		on         []holding
		priority   float64
		shares     []float64
	}{
		{what: "no copy", exec: 10, load: 40, priority: 40},
		{what: "one copy, whose GPU has nothing else", exec: 50, load: 40,
			// O = 50, x = 2: 40 - 40*1*2
			on: []holding{{}}, priority: -40, shares: []float64{50}},
		{what: "one copy that has just enough to do", exec: 100, load: 40,
			on: []holding{{}}, priority: 0, shares: []float64{100}}, // x = 1
		{what: "one copy that has too much to do", exec: 50, load: 40,
			// O = 150 + 50, x = 1/2: 40 - 40/2
			on: []holding{{outstanding: 150}}, priority: 20, shares: []float64{50}},
		{what: "its own share of before is not counted twice", exec: 50, load: 40,
			on: []holding{{outstanding: 200, own: 50}}, priority: 20, shares: []float64{50}}, // O = 200
		{what: "an idle GPU is taken to have 1 ms", exec: 0, load: 40,
			on: []holding{{}}, priority: 40 - 40*100, shares: []float64{0}}, // x = 100
		{what: "two copies, the busier one takes less", exec: 30, load: 60,
			// o = 99 and 198: E is shared 2:1, O = 119 and 208; 60 - 60*(2/3*100/119 + 1/3*100/208)
			on: []holding{{outstanding: 100, own: 1}, {outstanding: 200, own: 2}}, priority: 60 - 4000./119 - 2000./208, shares: []float64{20, 10}},
		{what: "two equal copies, of which one was given all before", exec: 400, load: 100,
			// o = 1 and 1, at least: halves; O = 200 and 200. By O it would be 1:400.
			on: []holding{{outstanding: 400, own: 400}, {}}, priority: 50, shares: []float64{200, 200}},
		{what: "two copies that have too much", exec: 90, load: 100,
			// o = 200 and 400: 2:1, O = 260 and 430; 100 - 100*(2/3*100/260 + 1/3*100/430)
			on: []holding{{outstanding: 200}, {outstanding: 400}}, priority: 100 - 20000./780 - 10000./1290, shares: []float64{60, 30}},
		{what: "three copies", exec: 70, load: 70,
			// o = 125, 250, 500: 4:2:1, O = 165, 270, 510; 70 - 70*(4/7*100/165 + 2/7*100/270 + 1/7*100/510)
			on: []holding{{outstanding: 125}, {outstanding: 250}, {outstanding: 500}}, priority: 70 - 4000./165 - 2000./270 - 1000./510, shares: []float64{40, 20, 10}},
		{what: "one that is promised or on its way counts, one that leaves does not", exec: 60, load: 60,
			// o = 200 twice, O = 230 twice: 60 - 60*100/230
			on: []holding{{outstanding: 200, phase: pending}, {outstanding: 200, phase: loading},
				{outstanding: 1, phase: draining}, {outstanding: 1, phase: evicting}, {outstanding: 1, phase: unknownPhase}},
			priority: 60 - 6000./230, shares: []float64{30, 30, 0, 0, 0}},
	} {
		t.Run(c.what, func(t *testing.T) {
			m := holdings(c.exec, c.load, c.on)
			near(t, "the priority", m.priority(100*time.Millisecond, 0), c.priority)
			for i, r := range m.replicas {
				near(t, "a share", r.share, c.shares[i])
				near(t, "what its GPU has to do", r.gpu.demand, c.on[i].outstanding-c.on[i].own+c.shares[i])
			}
		})
	}
}

// Policy clockwork puts another copy only where there is no more to do than where
// there is least of those that hold the model.
func TestReliefIsWhatTheLeastBusyCopyHasToDo(t *testing.T) {
	for _, c := range []struct {
		what string
		on   []holding
		most float64
	}{
		{what: "one copy", on: []holding{{outstanding: 120}}, most: 120},
		{what: "the least busy of three", on: []holding{{outstanding: 120}, {outstanding: 40}, {outstanding: 80}}, most: 40},
		{what: "one that leaves does not count", on: []holding{{outstanding: 120}, {outstanding: 40, phase: draining}}, most: 120},
		{what: "no copy: anywhere", most: float64(math.MaxInt64) / 1e6},
	} {
		near(t, c.what, holdings(0, 0, c.on).spreadLimit(), c.most)
	}
}

// Where a copy goes: not where a load of the model failed more often, rather
// where pages are free, then where there is least to do.
func TestTheHomeOfACopy(t *testing.T) {
	type place struct {
		demand       float64
		full, failed bool
	}
	for _, c := range []struct {
		what   string
		policy string
		of     float64 // what the GPU that holds the model has to do; it is the first
		others []place
		home   int // of the others, from 1; 0: nowhere
	}{
		{"least to do", "faithful", 100, []place{{demand: 30}, {demand: 20}, {demand: 40}}, 2},
		{"the first of equals", "faithful", 100, []place{{demand: 30}, {demand: 30}}, 1},
		{"free pages before little to do", "faithful", 100, []place{{demand: 10, full: true}, {demand: 40}}, 2},
		{"a load failed there", "faithful", 100, []place{{demand: 10, failed: true}, {demand: 40, full: true}}, 2},
		{"the original takes a GPU busier than the one that has it", "faithful", 100, []place{{demand: 101}}, 1},
		{"which clockwork does not", "clockwork", 100, []place{{demand: 101}}, 0},
		{"but one as busy", "clockwork", 100, []place{{demand: 100}}, 1},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := newRig(t, c.policy, Defaults(), part{name: "a", exec: []float64{1}}, part{name: "b", exec: []float64{1}})
			r.join(0, "w0", 1, "a")
			for i, p := range c.others {
				name := string(rune('1' + i))
				if p.full {
					r.join(0, "w"+name, 1, "b")
				} else {
					r.join(0, "w"+name, 1)
				}
				g := r.core.gpus[i+1]
				g.demand = int64(millis(p.demand))
				if p.failed {
					g.failures[r.core.models[0]] = 1
				}
			}
			r.core.gpus[0].demand = int64(millis(c.of))
			r.core.models[0].coldTickets = [2]uint64{math.MaxUint64, math.MaxUint64} // what fills a GPU was not used since
			home := r.lanes().bestGPU(r.core.models[0])
			switch {
			case c.home == 0 && home != nil:
				t.Errorf("it goes to %s, expected nowhere", home.worker.id)
			case c.home > 0 && home != r.core.gpus[c.home]:
				t.Errorf("it goes to %v, expected %s", home, r.core.gpus[c.home].worker.id)
			}
		})
	}
}
