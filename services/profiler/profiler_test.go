package profiler

import (
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/fx"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/measure"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

func TestMain(m *testing.M) { bustest.VerifyNoLeaks(m) }

func TestModuleIsComplete(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if err := fx.ValidateApp(fx.NopLogger, fx.Supply(DefaultConfig(), bus.Config{}, log), Module); err != nil {
		t.Error(err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []Config{{Iterations: 0, ActionTimeout: time.Second}, {Iterations: 1, ActionTimeout: 0}} {
		if _, err := New(c, bus.Config{}); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

func TestWhatIsStoredIsWhatTheWorkersTook(t *testing.T) {
	b := newBench(t)
	w1 := bustest.StartWorker(t, b.bus, "w1", "t4", "v100")
	w2 := bustest.StartWorker(t, b.bus, "w2", "t4")
	progress := make(chan protocol.Event, 100)
	b.on(b.bus.Subjects.Event(protocol.EventProfile), func(m *nats.Msg) {
		var e protocol.Event
		if fault := wire.DecodeBody(m.Data, &e); fault != nil {
			t.Error(fault)
		}
		progress <- e
	})
	steps := &shown{}
	b.config.Observers = append(b.config.Observers, steps)
	stop := b.profiler()
	models := specs(3)
	models = append(models, models[0]) // a copy is not measured twice
	models[3].Name = "m0-copy"
	report := b.measured(models, w1, w2)
	if len(report.Failures) != 0 || len(report.Profiles) != 6 {
		t.Fatalf("%d profiles, failures %+v; want 3 models on 2 types", len(report.Profiles), report.Failures)
	}
	for _, m := range models[:3] {
		for _, kind := range []string{"t4", "v100"} {
			p, found, err := b.profiles.Profile(t.Context(), protocol.Profile{Digest: m.Digest, Backend: m.Backend, BackendVersion: m.BackendVersion, GPUType: kind})
			if err != nil || !found || !p.Matches(m, kind) || !p.Complete(m) {
				t.Fatalf("%s on %s: %+v, %v, %v", m.Name, kind, p, found, err)
			}
			for _, size := range m.BatchSizes {
				want := protocol.Measurement{Samples: 3}
				want.Min = bustest.Took(protocol.Action{Kind: protocol.Infer, Batch: size})
				want.P50, want.P99, want.Max = want.Min, want.Min, want.Min
				if at, _ := p.At(size); at != want {
					t.Errorf("%s on %s at batch %d: %+v, the worker took %+v", m.Name, kind, size, at, want)
				}
			}
			if p.LoadWeights.P50 != bustest.Took(protocol.Action{Kind: protocol.LoadWeights}) || p.LoadWeights.Samples != 3 {
				t.Errorf("%s on %s: weights %+v", m.Name, kind, p.LoadWeights)
			}
		}
	}
	total := 6 * (1 + 3) // units of a transfer and three batch sizes
	for i := 1; i <= total; i++ {
		if e := bustest.Next(t, "progress", progress); e.Done != i || e.Total != total {
			t.Errorf("progress %d of %d, want %d of %d", e.Done, e.Total, i, total)
		}
	}
	infers := len(w1.Received(protocol.Infer)) + len(w2.Received(protocol.Infer))
	if want := 6 * 3 * (1 + 3); infers != want {
		t.Errorf("%d Infer actions, want %d", infers, want)
	}
	if w2.Received(protocol.Infer) == nil {
		t.Error("the second worker had nothing to do")
	}

	// The same again: all of it is stored.
	if report := b.measured(models, w1, w2); len(report.Profiles) != 6 {
		t.Errorf("second report: %+v", report)
	}
	if again := len(w1.Received(protocol.Infer)) + len(w2.Received(protocol.Infer)); again != infers {
		t.Errorf("%d Infer actions after all was stored, %d before", again, infers)
	}
	stop()
	if steps.began != 1 || steps.jobs != 2 || steps.sent < infers || steps.reports != 2 {
		t.Errorf("observers were shown %+v", steps)
	}
}

// shown counts what observers are shown.
type shown struct{ began, jobs, sent, reports int }

func (o *shown) Begin(measure.Config) { o.began++ }

func (o *shown) Step(_ protocol.Time, e measure.Event, out *measure.Output) {
	if _, is := e.(measure.JobGiven); is {
		o.jobs++
	}
	if out.Report != nil {
		o.reports++
	}
	o.sent += len(out.Actions)
}

func TestAnInterruptedJobGoesOnWhereItWas(t *testing.T) {
	b := newBench(t)
	w := bustest.StartWorker(t, b.bus, "w1", "t4")
	reached := make(chan struct{}, 100)
	var hold atomic.Bool
	hold.Store(true)
	w.Script(func(a protocol.Action) *protocol.Result {
		if hold.Load() && a.Kind == protocol.Infer && a.Batch == 4 {
			reached <- struct{}{}
			return &protocol.Result{} // it hangs
		}
		return nil
	})
	stop := b.profiler()
	models := specs(1)
	job := b.give(models, w)
	bustest.Next(t, "batch 4", reached)
	stop() // dies in the middle; batches 1 and 2 are stored
	hold.Store(false)
	before := len(w.Received(protocol.Infer))
	loads := len(w.Received(protocol.LoadWeights))
	b.profiler()
	b.send(job, models, w)
	if report := b.reported(job); len(report.Profiles) != 1 || !report.Profiles[0].Complete(models[0]) {
		t.Fatalf("report: %+v", report)
	}
	for _, a := range w.Received(protocol.Infer)[before:] {
		if a.Batch != 4 {
			t.Errorf("batch %d was measured again", a.Batch)
		}
	}
	if again := len(w.Received(protocol.LoadWeights)) - loads; again != 1 {
		t.Errorf("the weights were loaded %d times, once is enough to have them there", again)
	}
}

func TestALostWorkersShareGoesToAnother(t *testing.T) {
	b := newBench(t)
	w1 := bustest.StartWorker(t, b.bus, "w1", "t4")
	w2 := bustest.StartWorker(t, b.bus, "w2", "t4")
	reached := make(chan struct{}, 100)
	w1.Script(func(a protocol.Action) *protocol.Result {
		if a.Kind == protocol.Infer {
			reached <- struct{}{}
			return &protocol.Result{} // it hangs
		}
		return nil
	})
	b.profiler()
	models := specs(2)
	job := b.give(models, w1, w2)
	bustest.Next(t, "an Infer of the worker that will die", reached)
	bustest.Until(t, "the other one is through", func() bool {
		return len(w2.Received(protocol.Infer)) == 3*4
	})
	w1.Stop()
	if report := b.reported(job); len(report.Profiles) != 2 || len(report.Failures) != 0 {
		t.Errorf("report: %+v", report)
	}
}

func TestAnActionWithoutAResultEnds(t *testing.T) {
	b := newBench(t)
	b.config.ActionTimeout = 200 * time.Millisecond
	w := bustest.StartWorker(t, b.bus, "w1", "t4")
	var hung atomic.Bool
	w.Script(func(a protocol.Action) *protocol.Result {
		if a.Kind == protocol.Infer && !hung.Swap(true) {
			return &protocol.Result{}
		}
		return nil
	})
	b.profiler()
	if report := b.measured(specs(1), w); len(report.Profiles) != 1 || !hung.Load() {
		t.Errorf("report: %+v", report)
	}
}

// TestAJobWhoseGPUsAreLostEndsWithoutAReport: the heartbeat says that the profiler
// is idle, and the controller gives the job again.
func TestAJobWhoseGPUsAreLostEndsWithoutAReport(t *testing.T) {
	b := newBench(t)
	w := bustest.StartWorker(t, b.bus, "w1", "t4")
	w.Script(func(protocol.Action) *protocol.Result { return &protocol.Result{} })
	b.profiler()
	job := b.give(specs(1), w)
	b.awaitBeat(func(h protocol.Heartbeat) bool { return h.State == protocol.Busy && h.Job == job })
	w.Stop()
	b.awaitBeat(func(h protocol.Heartbeat) bool { return h.State == protocol.Idle })
	again := bustest.StartWorker(t, b.bus, "w1", "t4")
	if report := b.measured(specs(1), again); len(report.Profiles) != 1 {
		t.Errorf("report: %+v", report)
	}
}

func TestANewJobReplacesTheOneAtWork(t *testing.T) {
	b := newBench(t)
	w1 := bustest.StartWorker(t, b.bus, "w1", "t4")
	w2 := bustest.StartWorker(t, b.bus, "w2", "t4")
	reached := make(chan struct{}, 100)
	w1.Script(func(a protocol.Action) *protocol.Result {
		reached <- struct{}{}
		return &protocol.Result{}
	})
	b.profiler()
	b.give(specs(1), w1)
	bustest.Next(t, "the first job", reached)
	if report := b.measured(specs(1), w2); len(report.Profiles) != 1 {
		t.Errorf("report: %+v", report)
	}
}

func TestASecondProfilerStandsBy(t *testing.T) {
	b := newBench(t)
	w := bustest.StartWorker(t, b.bus, "w1", "t4")
	stop := b.profiler()
	second, err := New(DefaultConfig(), bustest.Config(b.server, "profiler"))
	if err != nil {
		t.Fatal(err)
	}
	bustest.Run(t, second)
	b.awaitBeat(func(h protocol.Heartbeat) bool { return h.Incarnation == second.id && h.State == protocol.Standby })
	b.measured(specs(1), w)
	for len(b.beats) > 0 {
		if h := <-b.beats; h.Incarnation == second.id && h.State != protocol.Standby {
			t.Fatal("two profilers at work")
		}
	}
	stop()
	b.awaitBeat(func(h protocol.Heartbeat) bool { return h.Incarnation == second.id && h.State != protocol.Standby })
	if report := b.measured(specs(2), w); len(report.Profiles) != 2 {
		t.Errorf("report: %+v", report)
	}
}

func TestAJobLargerThanAMessageArrives(t *testing.T) {
	b := newBench(t)
	w := bustest.StartWorker(t, b.bus, "w1", "t4")
	b.profiler()
	models := specs(1)
	for i := range 60_000 { // copies: long, but little to measure
		m := models[0]
		m.Name, m.WeightsBytes = fmt.Sprintf("%060d", i), int64(i) // what copies have in common is sent once
		models = append(models, m)
	}
	if size := len(wire.Job.Encode(&protocol.ProfileJob{Models: models})); size <= bus.MaxPayload {
		t.Fatalf("a job of %d bytes proves nothing", size)
	}
	if report := b.measured(models, w); len(report.Profiles) != 1 {
		t.Errorf("report: %+v", report)
	}
}

func TestHostileMessagesDoNoHarm(t *testing.T) {
	b := newBench(t)
	w := bustest.StartWorker(t, b.bus, "w1", "t4")
	b.profiler()
	for _, body := range bustest.Garbage() {
		for _, subject := range []string{b.bus.Subjects.ProfilerStart(), b.bus.Subjects.Result("w1"), b.bus.Subjects.Heartbeat(protocol.Worker, "w9")} {
			if err := b.bus.Payload.Publish(subject, body); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := b.bus.Payload.Flush(); err != nil {
		t.Fatal(err)
	}
	if report := b.measured(specs(1), w); len(report.Profiles) != 1 {
		t.Errorf("report: %+v", report)
	}
}
