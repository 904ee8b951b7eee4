package sim

import (
	"math"
	"testing"
	"time"

	"clockwork/pkg/adapter/backend/zoo"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// named runs a named workload for so many seconds.
func named(t *testing.T, c Config, name string, o workload.Options) *Report {
	t.Helper()
	w, err := workload.Named(name, o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(c, w, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func seconds(n float64) time.Duration { return time.Duration(n * 1e9) }

func TestG10TheSameSeedGivesTheSameHistory(t *testing.T) {
	o := workload.Options{Seed: 3, Length: seconds(3), Rate: 900}
	for _, policy := range policies.Names() {
		if policy == "echo" {
			continue
		}
		c := Defaults(policy)
		first, again := named(t, c, "paper-6.1-open", o), named(t, c, "paper-6.1-open", o)
		if first.Hash != again.Hash || first.OK() != again.OK() {
			t.Errorf("%s: two runs differ: %x with %d OK, %x with %d", policy, first.Hash, first.OK(), again.Hash, again.OK())
		}
		c.Seed = 2
		if other := named(t, c, "paper-6.1-open", o); other.Hash == first.Hash {
			t.Errorf("%s: another seed gives the same history", policy)
		}
	}
}

func TestG13AccountsClose(t *testing.T) {
	for _, name := range []string{"paper-6.1", "paper-6.1-open", "slo-exp-1", "slo-exp-2", "paper-6.4"} {
		r := named(t, Defaults("clockwork"), name, workload.Options{Seed: 1, Length: seconds(2)})
		sum, shown := 0, 0
		for _, n := range r.Codes {
			sum += n
		}
		for _, p := range r.Series {
			shown += p.Offered
		}
		if r.Offered == 0 || sum != r.Offered || shown != r.Offered {
			t.Errorf("%s: %d offered, %d answered, %d in the series", name, r.Offered, sum, shown)
		}
		if s := r.Core; s.Queued+s.InFlight > 0 || s.Submitted != s.Succeeded+s.Refused {
			t.Errorf("%s: the core is not at rest: %+v", name, s)
		}
	}
}

// Batches of one take 2.73 ms: 366 requests a second are all there is.
func TestWithoutBatchesAGPUServesOneExecutionAfterTheOther(t *testing.T) {
	r := named(t, Defaults("fifo"), "paper-6.1-open", workload.Options{Seed: 1, Length: seconds(10), Rate: 1000})
	want := 1 / zoo.Find("zoo/resnet50_v2").Execution(1).Seconds()
	if got := r.Goodput(); math.Abs(got-want) > want/50 {
		t.Errorf("goodput %.1f r/s, expected about %.1f", got, want)
	}
	if r.GPUs[0].Infers == 0 || r.MeanBatch() != 1 {
		t.Errorf("%d executions with a mean batch of %v", r.GPUs[0].Infers, r.MeanBatch())
	}
}

func TestOKIsWithinTheSLO(t *testing.T) {
	for _, policy := range []string{"clockwork", "simple", "aimd"} {
		r := named(t, Defaults(policy), "paper-6.1-open", workload.Options{Seed: 1, Length: seconds(5), Rate: 2000})
		if worst := r.Latency.Max(); worst > 100_000+100 { // three digits
			t.Errorf("%s: an OK took %d us of 100 ms", policy, worst)
		}
		if r.Codes[protocol.DeadlineExceeded]+r.Codes[protocol.DeadlineUnmeetable] == 0 {
			t.Errorf("%s: no request was lost under overload; the test proves nothing", policy)
		}
	}
}

func TestColdModelsAreLoadedOnce(t *testing.T) {
	r := named(t, Defaults("clockwork"), "paper-6.1-open", workload.Options{Seed: 1, Length: seconds(5), Rate: 300})
	if r.GPUs[0].Loads != 15 || r.GPUs[0].Evicted != 0 || r.Cold == 0 {
		t.Errorf("%d loads, %d evictions, %d cold starts of 15 models that fit", r.GPUs[0].Loads, r.GPUs[0].Evicted, r.Cold)
	}
	c := Defaults("clockwork")
	c.Resident = true
	if r := named(t, c, "paper-6.1-open", workload.Options{Seed: 1, Length: seconds(5), Rate: 300}); r.GPUs[0].Loads != 0 || r.Cold != 0 {
		t.Errorf("%d loads and %d cold starts of models that are there", r.GPUs[0].Loads, r.Cold)
	}
}

func TestNobodyBeatsTheBound(t *testing.T) {
	for _, rate := range []float64{400, 700, 1500} {
		o := workload.Options{Seed: 1, Length: seconds(5), Rate: rate}
		c := Defaults("")
		c.Resident = true
		w, err := workload.Named("paper-6.1-open", o)
		if err != nil {
			t.Fatal(err)
		}
		bound, err := Bound(c, w)
		if err != nil {
			t.Fatal(err)
		}
		for _, policy := range []string{"clockwork", "faithful", "deferred", "aimd", "fifo", "simple"} {
			c.Policy = policy
			if r := named(t, c, "paper-6.1-open", o); r.OK() > bound {
				t.Errorf("%s at %.0f r/s: %d OK, the bound is %d", policy, rate, r.OK(), bound)
			}
		}
	}
}

// One GPU, one model, arrivals that no batch can join: the bound is exact.
func TestTheBoundOfRequestsThatCannotShareABatch(t *testing.T) {
	at := []protocol.Time{0, 20e6, 40e6, 60e6}
	w := workload.Workload{
		Name: "apart", Length: seconds(0.1), Loads: []workload.Load{{Path: "zoo/resnet50_v2", Name: "m", Copies: 1}},
		Streams: []workload.Stream{{Process: workload.Times{At: at}, SLO: workload.Within(10 * time.Millisecond)}},
	}
	if bound, err := Bound(Defaults("clockwork"), w); err != nil || bound != 4 {
		t.Errorf("bound %d (%v), expected all 4", bound, err)
	}
	w.Streams[0].SLO = workload.Within(2 * time.Millisecond) // an execution takes 2.73
	if bound, err := Bound(Defaults("clockwork"), w); err != nil || bound != 0 {
		t.Errorf("bound %d (%v), expected none", bound, err)
	}
}

func TestWhatCannotBeSimulatedIsAnError(t *testing.T) {
	w, err := workload.Named("simple", workload.Options{Length: seconds(1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Bound(Defaults("clockwork"), w); err == nil {
		t.Error("a closed loop has a bound")
	}
	for name, spoil := range map[string]func(*Config, *workload.Workload){
		"no GPUs":        func(c *Config, _ *workload.Workload) { c.GPUs = 0 },
		"no such policy": func(c *Config, _ *workload.Workload) { c.Policy = "lottery" },
		"no such model":  func(_ *Config, w *workload.Workload) { w.Loads[0].Path = "zoo/nothing" },
		"no SLO":         func(c *Config, _ *workload.Workload) { c.DefaultSLO = 0 },
	} {
		c, spoiled := Defaults("clockwork"), w
		spoiled.Loads = append([]workload.Load(nil), w.Loads...)
		spoil(&c, &spoiled)
		if _, err := Run(c, spoiled, nil); err == nil {
			t.Errorf("%s: it ran", name)
		}
	}
}

// BenchmarkRun is the simulator with the core inside, at full load.
func BenchmarkRun(b *testing.B) {
	w, err := workload.Named("paper-6.1-open", workload.Options{Seed: 1, Length: seconds(30), Rate: 1000})
	if err != nil {
		b.Fatal(err)
	}
	offered := 0
	for b.Loop() {
		r, err := Run(Defaults("clockwork"), w, nil)
		if err != nil {
			b.Fatal(err)
		}
		offered += r.Offered
	}
	b.ReportMetric(float64(offered)/b.Elapsed().Seconds(), "requests/s")
}
