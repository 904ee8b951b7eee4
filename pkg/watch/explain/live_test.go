package explain

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// rig is a core with a Live beside it and GPUs that do at once what they are
// told, as long as it was expected to take.
type rig struct {
	core sched.Core
	live *Live // nil for none
	now  protocol.Time
	seq  uint64
	due  []sched.Addressed
	slow time.Duration // how much longer than expected an execution takes
}

func newRig(gpus, models int, follow bool) *rig {
	core, err := sched.New("clockwork", sched.Defaults())
	if err != nil {
		panic(err)
	}
	y := &rig{core: core}
	if follow {
		y.live = NewLive()
		y.live.Begin(sched.Setup{Policy: "clockwork", Config: sched.Defaults()})
	}
	s := &stage{}
	for i := range models {
		s.model(fmt.Sprintf("m%04d", i), time.Millisecond, 2*time.Millisecond)
	}
	for i := range gpus {
		g := protocol.GPUState{Type: "v", PagesTotal: models + 1}
		for m := i; m < models; m += gpus {
			g.Models, g.PagesUsed = append(g.Models, s.state.Models[m].Name), g.PagesUsed+1
		}
		s.state.Workers = append(s.state.Workers, protocol.WorkerState{ID: fmt.Sprintf("w%03d", i), Incarnation: 1, GPUs: []protocol.GPUState{g}, Models: s.state.Models})
	}
	y.step(&sched.Activate{Epoch: 1, Issuer: 1, State: s.state})
	return y
}

func (y *rig) step(e sched.Event) {
	out := y.core.Step(y.now, e)
	if y.live != nil {
		y.live.Step(y.now, e, &out)
	}
	for _, a := range out.Actions {
		a.Action.Requests = nil
		y.due = append(y.due, a)
	}
}

func (y *rig) submit(model int, budget time.Duration) protocol.RequestID {
	y.seq++
	id := protocol.RequestID{Door: 1, Seq: y.seq}
	y.step(&sched.Submit{Submission: protocol.Submission{ID: id, Model: fmt.Sprintf("m%04d", model), Batch: 1, Budget: budget}})
	return id
}

// work has every action end that was sent.
func (y *rig) work() {
	for len(y.due) > 0 {
		a := y.due[0]
		y.due = y.due[1:]
		took := a.Action.Expected
		if a.Action.Kind == protocol.Infer {
			took += y.slow
		}
		begin := y.now
		y.now = y.now.Add(took)
		r := protocol.Result{Action: a.Action.ID, Issuer: 1, Epoch: 1, Incarnation: 1, Worker: a.Worker, Kind: a.Action.Kind, GPU: a.Action.GPU,
			Code: protocol.OK, Model: a.Action.Model, Batch: a.Action.Batch, Begin: begin, End: y.now}
		r.Exec = protocol.Phase{Begin: begin, End: y.now, Device: took}
		y.step(&sched.Result{Result: r})
	}
}

func TestWhatEndedLatelyCanBeExplained(t *testing.T) {
	y := newRig(2, 4, true)
	y.now = 10e6
	served := y.submit(0, 100*time.Millisecond)
	y.work()
	y.now += 5e6
	refused := y.submit(1, time.Millisecond)
	y.now += 5e6
	waiting := y.submit(2, 100*time.Millisecond)
	for id, want := range map[protocol.RequestID][]string{
		served:  {"done in time", "arrived with 100.0 ms", "model on 1 GPU", "sent to w000 gpu 0", "expected were"},
		refused: {"refused DEADLINE_UNMEETABLE, SLO too tight even for an idle GPU", "saved by  an SLO of"},
		waiting: {": open", "arrived with 100.0 ms"},
	} {
		e, arrived := y.live.Explain(id, y.core.Waits)
		if e == nil {
			t.Errorf("%v is not known", id)
			continue
		}
		for _, text := range want {
			if !strings.Contains(e.String(), text) {
				t.Errorf("no %q in\n%s", text, e)
			}
		}
		if e.Timeline[0].At != 0 || arrived == 0 {
			t.Errorf("%v arrived at %v and tells from %v on", id, arrived, e.Timeline[0].At)
		}
	}
	if e, _ := y.live.Explain(protocol.RequestID{Door: 1, Seq: 99}, y.core.Waits); e != nil {
		t.Errorf("it knows of a request that never was: %s", e)
	}
	s, since := y.live.Summary()
	if s.Requests != 3 || s.Done != 1 || s.Failed != 1 || s.Open != 1 || len(s.Causes) != 1 || s.Causes[0].Cause != Tight || since == 0 {
		t.Errorf("since %v: %+v", since, s)
	}
}

