package bench

import (
	"slices"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/lab/report"
	"clockwork/pkg/protocol"
)

func TestFiguresStandBesideThoseOfAnEarlierRun(t *testing.T) {
	then := &Report{Total: Summary{
		OfferedRate: 100, Goodput: 80, Share: 0.8, Latency: Percentiles{P50: 10 * msec, P99: 20 * msec, P999: 30 * msec, Max: 40 * msec},
		Errors: []report.ErrorCount{{Code: protocol.Overloaded, Count: 4}},
	}}
	now := &Report{Total: Summary{
		OfferedRate: 200, Goodput: 120, Share: 0.6, Latency: Percentiles{P50: 5 * msec, P99: 20 * msec, Max: 100 * msec}, NoAnswer: 3, Cold: 7,
		Errors: []report.ErrorCount{{Code: protocol.WorkerLost, Count: 2}},
	}}
	ratios := map[string]float64{}
	var without []string
	for _, f := range Compare(then, now) {
		if ratio, ok := f.Ratio(); ok {
			ratios[f.Name] = ratio
		} else {
			without = append(without, f.Name)
		}
	}
	for name, want := range map[string]float64{"offered": 2, "goodput": 1.5, "in SLO": 0.75, "p50": 0.5, "p99": 1, "max": 2.5, "OVERLOADED": 0} {
		if got, has := ratios[name]; !has || got < want-1e-9 || got > want+1e-9 {
			t.Errorf("%s: ratio %v, want %v", name, got, want)
		}
	}
	if _, has := ratios["p99.9"]; has {
		t.Error("p99.9 has a ratio, and one of the runs has none of it")
	}
	for _, name := range []string{"cold starts", "WORKER_LOST", "no answer"} { // there were none then
		if !slices.Contains(without, name) {
			t.Errorf("%s is not among %v", name, without)
		}
	}
}

func TestSettingsSayInWhatTheyDiffer(t *testing.T) {
	base := func() Setting {
		return Setting{
			Workload: "poisson", Seed: 1, Loads: []string{"zoo/a x 2", "b", "c", "d"}, Options: []Option{{"rate", "100 r/s"}},
			Length: time.Second, Warmup: 100 * msec, Payload: "generated", Connections: 4,
		}
	}
	if d := Differences(base(), base()); d != nil {
		t.Errorf("the same differ: %v", d)
	}
	for says, change := range map[string]func(*Setting){
		"workload: poisson then, fixed now": func(s *Setting) { s.Workload = "fixed" },
		"seed: 1 then, 2 now":               func(s *Setting) { s.Seed = 2 },
		"models: zoo/a x 2, b, c and 1 more then, zoo/a x 2, b, c and 1 more no": func(s *Setting) { s.Loads[3] = "e" },
		"rate: 100 r/s then, 200 r/s now":                                        func(s *Setting) { s.Options[0].Value = "200 r/s" },
		"rate: 100 r/s then, as the workload has it now":                         func(s *Setting) { s.Options = nil },
		"SLO: as the workload has it then, 5ms now":                              func(s *Setting) { s.Options = append(s.Options, Option{"SLO", "5ms"}) },
		"length: 1s then, 2s now":                                                func(s *Setting) { s.Length = 2 * time.Second },
		"warm-up: 100ms then, 0s now":                                            func(s *Setting) { s.Warmup = 0 },
		"inputs: generated then, random now":                                     func(s *Setting) { s.Payload = "random" },
		"connections: 4 then, 1 now":                                             func(s *Setting) { s.Connections = 1 },
	} {
		other := base()
		change(&other)
		if d := Differences(base(), other); len(d) != 1 || !strings.Contains(d[0], says) {
			t.Errorf("got %q, want %q", d, says)
		}
	}
}
