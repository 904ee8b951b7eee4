package profiler

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/fx"
	"go.uber.org/goleak"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	b.profiler()
	models := specs(3)
	models = append(models, models[0]) // a copy is not measured twice
	models[3].Name = "m0-copy"
	report := b.measured(models, w1, w2)
	if len(report.Failures) != 0 || len(report.Profiles) != 6 {
		t.Fatalf("%d profiles, failures %+v; want 3 models on 2 types", len(report.Profiles), report.Failures)
	}
	for _, m := range models[:3] {
		for _, kind := range []string{"t4", "v100"} {
			p, found, err := b.state.Profile(t.Context(), m.Digest, kind)
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

func TestAbsurdTimesFailTheirModelAlone(t *testing.T) {
	b := newBench(t)
	w := bustest.StartWorker(t, b.bus, "w1", "t4")
	absurd := map[string]time.Duration{"m0": 0, "m1": -time.Second, "m2": protocol.MaxMeasured + 1}
	w.Script(func(a protocol.Action) *protocol.Result {
		took, bad := absurd[a.Model]
		switch {
		case bad && a.Kind == protocol.Infer && a.Batch == 2:
			return &protocol.Result{Kind: a.Kind, Code: protocol.OK, Exec: protocol.Phase{Device: took}}
		case a.Model == "m3" && a.Kind == protocol.LoadWeights:
			return &protocol.Result{Kind: a.Kind, Code: protocol.OK} // no time at all
		case a.Model == "m4" && a.Kind == protocol.Infer:
			return &protocol.Result{Kind: a.Kind, Code: protocol.BackendError, Message: "it burns"}
		}
		return nil
	})
	b.profiler()
	models := specs(7)
	models[5].Pages = 1000 // no GPU can hold it
	report := b.measured(models, w)
	failed := map[string]string{}
	for _, f := range report.Failures {
		failed[f.Digest] = f.Reason
	}
	for _, m := range models[:6] {
		if failed[m.Digest] == "" {
			t.Errorf("%s did not fail", m.Name)
		}
	}
	if len(report.Profiles) != 1 || report.Profiles[0].Digest != models[6].Digest {
		t.Errorf("profiles: %+v, want that of m6", report.Profiles)
	}
	burnt := slices.DeleteFunc(w.Received(protocol.Infer), func(a protocol.Action) bool { return a.Model != "m4" })
	if len(burnt) != maxFailures || !strings.Contains(failed[models[4].Digest], "it burns") {
		t.Errorf("m4 was given up after %d failures, want %d, with %q", len(burnt), maxFailures, failed[models[4].Digest])
	}
}

// TestAFailedActionIsRepeated lets one in 5 actions fail, as
// `clockwork up --fail-every 5` does.
func TestAFailedActionIsRepeated(t *testing.T) {
	b := newBench(t)
	w := bustest.StartWorker(t, b.bus, "w1", "t4")
	random := rand.New(rand.NewPCG(1, 1)) // one GPU: its actions come one by one
	codes := []protocol.Code{protocol.BackendError, protocol.NoMemory, protocol.WeightsInUse, protocol.Internal}
	failed := map[protocol.Kind]int{}
	row, longest := 0, 0
	w.Script(func(a protocol.Action) *protocol.Result {
		if !a.Kind.OnGPU() && a.Kind != protocol.ClearCache || random.IntN(5) > 0 {
			row = 0
			return nil
		}
		row++
		longest = max(longest, row)
		failed[a.Kind]++
		return &protocol.Result{Kind: a.Kind, Code: codes[random.IntN(len(codes))], Message: "not this time"}
	})
	b.profiler()
	models := specs(20)
	report := b.measured(models, w)
	if len(report.Profiles) != len(models) || len(report.Failures) != 0 {
		t.Errorf("%d profiles of %d, failures %+v", len(report.Profiles), len(models), report.Failures)
	}
	for _, p := range report.Profiles {
		if one, _ := p.At(1); one.Samples != 3 || p.LoadWeights.Samples != 3 {
			t.Errorf("samples %d and %d: what failed counts", one.Samples, p.LoadWeights.Samples)
		}
	}
	for _, kind := range []protocol.Kind{protocol.ClearCache, protocol.LoadWeights, protocol.EvictWeights, protocol.Infer} {
		if failed[kind] == 0 {
			t.Errorf("no %s failed: the test proves little", kind)
		}
	}
	if longest < 3 {
		t.Errorf("at most %d failures in a row: the test proves little", longest)
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

func TestLosingEveryWorkerIsNoVerdictOnTheModels(t *testing.T) {
	b := newBench(t)
	w := bustest.StartWorker(t, b.bus, "w1", "t4")
	reached := make(chan struct{}, 100)
	w.Script(func(a protocol.Action) *protocol.Result {
		if a.Kind == protocol.Infer {
			reached <- struct{}{}
			return &protocol.Result{}
		}
		return nil
	})
	b.profiler()
	job := b.give(specs(2), w)
	bustest.Next(t, "an Infer", reached)
	b.awaitBeat(func(h protocol.Heartbeat) bool { return h.State == strconv.FormatUint(job, 10) })
	w.Stop()
	b.awaitBeat(func(h protocol.Heartbeat) bool { return h.State == "idle" })
	// Another life of it: the controller gives a new job.
	again := bustest.StartWorker(t, b.bus, "w1", "t4")
	if report := b.measured(specs(2), again); len(report.Failures) != 0 || len(report.Profiles) != 2 {
		t.Errorf("report: %+v", report)
	}
}

// TestAModelThatHangsIsGivenUp on the only GPU of its type, whose worker lives:
// after maxTries more tries it fails, and the others are measured.
func TestAModelThatHangsIsGivenUp(t *testing.T) {
	b := newBench(t)
	b.config.ActionTimeout = 500 * time.Millisecond
	w := bustest.StartWorker(t, b.bus, "w1", "t4")
	w.Script(func(a protocol.Action) *protocol.Result {
		if a.Kind == protocol.Infer && a.Model == "m0" {
			return &protocol.Result{} // it hangs
		}
		return nil
	})
	b.profiler()
	models := specs(3)
	report := b.measured(models, w)
	if len(report.Profiles) != 2 || len(report.Failures) != 1 {
		t.Fatalf("report: %+v", report)
	}
	if f := report.Failures[0]; f.Digest != models[0].Digest || !strings.Contains(f.Reason, "no result within") {
		t.Errorf("failure %+v", f)
	}
	tried := slices.DeleteFunc(w.Received(protocol.Infer), func(a protocol.Action) bool { return a.Model != "m0" })
	if len(tried) != maxTries+1 {
		t.Errorf("m0 was tried %d times, want %d", len(tried), maxTries+1)
	}
}

// TestAHungGPUEndsItsJob, though its worker lives, and says of every model why it
// was not measured.
func TestAHungGPUEndsItsJob(t *testing.T) {
	for name, stuck := range map[string]*protocol.Result{
		"gives no results": {},
		"stays in use":     {Kind: protocol.ClearCache, Code: protocol.WeightsInUse},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.config.ActionTimeout = 300 * time.Millisecond
			w := bustest.StartWorker(t, b.bus, "w1", "t4")
			var hung atomic.Bool
			w.Script(func(a protocol.Action) *protocol.Result {
				switch {
				case a.Kind == protocol.Infer:
					hung.Store(true)
					return &protocol.Result{}
				case hung.Load() && a.Kind != protocol.GetWorkerState:
					return stuck
				}
				return nil
			})
			b.profiler()
			report := b.measured(specs(3), w)
			if len(report.Profiles) != 0 || len(report.Failures) != 3 {
				t.Fatalf("report: %+v", report)
			}
			for _, f := range report.Failures {
				if f.Reason != "GPU 0 of worker w1 gives no results" {
					t.Errorf("reason %q", f.Reason)
				}
			}
		})
	}
}

// TestAModelThatKillsItsWorkersIsGivenUp: each life of the only worker ends with
// it. The others are measured meanwhile.
func TestAModelThatKillsItsWorkersIsGivenUp(t *testing.T) {
	b := newBench(t)
	b.profiler()
	models := specs(2)
	for range maxTries + 1 {
		w := bustest.StartWorker(t, b.bus, "w1", "t4")
		reached := make(chan struct{}, 100)
		w.Script(func(a protocol.Action) *protocol.Result {
			if a.Kind == protocol.Infer && a.Model == "m0" {
				reached <- struct{}{}
				return &protocol.Result{}
			}
			return nil
		})
		b.give(models, w)
		bustest.Next(t, "m0", reached)
		b.awaitBeat(func(h protocol.Heartbeat) bool { return h.State == strconv.FormatUint(b.jobs, 10) })
		w.Stop()
		b.awaitBeat(func(h protocol.Heartbeat) bool { return h.State == "idle" })
	}
	report := b.reported(b.jobs)
	if len(report.Profiles) != 1 || report.Profiles[0].Digest != models[1].Digest ||
		len(report.Failures) != 1 || report.Failures[0].Digest != models[0].Digest {
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
		m.Name = fmt.Sprintf("%060d", i)
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

func TestSummariesAreOrdered(t *testing.T) {
	samples := []time.Duration{5, 1, 4, 2, 3}
	m := summarize(samples)
	if m.Min != 1 || m.P50 != 3 || m.P99 != 4 || m.Max != 5 || m.Samples != 5 {
		t.Errorf("%+v", m) // P99 lies between the two last, rounded down
	}
	if !slices.Equal(samples, []time.Duration{5, 1, 4, 2, 3}) {
		t.Error("the samples were reordered")
	}
	if summarize(nil).Valid() {
		t.Error("nothing is valid")
	}
}
