package paper

import (
	"testing"
	"time"

	"clockwork/pkg/lab/sim"
	"clockwork/pkg/lab/workload"
)

// inTime is how much of a mix of the zoo is served in time.
func inTime(t *testing.T, c sim.Config, o workload.Options) float64 {
	t.Helper()
	o.Zoo = Mix()
	w, err := workload.Named("mix", o)
	if err != nil {
		t.Fatal(err)
	}
	report, err := sim.Run(c, w, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report.Share()
}

// Where nearly every request is cold and there is more to do than a GPU can,
// what is loaded decides. A policy that loads whatever comes is no bad one then:
// it keeps what it has.
func TestMostlyColdModels(t *testing.T) {
	cold := func(policy string) float64 {
		c := sim.Defaults(policy)
		c.Pages = 1386
		return inTime(t, c, workload.Options{Seed: 1, Rate: 700, Length: 10 * time.Second, Copies: 33, SLO: workload.Within(50 * time.Millisecond)})
	}
	clockwork, simple := cold("clockwork"), cold("simple")
	if clockwork < 1.1*simple {
		t.Errorf("%.3f served in time, policy simple %.3f", clockwork, simple)
	}
}

// Workers may be far away: the way to them is learned.
func TestFarWorkers(t *testing.T) {
	for _, c := range []struct {
		hop, slo time.Duration
		rate     float64
		least    float64
	}{
		{2 * time.Millisecond, 100 * time.Millisecond, 2000, 0.99},
		{10 * time.Millisecond, 100 * time.Millisecond, 1500, 0.95},
		{20 * time.Millisecond, time.Second, 840, 0.99},
	} {
		config := sim.Defaults("clockwork")
		config.GPUs = 4
		config.Network.Base, config.Network.Jitter = c.hop, c.hop/10
		if got := inTime(t, config, workload.Options{Seed: 1, Rate: c.rate, Length: 4 * time.Second, SLO: workload.Within(c.slo)}); got < c.least {
			t.Errorf("%v a hop, %v: %.3f served in time, expected %v", c.hop, c.slo, got, c.least)
		}
	}
}