// What the Live tells of a request is what the Explainer tells of a recording.
func TestALiveTellsWhatARecordingDoes(t *testing.T) {
	y, x := newRig(1, 3, true), New([]protocol.RequestID{{Door: 1, Seq: 3}})
	x.Begin(sched.Setup{Policy: "clockwork", Config: sched.Defaults()})
	other := newRig(1, 3, false)
	other.live = nil
	play := func(y *rig) {
		for i := range 3 {
			y.submit(i, time.Duration(8-2*i)*time.Millisecond)
		}
		y.work()
		y.step(&sched.Tick{})
	}
	follow := &recordingCore{Core: other.core, to: x}
	follow.to.Step(0, &sched.Activate{Epoch: 1, Issuer: 1, State: stateOf(1, 3)}, &sched.Output{})
	other.core = follow
	play(y)
	play(other)
	want := x.Wanted()
	got, _ := y.live.Explain(protocol.RequestID{Door: 1, Seq: 3}, y.core.Waits)
	if len(want) != 1 || got == nil || got.String() != want[0].String() {
		t.Errorf("live:\n%v\nrecorded:\n%v", got, want)
	}
}

type recordingCore struct {
	sched.Core
	to *Explainer
}

func (c *recordingCore) Step(now protocol.Time, e sched.Event) sched.Output {
	out := c.Core.Step(now, e)
	c.to.Step(now, e, &out)
	return out
}

func stateOf(gpus, models int) protocol.ClockworkState {
	s := &stage{}
	for i := range models {
		s.model(fmt.Sprintf("m%04d", i), time.Millisecond, 2*time.Millisecond)
	}
	g := protocol.GPUState{Type: "v", PagesTotal: models + 1}
	for _, m := range s.state.Models {
		g.Models, g.PagesUsed = append(g.Models, m.Name), g.PagesUsed+1
	}
	s.state.Workers = []protocol.WorkerState{{ID: "w000", Incarnation: 1, GPUs: []protocol.GPUState{g}, Models: s.state.Models}}
	return s.state
}

// However much fails, the memory is bounded, and each of what is kept is told in full.
func TestWhatIsKeptIsBounded(t *testing.T) {
	y := newRig(1, 1, true)
	first := y.submit(0, time.Millisecond)
	var last protocol.RequestID
	for range 2 * keptMissed {
		last = y.submit(0, time.Millisecond)
	}
	if e, _ := y.live.Explain(first, y.core.Waits); e != nil {
		t.Errorf("after %d others it still knows\n%s", 2*keptMissed, e)
	}
	e, _ := y.live.Explain(last, y.core.Waits)
	if e == nil || e.Cause != Tight || !strings.Contains(e.String(), "earliest finish") || len(e.WhatIf) == 0 {
		t.Errorf("the last is\n%v", e)
	}
	s, _ := y.live.Summary()
	if s.Failed != 2*keptMissed+1 || s.Causes[0].Count != keptMissed || y.live.missed.Len() != keptMissed {
		t.Errorf("%d failed, %d of them kept: %+v", s.Failed, y.live.missed.Len(), s.Causes)
	}
}

func TestActionsAreToldAsTheyWerePlannedAndAsTheyWere(t *testing.T) {
	y := newRig(1, 1, true)
	y.slow = time.Millisecond
	var told []Closed
	y.live.Closed = func(c *Closed) { told = append(told, *c) }
	y.submit(0, 100*time.Millisecond)
	y.work()
	if len(told) != 1 || !told[0].OK || told[0].Size != 1 || told[0].Took-told[0].Expected != time.Millisecond || told[0].Model != "m0000" {
		t.Errorf("%+v", told)
	}
}

// BenchmarkLive takes requests from Submit to Result at full load, without and
// with a Live beside the core: the difference is what it costs.
func BenchmarkLive(b *testing.B) {
	for _, gpus := range []int{4, 64} {
		for _, follow := range []bool{false, true} {
			b.Run(fmt.Sprintf("gpus=%d/live=%v", gpus, follow), func(b *testing.B) {
				y := newRig(gpus, 8*gpus, follow)
				b.ReportAllocs()
				for b.Loop() {
					for range 4 {
						y.submit(int(y.seq*7919)%(8*gpus), time.Second)
					}
					for len(y.due) > 2*gpus {
						y.workOne()
					}
					y.now += 1000
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(4*b.N), "ns/request")
			})
		}
	}
}

func (y *rig) workOne() {
	rest := y.due[1:]
	y.due = y.due[:1]
	y.work()
	y.due = append(y.due, rest...)
}
