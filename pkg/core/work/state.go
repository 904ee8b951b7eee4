package work

import (
	"time"

	"clockwork/pkg/protocol"
)

// State describes the worker as GetWorkerState shows it: models that a ClearCache is to
// remove, once GPUs have ended what they transfer, are removed already.
func (w *Worker) State() *protocol.WorkerState { return w.state(false) }

// state describes the worker, if lean without models and profiles.
func (w *Worker) state(lean bool) *protocol.WorkerState {
	s := &protocol.WorkerState{
		ID:             w.config.Name,
		Incarnation:    w.config.Incarnation,
		Epoch:          w.epoch,
		Backend:        w.config.Backend,
		BackendVersion: w.config.BackendVersion,
		PageSize:       w.config.pageSize(),
		GenerateInputs: w.config.GenerateInputs,
	}
	if !lean {
		s.Models, s.Profiles = w.library.contents(w.leaving())
	}
	for i, g := range w.gpus {
		info := &w.config.GPUs[i]
		s.GPUs = append(s.GPUs, protocol.GPUState{
			ID: i, UUID: info.UUID, Type: info.Type, PagesTotal: g.pages.Total(), PagesUsed: g.pages.Used(), Models: g.pages.Loaded(),
			Moving: g.pages.Moving(), Stalled: g.stalled(), Executor: g.executor, Processor: info.Processor,
		})
	}
	return s
}

// Heartbeat returns the worker's heartbeat; the driver adds its service and id.
func (w *Worker) Heartbeat() protocol.Heartbeat {
	h := protocol.Heartbeat{Incarnation: w.config.Incarnation, Epoch: w.epoch, State: protocol.Idle, ClockEpoch: w.offset.Epoch(), InFlight: w.inFlight, GPUs: w.beats()}
	switch {
	case w.leaves():
		h.State = protocol.Stopping
	case w.inFlight > 0:
		h.State = protocol.Busy
	}
	return h
}

// Snapshot is a worker's state at one moment, for displays and metrics.
type Snapshot struct {
	// Models counts the names in host memory, InFlight the actions without a result.
	// Inputs counts the unclaimed payloads; InputBytes is the sum of all payloads.
	Models, InFlight, Inputs int
	InputBytes               int64
	Stopping                 bool
	// Executing counts the GPUs that execute.
	Executing int
	// ClockEpoch is the epoch whose clock offset is known, 0 for none. The scheduler's
	// clock is ahead by ClockAhead, plus or minus ClockError; valid if ClockEpoch is
	// not 0. ClockSteps counts the steps of either clock.
	ClockEpoch             uint64
	ClockAhead, ClockError time.Duration
	ClockSteps             int
	GPUs                   []GPUSnapshot // by index
}

// GPUSnapshot is the state of one GPU: all pages, those that are not free, and the
// number of models whose weights are loaded.
type GPUSnapshot struct {
	PagesTotal, PagesUsed, Models int
	// Stalled is why the GPU gets nothing done, "" if it does.
	Stalled string
}

// InFlight returns the number of actions without a result.
func (w *Worker) InFlight() int { return w.inFlight }

// Executing returns the number of GPUs that execute now.
func (w *Worker) Executing() int { return w.busy }

// ClockEpoch returns the epoch whose clock offset is known, 0 for none.
func (w *Worker) ClockEpoch() uint64 { return w.offset.Epoch() }

// Stopping reports whether the worker refuses new actions, after Stop.
func (w *Worker) Stopping() bool { return w.stopping }

// Snapshot returns the worker's state at this moment.
func (w *Worker) Snapshot() Snapshot {
	s := Snapshot{
		Models: len(w.library), InFlight: w.inFlight, Inputs: len(w.inputs.arrived), InputBytes: w.inputs.bytes,
		Stopping: w.stopping, Executing: w.busy, ClockSteps: w.offset.Steps(), ClockEpoch: w.offset.Epoch(),
	}
	if s.ClockEpoch != 0 {
		s.ClockAhead, s.ClockError = w.offset.Ahead()
	}
	for _, g := range w.gpus {
		s.GPUs = append(s.GPUs, GPUSnapshot{g.pages.Total(), g.pages.Used(), len(g.pages.Loaded()), g.stalled()})
	}
	return s
}

// Pages returns how many pages of a GPU are loading, loaded or evicting, and how many
// the GPU has.
func (w *Worker) Pages(gpu int) (used, total int) {
	return w.gpus[gpu].pages.Used(), w.gpus[gpu].pages.Total()
}

// Resident returns the models whose weights are loaded on a GPU, sorted.
func (w *Worker) Resident(gpu int) []string { return w.gpus[gpu].pages.Loaded() }

// Running returns the orders that a GPU executes and transfers now, nil for none.
func (w *Worker) Running(gpu int) (execution, transfer *Order) {
	g := w.gpus[gpu]
	return g.orders[g.executions.Running()], g.orders[g.transfers.Running()]
}

// Remote converts local time to the scheduler's time, by the present offset.
func (w *Worker) Remote(t protocol.Time) protocol.Time { return w.offset.Remote(t) }
