package sched

import (
	"fmt"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

func measurement(d time.Duration) protocol.Measurement {
	return protocol.Measurement{Samples: 1, Min: d, P50: d, P99: d, Max: d}
}

// spec makes a model whose digest is its name, and its profile on type t4.
func spec(name string, pages int, load time.Duration, exec ...time.Duration) (protocol.ModelSpec, protocol.Profile) {
	m := protocol.ModelSpec{Name: name, Digest: name, Pages: pages}
	p := protocol.Profile{Digest: name, GPUType: "t4", LoadWeights: measurement(load)}
	for i, d := range exec {
		m.BatchSizes = append(m.BatchSizes, protocol.BatchSizes[i])
		p.Infer = append(p.Infer, protocol.BatchMeasurement{Batch: protocol.BatchSizes[i], Measurement: measurement(d)})
	}
	return m, p
}

func TestUnknownPoliciesAndBadConfigsAreErrors(t *testing.T) {
	if _, err := New("lottery", Defaults()); err == nil {
		t.Error("policy lottery was taken")
	}
	if _, err := New("simple", Config{}); err == nil {
		t.Error("the zero config was taken")
	}
}

func TestEchoAnswersAtOnce(t *testing.T) {
	core, err := New("echo", Defaults())
	if err != nil {
		t.Fatal(err)
	}
	id := protocol.RequestID{Door: 3, Seq: 4}
	out := core.Step(5, &Submit{protocol.Submission{ID: id, Model: "any"}})
	if len(out.Dispatches) != 1 || out.Dispatches[0].ID != id || out.Dispatches[0].Kind != protocol.Answer || out.Wake != protocol.Never {
		t.Fatalf("got %+v, want one Answer of %v and no wake-up", out, id)
	}
}

func TestUnprofiledBatchSizesAreInterpolated(t *testing.T) {
	_, p := spec("m", 1, 1, 100, 200, 300)
	c := newCost(Defaults(), p, true)
	for size, want := range map[int]time.Duration{1: 100, 2: 200, 3: 250, 4: 300, 9: 300} {
		if got := c.exec(size); got != want {
			t.Errorf("batch %d: got %v, want %v", size, got, want)
		}
	}
}

func TestTheBoundOfTheQueueIsKept(t *testing.T) {
	config := Defaults()
	config.MaxQueued = 2
	core, _ := New("simple", config)
	m, p := spec("a", 1, time.Millisecond, time.Millisecond)
	core.Step(0, &Activate{Epoch: 1, State: protocol.ClockworkState{Models: []protocol.ModelSpec{m}, Profiles: []protocol.Profile{p}}})
	for seq := uint64(1); seq <= 3; seq++ {
		out := core.Step(0, &Submit{protocol.Submission{ID: protocol.RequestID{Seq: seq}, Model: "a", Batch: 1, Budget: time.Second}})
		if refused := len(out.Refusals) == 1 && out.Refusals[0].Refusal.Code == protocol.Overloaded; refused != (seq == 3) {
			t.Errorf("request %d of 2 that may wait: refused OVERLOADED is %v", seq, refused)
		}
	}
}

// A worker answers an action that it knows by (issuer, id) from memory. So no
// id comes again, neither in a later epoch nor in a new core of this process.
func TestActionIDsNeverComeAgain(t *testing.T) {
	m, p := spec("a", 1, time.Millisecond, time.Millisecond)
	gpu := protocol.GPUState{Type: "t4", PagesTotal: 1, PagesUsed: 1, Models: []string{"a"}}
	state := protocol.ClockworkState{Models: []protocol.ModelSpec{m}, Profiles: []protocol.Profile{p},
		Workers: []protocol.WorkerState{{ID: "w", Incarnation: 1, GPUs: []protocol.GPUState{gpu}}}}
	seen := map[protocol.ActionID]bool{}
	act := func(core Core, epoch uint64) {
		core.Step(0, &Activate{Epoch: epoch, Issuer: 7, State: state})
		for seq := range uint64(3) {
			id := core.Step(0, &Submit{protocol.Submission{ID: protocol.RequestID{Seq: seq}, Model: "a", Batch: 1, Budget: time.Second}}).Actions[0].Action.ID
			if seen[id] {
				t.Errorf("epoch %d names its action %d, as an earlier one did", epoch, id)
			}
			seen[id] = true
		}
	}
	first, _ := New("simple", Defaults())
	second, _ := New("simple", Defaults())
	act(first, 1)
	act(first, 2)
	act(second, 3)
}

// thousandModels is a worker with one GPU that holds 1,000 models.
func thousandModels() protocol.ClockworkState {
	state := protocol.ClockworkState{}
	gpu := protocol.GPUState{Type: "t4", PagesTotal: 1000, PagesUsed: 1000}
	for i := range 1000 {
		m, p := spec(fmt.Sprintf("m%d", i), 1, time.Millisecond, time.Millisecond)
		state.Models, state.Profiles = append(state.Models, m), append(state.Profiles, p)
		gpu.Models = append(gpu.Models, m.Name)
	}
	state.Workers = []protocol.WorkerState{{ID: "w", Incarnation: 1, GPUs: []protocol.GPUState{gpu}, Models: state.Models}}
	return state
}

// BenchmarkSimpleStep takes requests from Submit to Result, two steps each:
// with nothing else in the core, and with 50,000 requests that wait.
func BenchmarkSimpleStep(b *testing.B) {
	for name, waiting := range map[string]uint64{"idle": 0, "overloaded": 50_000} {
		b.Run(name, func(b *testing.B) { benchSteps(b, waiting) })
	}
}

func benchSteps(b *testing.B, waiting uint64) {
	core, _ := New("simple", Defaults())
	state := thousandModels()
	core.Step(0, &Activate{Epoch: 1, Issuer: 1, State: state})
	seq := uint64(0)
	var open []protocol.Action
	submit := func(now protocol.Time) {
		seq++
		out := core.Step(now, &Submit{protocol.Submission{ID: protocol.RequestID{Seq: seq}, Model: state.Models[seq%1000].Name, Batch: 1, Budget: time.Hour}})
		for _, a := range out.Actions {
			open = append(open, a.Action)
		}
	}
	for range waiting {
		submit(0)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		now := protocol.Time(i)
		submit(now)
		a := open[0]
		open = open[1:]
		out := core.Step(now, &Result{protocol.Result{Action: a.ID, Issuer: 1, Worker: "w", Kind: a.Kind, Code: protocol.OK, Begin: now, End: now + 1e6}})
		for _, a := range out.Actions {
			open = append(open, a.Action)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*b.N), "ns/step")
}

func BenchmarkEcho(b *testing.B) {
	core, _ := New("echo", Defaults())
	for i := range b.N {
		core.Step(protocol.Time(i), &Submit{protocol.Submission{ID: protocol.RequestID{Seq: uint64(i)}}})
	}
}
