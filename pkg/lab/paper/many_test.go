package paper

import (
	"testing"
	"time"

	"clockwork/pkg/lab/sim"
	"clockwork/pkg/lab/workload"
)

// Section 6.5: of thousands of models, cold and warm, next to no request that
// was accepted is late, no answer comes after its SLO, and executions take
// what was predicted.
func predicted(c *claims, _ Experiment, r Results, policy string) {
	report := r[Key{0, policy}]
	worst := time.Duration(report.Latency.Max()) * time.Microsecond
	c.that(worst <= 100*time.Millisecond+100*time.Microsecond, "an answer in the SLO of 100 ms took %v", worst) // three digits
	late := float64(report.Missed) / float64(report.Offered)
	c.that(late < 1e-3, "%d of %d that were accepted were late", report.Missed, report.Offered)
	over := time.Duration(report.Over.ValueAtQuantile(99)) * time.Microsecond
	c.that(over < time.Millisecond, "1 %% of the executions took %v longer than predicted, or more", over)
	warm := report.OK() - report.Cold
	c.that(report.Cold > 100 && warm > 10*report.Cold, "%d were answered by a cold model, %d by a warm one", report.Cold, warm)
	c.that(report.Share() > 0.5, "%.3f were in SLO", report.Share())
}

func TestSection65NextToNothingIsLateOfColdAndWarmModels(t *testing.T) {
	t.Parallel()
	e := experiment(t, "paper-6.5", 3*time.Second, "clockwork")
	if n := len(e.Trials[0].Workload.Instances()); n != 4026 {
		t.Errorf("%d models, the paper has 4,026", n)
	}
	holds(t, predicted, e, run(t, e, nil))
	wild := run(t, e, func(c *sim.Config) { c.Noise.Spread = 0.5 })
	broken(t, "GPUs that nobody can predict", predicted, e, wild, "clockwork")
	resident := run(t, e, func(c *sim.Config) { c.Resident, c.Pages = true, 1<<20 })
	broken(t, "GPUs that hold everything", predicted, e, resident, "clockwork")
}

// The functions of the trace are not alike: few are asked for all the time,
// many now and then, which is what makes models cold.
func TestTheTraceOfSection65IsLikeThatOfAzureFunctions(t *testing.T) {
	e := experiment(t, "paper-6.5", time.Minute, "clockwork")
	busy, rare, all := 0, 0, 0
	for _, s := range e.Trials[0].Workload.Streams {
		n := 0
		for _, count := range s.Process.(workload.Counts).Minutes {
			n += int(count.N)
		}
		all += n
		switch {
		case n >= 600: // 10 r/s
			busy += n
		case n <= 60: // 1 r/s
			rare++
		}
	}
	if share := float64(busy) / float64(all); share < 0.5 {
		t.Errorf("the busiest functions have %.2f of the requests", share)
	}
	if share := float64(rare) / float64(len(e.Trials[0].Workload.Streams)); share < 0.4 {
		t.Errorf("%.2f of the functions are rarely asked for", share)
	}
}

// Section 6.6: twice the GPUs serve twice the requests; under a load that no
// GPUs could bear, goodput stays where it was.
func scales(c *claims, e Experiment, r Results, policy string) {
	first := r[Key{0, policy}]
	steps := int(e.Trials[0].Workload.Length / e.Trials[0].Config.Window)
	begin, end := first.Series[0].Offered, first.Series[steps-1].Offered
	c.that(end > 20*begin, "%d requests at first, %d at last", begin, end)
	one := peakOf(first) / float64(e.Trials[0].Config.GPUs)
	for i, trial := range e.Trials {
		report, gpus := r[Key{i, policy}], float64(trial.Config.GPUs)
		c.that(peakOf(report) > 0.8*one*gpus, "%s GPUs serve %.0f r/s, %.0f for each; 10 serve %.0f for each", trial.Label, peakOf(report), peakOf(report)/gpus, one)
		last := float64(report.Series[steps-1].OK) / report.Window.Seconds()
		c.that(last > 0.7*peakOf(report), "%s GPUs serve %.0f r/s under the highest load, %.0f at best", trial.Label, last, peakOf(report))
	}
}

func TestSection66GoodputGrowsWithTheGPUsAndStaysUnderOverload(t *testing.T) {
	t.Parallel()
	e := experiment(t, "paper-6.6", time.Second, "clockwork")
	e.Trials = e.Trials[:2] // 10 and 20 GPUs
	holds(t, scales, e, run(t, e, nil))
	same := run(t, e, func(c *sim.Config) { c.GPUs = 10 })
	broken(t, "10 GPUs, whatever the load", scales, e, same, "clockwork")
}
