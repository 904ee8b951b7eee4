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
	w := Workload{Seed: o.Seed, Length: o.Length}
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
		rate := cmp.Or(o.Rate, peersRate) / float64(i+1) / sum
		w.add(Stream{Model: 4*kind + i/len(paths), Process: Poisson{Always(rate)}, SLO: o.slo(Within(slo))})
	}
	return w
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
