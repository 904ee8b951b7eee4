package work

import (
	"time"

	"clockwork/pkg/protocol"
)

// State describes the worker as GetWorkerState shows it.
func (w *Worker) State() *protocol.WorkerState {
	s := &protocol.WorkerState{
		ID:             w.config.Name,
		Incarnation:    w.config.Incarnation,
		Epoch:          w.epoch,
		Backend:        w.config.Backend,
		BackendVersion: w.config.BackendVersion,
		PageSize:       w.config.pageSize(),
		GenerateInputs: w.config.GenerateInputs,
		Models:         w.library.specs(),
		Profiles:       w.library.profiles(),
	}
	for i, g := range w.gpus {
		info := &w.config.GPUs[i]
		s.GPUs = append(s.GPUs, protocol.GPUState{
			ID: i, UUID: info.UUID, Type: info.Type, PagesTotal: g.pages.Total(), PagesUsed: g.pages.Used(), Models: g.pages.Loaded(),
		})
	}
	return s
}

// Heartbeat is what the worker says of its liveness.
func (w *Worker) Heartbeat() protocol.Heartbeat {
	h := protocol.Heartbeat{Incarnation: w.config.Incarnation, Epoch: w.epoch, State: "idle", ClockEpoch: w.offset.Epoch(), InFlight: w.inFlight}
	switch {
	case w.stopping:
		h.State = protocol.Stopping
	case w.inFlight > 0:
		h.State = "busy"
	}
	return h
}

// Snapshot is a worker for those who watch it.
type Snapshot struct {
	Models, InFlight, Inputs int
	InputBytes               int64
	Stopping                 bool
	// Executing is how many GPUs execute.
	Executing int
	// ClockEpoch is that of the clock that is known, 0 for none; ClockAhead is how
	// far it is ahead, to ClockError; ClockSteps how often it was stepped.
	ClockEpoch             uint64
	ClockAhead, ClockError time.Duration
	ClockSteps             int
	GPUs                   []GPUSnapshot
}

// GPUSnapshot is one of its GPUs.
type GPUSnapshot struct {
	PagesTotal, PagesUsed, Models int
}

// InFlight is how many actions have no result.
func (w *Worker) InFlight() int { return w.inFlight }

// Executing is how many GPUs execute now.
func (w *Worker) Executing() int { return w.busy }

// ClockEpoch is the epoch of the clock that is known, 0 for none.
func (w *Worker) ClockEpoch() uint64 { return w.offset.Epoch() }

// Stopping reports whether the worker was told to stop.
func (w *Worker) Stopping() bool { return w.stopping }

// Snapshot shows the worker at this moment.
func (w *Worker) Snapshot() Snapshot {
	s := Snapshot{
		Models: len(w.library), InFlight: w.inFlight, Inputs: len(w.inputs.arrived), InputBytes: w.inputs.bytes,
		Stopping: w.stopping, Executing: w.busy, ClockSteps: w.offset.Steps(), ClockEpoch: w.offset.Epoch(),
	}
	if s.ClockEpoch != 0 {
		s.ClockAhead, s.ClockError = w.offset.Ahead()
	}
	for _, g := range w.gpus {
		s.GPUs = append(s.GPUs, GPUSnapshot{g.pages.Total(), g.pages.Used(), len(g.pages.Loaded())})
	}
	return s
}

// Pages are those of a GPU that hold, get or lose weights, and all there are.
func (w *Worker) Pages(gpu int) (used, total int) {
	return w.gpus[gpu].pages.Used(), w.gpus[gpu].pages.Total()
}

// Resident are the models whose weights are on a GPU, sorted.
func (w *Worker) Resident(gpu int) []string { return w.gpus[gpu].pages.Loaded() }

// Running are the orders that a GPU executes and transfers now, nil for none.
func (w *Worker) Running(gpu int) (execution, transfer *Order) {
	g := w.gpus[gpu]
	return g.orders[g.executions.Running()], g.orders[g.transfers.Running()]
}

// Remote converts local time to the scheduler's, as far as that is known.
func (w *Worker) Remote(t protocol.Time) protocol.Time { return w.offset.Remote(t) }
