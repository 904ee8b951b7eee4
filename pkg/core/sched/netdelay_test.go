package sched

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// hops is so many messages that took so long, in ms.
type hops struct {
	count int
	took  float64
}

func TestAHopIsTheLeastThatItTookOfLate(t *testing.T) {
	for _, c := range []struct {
		what  string
		heard []hops
		least float64
	}{
		{"one message", []hops{{1, 10}}, 10},
		{"a late one changes nothing", []hops{{5, 0.1}, {1, 100}}, 0.1},
		{"nor do many, once one comes in time", []hops{{20, 0.1}, {50, 100}, {1, 0.1}}, 0.1},
		{"a longer way is known after two windows", []hops{{20, 0.1}, {2 * window, 10}}, 10},
		{"a shorter one at once", []hops{{20, 10}, {1, 0.1}}, 0.1},
		{"a clock that is a little wrong", []hops{{1, -0.2}}, 0},
	} {
		var h minDelay
		for _, some := range c.heard {
			for range some.count {
				h.add(millis(some.took))
			}
		}
		if h.value() != millis(c.least) {
			t.Errorf("%s: %v, expected %v ms", c.what, h.value(), c.least)
		}
	}
}

// An Infer is planned to begin, and a request to be done, with room for the
// messages: two hops before the execution, and two around the core.
func TestPlansHaveRoomForTheWay(t *testing.T) {
	for _, c := range []struct {
		hop    float64
		reach  float64 // 1 ms at least, half of it for what is late
		ahead  float64 // 3 ms, and what the reach is more than 1 ms
		target float64 // of 100 ms: 5 ms before, and what the way is more
	}{
		{0.1, 1, 3, 95},
		{0.25, 1, 3, 95},
		{2, 4.5, 6.5, 91.5},
		{10, 20.5, 22.5, 75.5},
	} {
		r := newRig(t, "clockwork", Defaults(), part{name: "a", exec: []float64{1}})
		r.join(0, "w1", 1, "a")
		far(r, c.hop)
		p, g := r.lanes(), r.core.gpus[0]
		for _, got := range []struct {
			what    string
			is, was time.Duration
		}{
			{"reach", p.inferDelay(&g.worker.delay, 0), millis(c.reach)},
			{"ahead", p.ahead(g), millis(c.ahead)},
			{"target", p.target(millis(100), 0), millis(c.target)},
		} {
			if got.is != got.was {
				t.Errorf("%v ms away: %s is %v, expected %v", c.hop, got.what, got.is, got.was)
			}
		}
	}
}

// far has one execution at a worker so far away.
func far(r *rig, hop float64) {
	r.submit(0, "a", 1000)
	a := r.sent(protocol.Infer)[0]
	res := protocol.Result{Action: a.Action.ID, Issuer: 7, Epoch: 1, Incarnation: 1, Worker: a.Worker, Kind: a.Action.Kind, Code: protocol.OK,
		Received: instant(hop), Begin: instant(hop), End: instant(hop + 1), Sent: instant(hop + 1)}
	r.step(hop+1+hop, &Result{res})
}

// While a result is on its way, its GPU is neither late nor still busy.
func TestAResultOnItsWayMakesNoGPULate(t *testing.T) {
	r := newRig(t, "clockwork", Defaults(), part{name: "a", exec: []float64{1}})
	r.join(0, "w1", 1, "a")
	far(r, 10)
	r.submit(100, "a", 1000) // begins at 120.5, ends at 121.5, heard of at 131.5
	g := r.core.gpus[0]
	for _, c := range []struct {
		now        float64
		free, late float64
	}{
		{110, 121.5, 0},
		{130, 121.5, 0},
		{131.5, 121.5, 0},
		{134, 124, 2.5},
	} {
		if free, late := g.free(instant(c.now)), g.late(instant(c.now)); free != instant(c.free) || late != millis(c.late) {
			t.Errorf("at %v: free at %v and late by %v, expected %v and %v", c.now, millisOf(free), inMillis(late), c.free, c.late)
		}
	}
}

// What is refused brings no samples, so a way that makes requests unmeetable is
// forgotten, unless it was heard of just before.
func TestAWayThatKeepsRequestsAwayIsForgotten(t *testing.T) {
	for _, c := range []struct {
		after   float64
		refused protocol.Code
	}{{50, protocol.DeadlineUnmeetable}, {150, ""}} {
		r := newRig(t, "clockwork", Defaults(), part{name: "a", exec: []float64{1}})
		r.join(0, "w1", 1, "a")
		far(r, 40)
		first := r.seq + 1
		r.submit(81+c.after, "a", 50)
		r.submit(81+c.after, "a", 50)
		if code := r.refused(first); code != protocol.DeadlineUnmeetable {
			t.Errorf("%v ms later: the first is answered %q", c.after, code)
		}
		if code := r.refused(first + 1); code != c.refused {
			t.Errorf("%v ms later: the second is answered %q, expected %q", c.after, code, c.refused)
		}
	}
}

// What is expected of an action is the way as it was, not the room that a plan leaves
// for it: two hops to the GPU, since the inputs come through the door.
func TestAnActionIsExpectedWhenItsWayTookNoLongerThanBefore(t *testing.T) {
	r := newRig(t, "clockwork", Defaults(), part{name: "a", exec: []float64{1}})
	r.join(0, "w1", 1, "a")
	far(r, 0.1)
	r.submit(100, "a", 1000)
	r.submit(100, "a", 1000) // behind the first
	sent := r.sent(protocol.Infer)
	for i, end := range []float64{101.2, 102.2} {
		if plan := sent[len(sent)-2+i].Plan; plan.End != instant(end) || plan.Begin != instant(end-1) {
			t.Errorf("action %d is expected from %v to %v, not to %v", i+1, millisOf(plan.Begin), millisOf(plan.End), end)
		}
	}
	if free := r.core.gpus[0].free(instant(100)); free != instant(103) { // 1 ms for the way
		t.Errorf("the GPU is planned to be free at %v", millisOf(free))
	}
}
