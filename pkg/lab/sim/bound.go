package sim

import (
	"errors"
	"time"

	"clockwork/pkg/adapter/backend/zoo"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// Bound returns an upper bound of the number of requests that any scheduler
// could answer within their SLO, with all arrivals known beforehand, no
// overhead, all weights on every GPU, and any batch size.
//
// Bound solves each model's batching exactly and relaxes the rest: GPU time is
// shared as if it could be divided arbitrarily until the last deadline. With a
// price mu on GPU time, a model's best batches are found by dynamic programming
// over its arrivals in order (with one SLO for the model, batches are runs of
// consecutive arrivals). For every mu,
//
//	sum over models of max(served - mu*time) + mu*capacity
//
// is an upper bound (Lagrangian duality), and Bound returns the least. The
// relaxation ignores that executions on one GPU do not overlap, so the bound is
// the tighter the longer a run is and the more GPUs share it.
//
// Bound returns an error for closed loops, whose arrivals are not known
// beforehand, for models with several SLOs, and for requests with several items.
func Bound(c Config, w workload.Workload) (int, error) {
	runs, err := arrivals(c, w)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, r := range runs {
		total += len(r.at)
	}
	gpus := float64(c.Workers * c.GPUs)
	return min(total, int(value(runs, priceOf(runs, gpus), gpus))), nil
}

// priceOf returns the price of GPU time at which the bound is least. value is
// convex in mu and an upper bound for any mu, so the result is valid even if the
// best price is out of range.
func priceOf(runs []*run, gpus float64) float64 {
	low, high := 0.0, 1e-3
	for range 40 {
		a, b := low+(high-low)*0.382, low+(high-low)*0.618
		if value(runs, a, gpus) < value(runs, b, gpus) {
			high = b
		} else {
			low = a
		}
	}
	return (low + high) / 2
}

// value returns the bound at price mu of GPU time.
func value(runs []*run, mu, gpus float64) float64 {
	end, sum := protocol.Time(0), 0.0
	for _, r := range runs {
		if n := len(r.at); n > 0 {
			end = max(end, r.at[n-1].Add(r.slo))
		}
		sum += r.best(mu)
	}
	return sum + mu*gpus*float64(end)
}

// run is one model's arrivals.
type run struct {
	network *zoo.Network
	slo     time.Duration
	at      []protocol.Time
	most    int
	exec    []time.Duration
	gain    []float64 // scratch space of best
}

func arrivals(c Config, w workload.Workload) ([]*run, error) {
	source, err := w.Source(func(path string) time.Duration { return c.Hardware.Network(path).Execution(1) })
	if err != nil {
		return nil, err
	}
	for _, s := range w.Streams {
		if _, closed := s.Process.(workload.Closed); closed {
			return nil, errors.New("bound a closed loop: its arrivals are not known beforehand")
		}
	}
	instances := w.Instances()
	runs := make([]*run, len(instances))
	for i, in := range instances {
		n := c.Hardware.Network(in.Path)
		spec := n.Spec("", "", c.PageSize, c.MaxBatch)
		runs[i] = &run{network: n, most: spec.MaxBatch(), exec: make([]time.Duration, spec.MaxBatch()+1)}
		for b := 1; b <= runs[i].most; b++ {
			runs[i].exec[b] = n.Execution(b)
		}
	}
	for a, ok := source.Next(); ok; a, ok = source.Next() {
		r := runs[a.Model]
		if a.SLO == 0 {
			a.SLO = c.DefaultSLO
		}
		if r.slo != 0 && r.slo != a.SLO || a.Batch != 1 {
			return nil, errors.New("bound a model with several SLOs, or several items to a request: not supported")
		}
		r.slo = a.SLO
		r.at = append(r.at, a.At)
	}
	return runs, nil
}

// best returns the maximum of served - mu*time.
func (r *run) best(mu float64) float64 {
	n := len(r.at)
	if cap(r.gain) < n+1 {
		r.gain = make([]float64, n+1)
	}
	gain := r.gain[:n+1]
	gain[0] = 0
	for end := 1; end <= n; end++ {
		gain[end] = gain[end-1] // the last arrival is not served
		for b := 1; b <= min(end, r.most); b++ {
			first, last := r.at[end-b], r.at[end-1]
			if last.Add(r.exec[b]) > first.Add(r.slo) {
				break
			}
			gain[end] = max(gain[end], gain[end-b]+float64(b)-mu*float64(r.exec[b]))
		}
	}
	return gain[n]
}
