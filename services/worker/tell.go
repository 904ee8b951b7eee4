package worker

import (
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// tell tells of a result. The caller holds the lock.
func (a *agent) tell(r *protocol.Result) {
	a.figures.Ended(r, time.Now())
	if a.config.Telemetry == nil {
		return
	}
	told := *r
	told.Worker = a.config.Name // which no message says
	a.config.Telemetry.Result(&told)
}

// source is what can be read of a worker.
func (a *agent) source() watch.Source {
	return watch.Source{
		Service: protocol.Worker, Name: a.config.Name,
		Ready:  a.unready,
		Bus:    a.bus.Reading,
		Worker: a.reading,
	}
}

func (a *agent) unready() string {
	a.mu.Lock()
	stopping := a.stopping
	a.mu.Unlock()
	if stopping {
		return "it stops"
	}
	return a.bus.Unreachable()
}

func (a *agent) reading() watch.Worker {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := watch.Worker{
		Models: len(a.library), InFlight: a.inFlight, Inputs: len(a.inputs.arrived), InputBytes: a.inputs.bytes,
		ClockSteps: a.offset.Steps(),
	}
	if a.offset.Epoch() != 0 {
		w.ClockOffset, w.ClockError = a.offset.Ahead()
	}
	for _, g := range a.gpus {
		w.GPUs = append(w.GPUs, watch.GPU{
			Index: g.index, Type: g.info.Type, PagesTotal: g.pages.Total(), PagesUsed: g.pages.Used(), Models: len(g.weights),
		})
	}
	return w
}
