package worker

import (
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// report reports a result to the statistics and the hub. The caller holds the
// lock.
func (a *agent) report(r *protocol.Result) {
	a.stats.Ended(r, time.Now())
	if a.config.Telemetry == nil {
		return
	}
	told := *r
	told.Worker = a.config.Name // messages do not contain it
	a.config.Telemetry.Result(&told)
}

// source returns the metrics source of a worker.
func (a *agent) source() watch.Source {
	return watch.Source{
		Service: protocol.Worker, Name: a.config.Name,
		Ready:  a.unready,
		Bus:    a.bus.Gauges,
		Worker: a.gauges,
	}
}

func (a *agent) unready() string {
	a.mu.Lock()
	stopping, stalled := a.core.Stopping(), a.core.AllStalled()
	a.mu.Unlock()
	switch {
	case stopping:
		return "it stops"
	case stalled:
		return "every GPU is stalled"
	}
	return a.bus.Unreachable()
}

func (a *agent) gauges() watch.Worker {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.core.Snapshot()
	w := watch.Worker{
		Models: s.Models, InFlight: s.InFlight, Inputs: s.Inputs, InputBytes: s.InputBytes,
		ClockOffset: s.ClockAhead, ClockError: s.ClockError, ClockSteps: s.ClockSteps,
	}
	for i, g := range s.GPUs {
		w.GPUs = append(w.GPUs, watch.GPU{
			Index: i, Type: a.gpus[i].info.Type, PagesTotal: g.PagesTotal, PagesUsed: g.PagesUsed, Models: g.Models,
			ExecutorsEnded: a.gpus[i].losses - a.gpus[i].overdue, ExecutorsOverdue: a.gpus[i].overdue,
			Stalled: g.Stalled,
		})
	}
	return w
}
