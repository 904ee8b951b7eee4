package paper

import (
	"testing"
	"time"

	"clockwork/pkg/lab/sim"
)

// Section 6.1: goodput rises with the SLO, what is answered is answered in it,
// and the baselines collapse when it is tight.
func goodputRises(c *claims, e Experiment, r Results, policy string) {
	goodput := func(i int) float64 { return r[Key{i, policy}].Goodput() }
	last := len(e.Trials) - 1
	for i, slo := range slos61 {
		if i > 0 {
			c.that(goodput(i) > 0.97*goodput(i-1), "%.0f r/s at %v, %.0f at the tighter SLO before", goodput(i), slo, goodput(i-1))
		}
		worst := time.Duration(r[Key{i, policy}].Latency.Max()) * time.Microsecond
		c.that(worst <= slo+slo/1000, "an answer in the SLO of %v took %v", slo, worst) // three digits
	}
	c.that(goodput(last) > 1.3*goodput(0), "%.0f r/s at 500 ms, %.0f at 10 ms", goodput(last), goodput(0))
	tight := 1 // 25 ms
	for _, baseline := range []string{"fifo", "simple"} {
		c.that(r[Key{tight, baseline}].Goodput() < 0.7*goodput(tight), "at 25 ms %s has %.0f r/s, %s %.0f", baseline, r[Key{tight, baseline}].Goodput(), policy, goodput(tight))
	}
	c.that(r[Key{tight, "aimd"}].Goodput() < 0.95*goodput(tight), "at 25 ms aimd has %.0f r/s, %s %.0f", r[Key{tight, "aimd"}].Goodput(), policy, goodput(tight))
}

func TestSection61GoodputRisesWithTheSLOAndBaselinesCollapse(t *testing.T) {
	t.Parallel()
	e := experiment(t, "paper-6.1", time.Second, "clockwork", "aimd", "fifo", "simple")
	r := run(t, e, nil)
	holds(t, goodputRises, e, r)
	broken(t, "first in first out, one at a time", goodputRises, e, r, "fifo")
}

// Section 6.2: the GPU's memory is full at about 201 models (196 of 7 pages in
// 1,376), from some 300 active models on PCIe is the limit, the others get less
// the more there are, and the steady model gets what it asks for.
func thousandsAreServed(c *claims, e Experiment, r Results, policy string) {
	report := r[Key{0, policy}]
	full := report.GPUs[0].Full
	c.that(full >= 190 && full <= 205, "the first weights left when %d models had been loaded", full)
	steady := func(from, to int) float64 { return served(phase(report, report.Streams[0], from, to)) }
	others := func(from, to int) float64 { return served(phase(report, report.Streams[1], from, to)) }
	c.that(steady(-800, 0) > 0.99, "alone, the steady model has %.3f in SLO", steady(-800, 0))
	c.that(steady(600, 3600) > 0.95, "beside 600 and more, the steady model has %.3f in SLO", steady(600, 3600))
	c.that(others(2400, 3600) > 0.02, "of the others %.3f are in SLO in the end", others(2400, 3600))
	c.that(others(0, 300) > 1.3*others(2400, 3600), "of the others %.3f are in SLO at first, %.3f in the end", others(0, 300), others(2400, 3600))
	c.that(transferring(report, -800, 0) < 0.05, "PCIe is busy for %.3f of the time before", transferring(report, -800, 0))
	c.that(transferring(report, 600, 3600) > 0.8, "PCIe is busy for %.3f of the time in the end", transferring(report, 600, 3600))
}

func served(tallies []sim.Tally) float64 {
	offered, ok := 0, 0
	for _, t := range tallies {
		offered, ok = offered+t.Offered, ok+t.OK
	}
	return float64(ok) / float64(max(1, offered))
}

func transferring(r *sim.Report, from, to int) float64 {
	points := phase(r, r.Series, from, to)
	busy := time.Duration(0)
	for _, p := range points {
		busy += p.Transfer
	}
	return float64(busy) / float64(max(1, len(points))) / float64(r.Window)
}

func TestSection62MemoryIsFullAtAbout201ModelsThenPCIeIsTheLimit(t *testing.T) {
	t.Parallel()
	e := experiment(t, "paper-6.2", time.Minute, "clockwork")
	holds(t, thousandsAreServed, e, run(t, e, nil))
	half := run(t, e, func(c *sim.Config) { c.Pages /= 2 })
	broken(t, "a GPU of half the memory", thousandsAreServed, e, half, "clockwork")
	all := run(t, e, func(c *sim.Config) { c.Pages = 3601 * 7 })
	broken(t, "a GPU that holds all of them", thousandsAreServed, e, all, "clockwork")
}
