package sched

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

func TestTheTimeOfInputsIsLearnedByTheirSize(t *testing.T) {
	type sample struct {
		count int
		bytes int64
		took  float64 // ms after two messages
	}
	for _, c := range []struct {
		what    string
		samples []sample
		of      int64
		takes   float64
	}{
		{"nothing is known", nil, 1 << 20, 0},
		{"as large as the one that was seen", []sample{{1, 1 << 20, 8}}, 1 << 20, 8},
		{"half as large", []sample{{1, 1 << 20, 8}}, 1 << 19, 4},
		{"small ones say nothing", []sample{{100, learnedBytes - 1, 8}}, 1 << 20, 0},
		{"large ones weigh more than small ones", []sample{{1, 1 << 20, 8}, {500, 1 << 16, 0.5}, {500, 1 << 20, 8}}, 1 << 20, 8},
		{"they became quicker", []sample{{1, 1 << 20, 8}, {500, 1 << 20, 2}}, 1 << 20, 2},
		{"they were there before their action", []sample{{1, 1 << 20, -3}}, 1 << 20, 0},
	} {
		var in inputTime
		for _, s := range c.samples {
			for range s.count {
				in.add(s.bytes, millis(s.took))
			}
		}
		if got := in.of(c.of); (got - millis(c.takes)).Abs() > time.Microsecond {
			t.Errorf("%s: %v, expected %v ms", c.what, got, c.takes)
		}
	}
}

const largeInput = 600_000

// large is a worker that holds a model of large inputs, and quick a model with a tight
// budget beside it. One execution has shown how long an input takes: two messages of 0.1 ms
// and so much more.
func large(t *testing.T, input float64) *rig {
	r := newRig(t, "clockwork", Defaults(), part{name: "large", exec: []float64{2}, input: largeInput})
	r.join(0, "w", 1, "large")
	r.submit(0, "large", 1000)
	r.executed(r.sent(protocol.Infer)[0], 0.1, 0.2+input, 2)
	return r
}

// executed ends an action that arrived at an idle worker, whose inputs were in place at an
// instant, and which took so long. Its result takes 0.1 ms.
func (r *rig) executed(a Addressed, received, inputs, took float64) {
	end := inputs + took
	r.step(end+0.1, &Result{protocol.Result{Action: a.Action.ID, Issuer: 7, Epoch: 1, Incarnation: 1, Worker: a.Worker, Kind: a.Action.Kind, Code: protocol.OK,
		Received: instant(received), Input: protocol.Phase{Begin: instant(inputs), End: instant(inputs)},
		Begin: instant(inputs), End: instant(end), Sent: instant(end)}})
}

func TestPlansHaveRoomForInputs(t *testing.T) {
	for _, c := range []struct {
		input float64
		reach float64 // messages and input, and half a millisecond; 1 ms at least
		ahead float64 // 3 ms, of which 1 covers inputs; 25 ms more at most
	}{
		{0, 1, 3},
		{0.4, 1.1, 3},
		{6, 6.7, 8},
		{60, 60.7, 28},
	} {
		r := large(t, c.input)
		p, g := r.lanes(), r.core.gpus[0]
		g.inputBytes = largeInput // as if many had been sent
		if got := p.inferDelay(&g.worker.delay, largeInput); got != millis(c.reach) {
			t.Errorf("inputs of %v ms: an Infer begins after %v, expected %v ms", c.input, got, c.reach)
		}
		if got := p.ahead(g); got != millis(c.ahead) {
			t.Errorf("inputs of %v ms: work is sent %v ahead, expected %v ms", c.input, got, c.ahead)
		}
		if got := p.inferDelay(&g.worker.delay, 0); got != millis(1) {
			t.Errorf("inputs of %v ms: an Infer without inputs begins after %v, expected 1 ms", c.input, got)
		}
	}
}

func TestARequestIsRefusedAtOnceIfItsInputsComeTooLate(t *testing.T) {
	for _, c := range []struct {
		budget float64
		code   protocol.Code
	}{
		{9.5, ""}, // 6.7 until it begins, 2 to execute, and a reserve of a twentieth
		{9, protocol.DeadlineUnmeetable},
	} {
		r := large(t, 6)
		r.submit(100, "large", c.budget)
		if got := r.refused(2); got != c.code {
			t.Errorf("budget %v ms: %q, expected %q", c.budget, got, c.code)
		}
	}
}

