package workload

import (
	"cmp"
	"math"
	"time"
)

// These are the experiments of section 6 of the Clockwork paper (Gujarati et
// al., OSDI 2020), with the additions of its artifact's instructions. Unlike the
// original's workloads they set an SLO: 100 ms, unless the experiment is about
// the SLO.

var paperSLO = Within(100 * time.Millisecond)

// Paper61 is Copies (15) of resnet50_v2, each with Clients (16) in a closed
// loop, on one GPU. The paper varies SLO (100 ms) from 10 to 500 ms.
func Paper61(o Options) Workload {
	o.SLO = o.slo(paperSLO)
	return ComparisonClosed(o)
}

// Paper61Open is Paper61 with open loops that share Rate (1,000 r/s).
func Paper61Open(o Options) Workload {
	o.SLO = o.slo(paperSLO)
	return Comparison(o)
}

// Paper62 is section 6.2, "can it serve thousands": one model at 200 r/s and
// Copies (3,600) that share Rate (1,000 r/s), one more active each second after
// the first 15 minutes. Length is 75 minutes, as in the artifact.
func Paper62(o Options) Workload {
	o.SLO = o.slo(paperSLO)
	return activated(o, 15*time.Minute)
}

// Paper63 is section 6.3, "how low can it go": Copies (12) models share Rate
// (600 r/s), Poisson; the paper has 12 and 48 models, 600, 1,200 and 2,400 r/s,
// and 6 GPUs. The SLO starts at 2.9 ms, one execution, and grows by half every
// 30 s up to 100 times that, where the workload ends.
func Paper63(o Options) Workload {
	o.SLO = o.slo(rising())
	o.Copies, o.Rate = cmp.Or(o.Copies, 12), cmp.Or(o.Rate, 600)
	return SLOExp1(o)
}

// rising is the paper's schedule in absolute times, so that it is the same on
// every GPU.
func rising() Schedule[SLO] {
	const execution = 2.9 // ms
	var slo Schedule[SLO]
	for _, step := range Growing(1, 100, 30*time.Second, func(f float64) float64 { return 1.5 * f }) {
		slo = append(slo, Step[SLO]{step.From, SLO{Fixed: time.Duration(math.Round(execution * step.Value * 1e6))}})
	}
	return slo
}

// Paper64 is section 6.4, "can it isolate": Copies (6) latency-sensitive models
// share Rate (200 r/s) under the SLOs of Paper63, alongside Background (12)
// models with Clients (16) each in closed loops without a real deadline. The
// paper also has no background, and 48 models of 4 clients. (The artifact's text
// calls 200 r/s each model's rate; its code divides it among them.)
func Paper64(o Options) Workload {
	o.Copies, o.Rate = cmp.Or(o.Copies, 6), cmp.Or(o.Rate, 200)
	return beside(o, Paper63, cmp.Or(o.Background, 12), cmp.Or(o.Clients, 16), longestSLO)
}

// Paper65 is section 6.5, "is it predictable": Trace, or a generated one with a
// mean of Rate (9,638 r/s), over Copies (66) of each model of Zoo (61 in the
// paper) for Length (8 hours), on 12 GPUs.
func Paper65(o Options) Workload {
	o.SLO = o.slo(paperSLO)
	o.Length = cmp.Or(o.Length, 8*time.Hour)
	minutes := min(int((o.Length+time.Minute-1)/time.Minute), DayMinutes)
	return azureLike(o, Shape{Minutes: minutes, Rate: cmp.Or(o.Rate, azureRate)}, nil)
}

// Paper66 is section 6.6, "does it scale": the load of 6.5 for GPUs (10; up to
// 150 in the paper), at first a tenth of it, then half as much again every
// minute up to four times. Load 1 is an eighth of the trace per GPU: of Trace as
// it is, or of a generated one with a mean of Rate (9,638 r/s) and without hours
// of the day, so that only the load changes.
func Paper66(o Options) Workload {
	o.SLO = o.slo(paperSLO)
	load := Growing(0.1, 4, time.Minute, func(f float64) float64 { return 1.5 * f })
	o.Length = cmp.Or(o.Length, span(load))
	minutes := len(load)
	for i := range load {
		load[i].Value *= azureWorker * float64(cmp.Or(o.GPUs, 10))
	}
	return azureLike(o, Shape{Minutes: minutes, Rate: cmp.Or(o.Rate, azureRate), Flat: true}, load)
}
