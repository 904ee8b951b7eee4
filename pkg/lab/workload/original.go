package workload

import (
	"cmp"
	"time"

	"clockwork/pkg/protocol"
)

// These are the workloads of the original's client, as its code defines them
// (src/clockwork/workload/example.h, slo.h and the client's usage text in the
// repository of the OSDI 2020 artifact). As in the original, a stream's seed is
// its index; the arrivals differ. Where a comment gives no SLO, the original
// leaves it to the server (100 ms by default).

// Simple is Copies (2) models, each with Clients (1) in a closed loop.
func Simple(o Options) Workload { return closedLoops(o, 2, 1) }

// Spam is Copies (100) models, each with Clients (100) in a closed loop.
func Spam(o Options) Workload { return closedLoops(o, 100, 100) }

// SingleSpam is one model (Copies) with Clients (1,000) in a closed loop,
// according to the original's usage text and its name; the original's code loads
// 100 such models.
func SingleSpam(o Options) Workload { return closedLoops(o, 1, 1000) }

// FillMemory is more models than fit in a GPU's memory: one at 1,000 r/s, 10 at
// 10 r/s, 400 at 1 r/s, all Poisson. This follows the original's code; its usage
// text describes an older version with 500 models.
func FillMemory(o Options) Workload {
	w := o.alike(411)
	for i := range 411 {
		rate := 1.0
		switch {
		case i < 1:
			rate = 1000
		case i < 11:
			rate = 10
		}
		w.add(Stream{Model: i, Process: Poisson{Always(rate)}, SLO: o.SLO})
	}
	return w
}

// SLOExp1 is Copies (4) models that share Rate (100 r/s), Poisson or Fixed,
// while the SLO follows its schedule; the workload ends with the last step. The
// default schedule is the example in the original's usage text: 2, 4, 8, 16 and
// 32 times the execution time, 7 s each.
func SLOExp1(o Options) Workload {
	o.SLO = o.slo(Factors(Growing(2, 32, 7*time.Second, func(f float64) float64 { return 2 * f })))
	o.Length = cmp.Or(o.Length, span(o.SLO))
	return openLoops(o, 4, 100)
}

// SLOExp2 is SLOExp1 with Copies (2) models at Rate (200 r/s) in the foreground,
// and Background (4) additional models, each with Clients (1) in a closed loop
// with an SLO of 100 times the execution time, which start within 10 s. The
// defaults are the example in the original's usage text.
func SLOExp2(o Options) Workload {
	o.Copies, o.Rate = cmp.Or(o.Copies, 2), cmp.Or(o.Rate, 200)
	return beside(o, SLOExp1, cmp.Or(o.Background, 4), cmp.Or(o.Clients, 1), Always(SLO{Factor: 100}))
}

// beside adds closed loops on additional copies to a workload of one model.
func beside(o Options, foreground func(Options) Workload, copies, clients int, slo Schedule[SLO]) Workload {
	copies = max(copies, 0)
	w := foreground(o)
	first := w.Loads[0].Copies
	w.Loads[0].Copies += copies
	w.closed(first, copies, clients, 10*time.Second, slo)
	return w
}

// Comparison is Copies (15) models that share Rate (1,000 r/s), Poisson.
func Comparison(o Options) Workload { return openLoops(o, 15, 1000) }

// ComparisonClosed is Copies (15) models, each with Clients (16) in a closed
// loop.
func ComparisonClosed(o Options) Workload { return closedLoops(o, 15, 16) }

// BurstyModels is one model at 200 r/s throughout; after 300 s Rate (1,000 r/s)
// is sent to Copies (3,600) other models, at first all to one of them, then
// evenly to one more each second. It ends when all have been active for a
// second, or at Length.
func BurstyModels(o Options) Workload { return activated(o, 300*time.Second) }

// activated activates the other models after lead. Copies counts them without
// the steady model, which is the last, as in the original.
func activated(o Options, lead time.Duration) Workload {
	copies := cmp.Or(o.Copies, 3600)
	w := o.alike(copies + 1)
	w.Length = cmp.Or(o.Length, lead+time.Duration(copies)*time.Second)
	active := make(Schedule[int], copies)
	for i := range active {
		active[i] = Step[int]{time.Duration(i) * time.Second, i + 1}
	}
	w.add(Stream{Model: copies, Process: Poisson{Always(200.0)}, SLO: o.SLO})
	w.add(Stream{Start: lead, Spread: active, Process: Poisson{Always(cmp.Or(o.Rate, 1000))}, SLO: o.SLO})
	return w
}

// These belong to the original's replay of Azure Functions.
const (
	// azureRate is the mean of the whole trace, measured in section 6.5, where the
	// client was configured for 8 workers at 0.125 of the trace each.
	azureRate   = 9638.0
	azureWorker = 0.125
	// azureCopies is the number of instances of each of 61 models, azurePer the
	// number of functions per instance: "four or five".
	azureCopies = 66
	azurePer    = 4.5
)

// AzureReplay is the functions of a trace in turn over Copies (66) of each model
// of Zoo, Poisson within each minute. Without a Trace, 4.5 functions per
// instance are generated, with a mean of Rate (an eighth of the paper's 9,638
// r/s for each of GPUs, 1 by default).
func AzureReplay(o Options) Workload {
	rate := cmp.Or(o.Rate, azureWorker*azureRate*float64(cmp.Or(o.GPUs, 1)))
	return azureLike(o, Shape{Rate: rate}, nil)
}

// azureLike replays o.Trace, or a generated trace; it sets Functions.
func azureLike(o Options, s Shape, scale Schedule[float64]) Workload {
	var loads []Load
	for _, p := range o.Zoo {
		loads = append(loads, load(p, cmp.Or(o.Copies, azureCopies)))
	}
	w := Workload{Loads: loads}
	trace := o.Trace
	if n := len(w.Instances()); trace == nil && n > 0 {
		s.Seed, s.Functions = o.Seed, min(int(azurePer*float64(n)), MaxFunctions)
		trace, _ = Generate(s) // an impossible shape gives no streams, which Validate refuses
	}
	w = trace.Replay(loads, scale, o.SLO)
	w.Seed, w.Length = o.Seed, o.Length
	return w
}

// longestSLO is the SLO of requests without a real deadline.
var longestSLO = Within(protocol.MaxSLO)