// The inputs of what is sent behind another are on their way while that executes; only what
// is left of their time is a pause of the lane.
func TestALaneWaitsForInputs(t *testing.T) {
	r := large(t, 6)
	g := r.core.gpus[0]
	g.inputBytes = largeInput
	near := func(what string, got protocol.Time, expected float64) {
		t.Helper()
		if got.Sub(instant(expected)).Abs() > time.Microsecond {
			t.Errorf("at %v %s at %v, expected %v", millisOf(r.core.now), what, millisOf(got), expected)
		}
	}
	expect := func(free float64) { t.Helper(); near("the lane is free", g.free(r.core.now), free) }
	r.submit(100, "large", 1000)
	expect(108.7) // 6.7 until it begins, 2
	r.submit(104, "large", 1000)
	expect(112.2) // its inputs are in place at 110.2, 1.5 after the first is done
	first, second := g.infers[0], g.infers[1]
	r.core.close(first, instant(107))
	expect(112.2) // sooner than planned, but the inputs are not
	near("the next one begins", g.lane.begun, 110.2)
	if second.wait != 0 {
		t.Errorf("the first one of a lane waits for %v more, expected nothing", second.wait)
	}
}

func TestInputsThatDidNotComeAreKnownToTakeLonger(t *testing.T) {
	r := large(t, 6)
	r.submit(100, "large", 1000)
	a := r.sent(protocol.Infer)[1]
	r.step(120.1, &Result{protocol.Result{Action: a.Action.ID, Issuer: 7, Epoch: 1, Incarnation: 1, Worker: "w", Kind: protocol.Infer, Code: protocol.InputMissing,
		Received: instant(100.1), Sent: instant(120)}})
	if got := r.core.fleetDelay.inputs.of(largeInput); got <= millis(6) {
		t.Errorf("inputs are taken to need %v, expected more than 6 ms", got)
	}
}

// Long work before which a GPU would rather do others' is sent no earlier for its inputs:
// what comes meanwhile still counts.
func TestNoInputsHaveBlockingWorkSentEarly(t *testing.T) {
	r := newRig(t, "clockwork", Defaults(), part{name: "slow", exec: []float64{20}, input: largeInput}, part{name: "quick", exec: []float64{1}})
	r.join(0, "w", 2, "slow", "quick")
	r.submit(0, "slow", 1000)
	r.executed(r.sent(protocol.Infer)[0], 0.1, 6.2, 20)
	p, g := r.lanes(), r.core.gpus[0]
	g.inputBytes = largeInput
	r.submit(30, "quick", 15)
	r.submit(30, "slow", 1000)
	r.submit(30, "slow", 1000)
	if next := g.runQueue.First(); next == nil || next.Of.model.spec.Name != "slow" || !p.blocking(next.Of) {
		t.Fatal("the slow model is not next")
	}
	if got := p.ahead(g); got != millis(3) {
		t.Errorf("work is sent %v ahead, expected 3 ms", got)
	}
}

// A request with large inputs that becomes the next one has its GPU looked at sooner.
func TestAGPUIsLookedAtSoonerForInputs(t *testing.T) {
	r := newRig(t, "clockwork", Defaults(), part{name: "slow", exec: []float64{20}}, part{name: "large", exec: []float64{2}, input: largeInput})
	r.join(0, "w", 2, "slow", "large")
	r.submit(0, "large", 100)
	r.executed(r.sent(protocol.Infer)[0], 0.1, 6.2, 2)
	g := r.core.gpus[0]
	r.submit(100, "slow", 1000) // 101 to 121
	r.submit(101, "slow", 1000)
	g.inputBytes = largeInput
	for _, c := range []struct {
		what       string
		at, budget float64
		model      string
		look       float64
	}{
		{"what is next blocks tighter ones", 102, 1000, "slow", 118}, // 3 before 121
		{"large inputs are next", 103, 100, "large", 113},            // 8 before it
	} {
		r.submit(c.at, c.model, c.budget)
		if at := protocol.Time(g.nextSlotTimer.Key) - 1; at.Sub(instant(c.look)).Abs() > time.Microsecond {
			t.Errorf("%s: the GPU is looked at at %v, expected %v", c.what, millisOf(at), c.look)
		}
	}
}
