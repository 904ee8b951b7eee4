package summary

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

type gpu struct {
	worker string
	index  int
}

// work is what a GPU did in a period.
type work struct {
	infers, loads, evictions, failed int
	items                            int           // padding counted
	executing, copying               time.Duration // busy time of the two lanes
}

func (w *work) add(r *protocol.Result) {
	took := r.End.Sub(r.Begin)
	switch {
	case r.Code != protocol.OK:
		w.failed++
	case r.Kind == protocol.Infer:
		w.infers++
		w.items += r.Batch
		w.executing += r.Exec.Device
	case r.Kind == protocol.LoadWeights:
		w.loads++
		w.copying += took
	case r.Kind == protocol.EvictWeights:
		w.evictions++
	}
}

// gpus counts the work of the GPUs of this process' workers.
type gpus struct {
	mu   sync.Mutex
	done map[gpu]*work
}

func (s *gpus) onResult(r *protocol.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := gpu{r.Worker, r.GPU}
	w := s.done[at]
	if w == nil {
		if s.done == nil {
			s.done = map[gpu]*work{}
		}
		w = &work{}
		s.done[at] = w
	}
	w.add(r)
}

// end ends a period and returns its counts.
func (s *gpus) end() map[gpu]*work {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := s.done
	s.done = nil
	return done
}

// reportGPUs logs what each GPU did; read holds the current gauges.
func reportGPUs(log *slog.Logger, done map[gpu]*work, took time.Duration, read []watch.Gauges) {
	now := map[gpu]watch.GPU{}
	for _, r := range read {
		if r.Worker == nil {
			continue
		}
		for _, g := range r.Worker.GPUs {
			now[gpu{r.Name, g.Index}] = g
		}
	}
	order := slices.SortedFunc(maps.Keys(done), func(a, b gpu) int {
		return cmp.Or(cmp.Compare(a.worker, b.worker), a.index-b.index)
	})
	for _, at := range order {
		w := done[at]
		fields := []any{
			"worker", at.worker, "gpu", at.index,
			"infers", perSecond(w.infers, took), "loads", perSecond(w.loads, took), "evictions", perSecond(w.evictions, took), "failed", w.failed,
			"mean_batch", rounded(float64(w.items) / float64(max(1, w.infers))),
			"execution", utilisation(w.executing, took), "transfer", utilisation(w.copying, took),
		}
		if g, there := now[at]; there {
			fields = append(fields, "pages_used", g.PagesUsed, "pages", g.PagesTotal, "models", g.Models)
		}
		log.Info("gpu", fields...)
	}
}

// utilisation returns the share of a period in which a lane was busy. Work that began
// before the period counts in full, but the share is at most 1.
func utilisation(busy, took time.Duration) float64 {
	return rounded(min(1, busy.Seconds()/took.Seconds()))
}
