package workload

import (
	"cmp"
	"time"
)

// These are the workloads with which Clockwork is compared with other inference servers
// (docs/performance.md): small networks on one thread of a processor, where batches gain
// nothing and inputs are large. Names and durations are those of package zoo.
const (
	squeezenet = "zoo/cpu_squeezenet"
	shufflenet = "zoo/cpu_shufflenet"
	resnet50   = "zoo/cpu_resnet50"

	// squeezenetRate and resnet50Rate are what one executor serves of them alone, in
	// requests per second, peersRate what it serves of the twelve models of PeersW2.
	squeezenetRate = 301.0
	resnet50Rate   = 27.2
	peersRate      = 94.6

	quickSLO = 50 * time.Millisecond
	slowSLO  = 367 * time.Millisecond // ten executions of resnet50
)

// PeersW1 is Copies (1) of squeezenet that share Rate (301 r/s, what one executor serves),
// Poisson, SLO 100 ms.
func PeersW1(o Options) Workload {
	o.Path, o.SLO = squeezenet, o.slo(paperSLO)
	return openLoops(o, 1, squeezenetRate)
}

// PeersW2 is twelve models, four each of squeezenet, shufflenet and resnet50 in turn, which
// share Rate (94.6 r/s, what one executor serves) as 1, 1/2, 1/3 and so on. The SLO is
// 50 ms, of resnet50 367 ms.
func PeersW2(o Options) Workload {
	w, shares := twelve(o)
	for i, share := range shares {
		w.Streams[i].Process = Poisson{Always(cmp.Or(o.Rate, peersRate) * share)}
	}
	return w
}

// twelve is the models of PeersW2 with a stream each, which have no process yet, and the
// shares of the streams in all requests.
func twelve(o Options) (w Workload, shares []float64) {
	w = Workload{Seed: o.Seed, Length: o.Length}
	paths := []string{squeezenet, shufflenet, resnet50}
	for _, p := range paths {
		w.Loads = append(w.Loads, load(p, 4))
	}
	sum := 0.0
	for i := range 12 {
		sum += 1 / float64(i+1)
	}
	for i := range 12 {
		kind, slo := i%len(paths), quickSLO
		if paths[kind] == resnet50 {
			slo = slowSLO
		}
		w.add(Stream{Model: 4*kind + i/len(paths), SLO: o.slo(Within(slo))})
		shares = append(shares, 1/float64(i+1)/sum)
	}
	return w, shares
}

// PeersW3 is PeersW1 with a burst: 10 s at half of Rate (301 r/s), 5 s at three times of
// it, 10 s at half of it.
func PeersW3(o Options) Workload {
	w := PeersW1(o)
	w.Length = cmp.Or(o.Length, 25*time.Second)
	rate := cmp.Or(o.Rate, squeezenetRate) / float64(len(w.Streams))
	for i := range w.Streams {
		w.Streams[i].Process = Poisson{Schedule[float64]{{0, 0.5 * rate}, {10 * time.Second, 3 * rate}, {15 * time.Second, 0.5 * rate}}}
	}
	return w
}

// PeersW4 is a squeezenet at half of what one executor serves of it, SLO 50 ms, beside a
// flood of a resnet50 at Rate (54.4 r/s, twice of what one executor serves), SLO 367 ms.
func PeersW4(o Options) Workload {
	w := Workload{Seed: o.Seed, Length: o.Length, Loads: []Load{load(squeezenet, 1), load(resnet50, 1)}}
	w.add(Stream{Model: 0, Process: Poisson{Always(0.5 * squeezenetRate)}, SLO: o.slo(Within(quickSLO))})
	w.add(Stream{Model: 1, Process: Poisson{Always(cmp.Or(o.Rate, 2*resnet50Rate))}, SLO: Within(slowSLO)})
	return w
}

// PeersW5 is three squeezenets that share Rate (301 r/s, what one executor serves) evenly,
// with an SLO of 25, 100 and 400 ms: what a user waits for, a page, and work in the
// background.
func PeersW5(o Options) Workload {
	w := Workload{Seed: o.Seed, Length: o.Length, Loads: []Load{load(squeezenet, 3)}}
	for i, slo := range []time.Duration{25 * time.Millisecond, 100 * time.Millisecond, 400 * time.Millisecond} {
		w.add(Stream{Model: i, Process: Poisson{Always(cmp.Or(o.Rate, squeezenetRate) / 3)}, SLO: o.slo(Within(slo))})
	}
	return w
}

// The day of PeersW6 lasts 24 s, an hour a second.
const (
	hoursOfDay = 24
	hour       = time.Second
	// dayMean is the mean of the day's load as a share of Rate, daySwing how far a model's
	// goes up and down from its mean.
	dayMean, daySwing = 0.6, 0.8
	// From crowdFrom to crowdTo crowdModel, else a rare one, is asked for at crowd times Rate more.
	crowdModel, crowd  = 9, 2.0
	crowdFrom, crowdTo = 14, 18
)

// PeersW6 is a day of the twelve models of PeersW2, an hour a second: each has its peak two
// hours after the one before it, all together have 0.6 of Rate (94.6 r/s, what one executor
// serves). In the afternoon a crowd comes for one rare model: for four hours it is asked for
// at 2 times of Rate more.
func PeersW6(o Options) Workload {
	w, shares := twelve(o)
	w.Length = cmp.Or(o.Length, hoursOfDay*hour)
	all := cmp.Or(o.Rate, peersRate)
	for i, share := range shares {
		var rate Schedule[float64]
		for h := range hoursOfDay {
			value := all * share * dayMean * (1 + daySwing*wave(h+2*i))
			if i == crowdModel && h >= crowdFrom && h < crowdTo {
				value += crowd * all
			}
			rate = append(rate, Step[float64]{time.Duration(h) * hour, value})
		}
		w.Streams[i].Process = Poisson{rate}
	}
	return w
}

// wave goes from 1 at midnight to -1 at noon and back, in straight lines.
func wave(h int) float64 {
	const noon = hoursOfDay / 2
	h %= hoursOfDay
	return 1 - 2*float64(min(h, hoursOfDay-h))/noon
}
