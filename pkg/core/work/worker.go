package work

import (
	"fmt"
	"strings"

	"clockwork/pkg/core/clocksync"
	"clockwork/pkg/core/lane"
	"clockwork/pkg/protocol"
)

// Worker is one worker in one incarnation. The zero value is not usable; see New.
//
// Invariants: epoch only grows; every action has exactly one result; at most one
// order of a lane has begun and not ended; loaded + loading pages never exceed a
// GPU's (package pages).
type Worker struct {
	config Config
	// now is the local time of the current step; it never goes back.
	now protocol.Time
	// epoch is the highest epoch of a valid action, 0 before the first. Actions of an
	// earlier epoch are refused, and so are those of an earlier one than the clock's.
	epoch uint64
	// terms fence controllers and profilers in the same way.
	terms protocol.Terms
	// offset converts between the local clock and the scheduler's.
	offset clocksync.Offset
	// library are the models in host memory; read are the same models without their
	// names, by digest.
	library library
	read    map[string][]*shared
	// gpus are the GPUs in the order of Config.GPUs.
	gpus     []*gpu
	inputs   inputs
	answered answered
	// lastTask is the Number of the last order.
	lastTask lane.TaskID
	// inFlight counts the actions without a result; a ClearCache counts once. busy
	// counts the GPUs that are executing.
	inFlight int
	busy     int
	// loading counts the LoadModelFromDisk without a result, at most MaxLoads: reading are
	// those being read, at most ConcurrentLoads and as many slow ones; unread are the others,
	// both in order of arrival.
	loading         int
	reading, unread []*Order
	// stopping: Stop has happened; every further action is refused.
	stopping bool
	renewal  renewal
	// out is the output of the current step; its memory is reused.
	out Output
}

// New returns a worker with empty GPUs and empty host memory.
func New(config Config) *Worker {
	w := &Worker{config: config, library: library{}, read: map[string][]*shared{}, inputs: newInputs(), answered: newAnswered()}
	for i, g := range config.GPUs {
		w.gpus = append(w.gpus, newGPU(w, i, g))
	}
	return w
}

// Step applies one event and returns the work to be done. If now is before the last
// instant, the last instant counts.
func (w *Worker) Step(now protocol.Time, e Event) *Output {
	w.now = max(w.now, now)
	w.out.begin()
	switch e := e.(type) {
	case *Received:
		w.receive(&e.Action)
	case *Input:
		w.input(e)
	case *Staged:
		w.staged(e)
	case *Executed:
		w.executed(e)
	case *Fetched:
		w.fetched(e)
	case *Transferred:
		w.transferred(e)
	case *ModelRead:
		w.modelRead(e)
	case *ExecutorLost:
		if w.has(e.GPU) {
			w.gpus[e.GPU].executorLost(e.Executor)
		}
	case *ExecutorReady:
		if w.has(e.GPU) {
			w.gpus[e.GPU].ready()
		}
	case *ClockReading:
		w.clockReading(e)
	case *Stop:
		w.stopping = true
	case *Abandon:
		w.abandon()
	case *Tick:
		w.tick()
	}
	w.renew()
	return &w.out
}

// receive begins an action or refuses it. An action that arrived before is not executed
// again: its result is sent again, if there is one.
func (w *Worker) receive(action *protocol.Action) {
	fresh, known := w.answered.begin(actionKey{action.Issuer, action.ID})
	if !fresh {
		if known != nil {
			w.out.Again = append(w.out.Again, *known)
		}
		return
	}
	w.inFlight++
	w.lastTask++
	o := &Order{Number: w.lastTask, Action: *action, GPU: -1, Received: w.now, Earliest: action.Earliest, Latest: action.Latest}
	if action.Epoch != 0 { // from the scheduler, by the scheduler's clock
		o.Earliest, o.Latest = w.offset.Local(o.Earliest), w.offset.Local(o.Latest)
	}
	refusal := w.check(o)
	if refusal == nil {
		refusal = w.begin(o)
	}
	if refusal != nil {
		w.answer(o, refusal)
	}
}

// check returns why an action of any kind is refused, nil if it is not. Once an epoch
// was seen, actions without one are refused if Kind.OnGPU; the others are accepted,
// because the controller has no epoch and still queries states and loads models. Controllers
// and profilers name their terms instead.
func (w *Worker) check(o *Order) *protocol.Error {
	a := &o.Action
	switch {
	case w.leaves():
		return protocol.Refusal(protocol.ShuttingDown)
	case a.Incarnation != 0 && a.Incarnation != w.config.Incarnation:
		return protocol.Errorf(protocol.StaleIncarnation, "meant for incarnation %d of %s, this is %d", a.Incarnation, w.config.Name, w.config.Incarnation)
	case w.outdated(a):
		return w.staleEpoch(a)
	case !w.terms.Admit(a.Leader):
		return w.stale(a)
	}
	w.epoch = max(w.epoch, a.Epoch)
	switch {
	case o.Latest < o.Earliest:
		return protocol.Errorf(protocol.InvalidAction, "its latest begin is %v before its earliest", o.Earliest.Sub(o.Latest))
	case o.Latest < w.now:
		return protocol.Errorf(protocol.TooLate, "arrived %v after its latest begin", w.now.Sub(o.Latest))
	case o.Earliest > w.now.Add(w.config.Ahead):
		return protocol.Errorf(protocol.TooEarly, "begins in %v; a worker holds actions for at most %v", o.Earliest.Sub(w.now), w.config.Ahead)
	}
	return nil
}

// outdated reports whether an action is of an earlier epoch than one that was seen. The
// clock counts: once it is another scheduler's, the times of an earlier one mean nothing
// any more. It does not end the measurements, which have no epoch: a scheduler waits while
// they go on.
func (w *Worker) outdated(a *protocol.Action) bool {
	if a.Epoch == 0 {
		return w.epoch > 0 && a.Kind.OnGPU()
	}
	return a.Epoch < w.newestEpoch()
}

func (w *Worker) staleEpoch(a *protocol.Action) *protocol.Error {
	return protocol.Errorf(protocol.StaleEpoch, "sent in epoch %d, this worker obeys %d", a.Epoch, w.newestEpoch())
}

// stale returns why an action of a former controller or profiler is refused, nil for any
// other. A change of the host memory is checked again when it takes effect: a later
// controller was told of the memory before it.
func (w *Worker) stale(a *protocol.Action) *protocol.Error {
	if w.terms.Obeyed(a.Leader) {
		return nil
	}
	return protocol.Errorf(protocol.StaleTerm, "sent by a former %s, in term %d", a.Leader.Service, a.Leader.Term)
}

// begin queues a checked action, or returns why it is refused.
func (w *Worker) begin(o *Order) *protocol.Error {
	switch o.Action.Kind {
	case protocol.Infer:
		return w.beginInfer(o)
	case protocol.LoadWeights, protocol.EvictWeights:
		return w.beginTransfer(o)
	case protocol.ClearCache:
		return w.beginClear(o)
	case protocol.LoadModelFromDisk:
		return w.beginLoad(o)
	case protocol.GetWorkerState:
		w.describe(o)
		return nil
	case protocol.Renew:
		return w.beginRenewal(o)
	}
	return protocol.Errorf(protocol.InvalidAction, "no action has the kind %d", o.Action.Kind)
}

// target sets the GPU and the model of an order, or returns why the action's GPU or
// model does not exist. From then on the order keeps the model in host memory.
func (w *Worker) target(o *Order) *protocol.Error {
	if o.Action.GPU < 0 || o.Action.GPU >= len(w.gpus) {
		return protocol.Errorf(protocol.InvalidGPU, "no GPU %d; this worker has %d", o.Action.GPU, len(w.gpus))
	}
	o.gpu, o.GPU = w.gpus[o.Action.GPU], o.Action.GPU
	m := w.library[o.Action.Model]
	if m == nil {
		return protocol.Errorf(protocol.UnknownModel, "%.80q is not in this worker's memory", o.Action.Model)
	}
	o.model, o.Model, o.Spec = m, &m.shared.Model, &m.spec
	m.orders++
	return nil
}

// newestEpoch returns the highest epoch of an action or of a clock, 0 for none.
func (w *Worker) newestEpoch() uint64 { return max(w.epoch, w.offset.Newest()) }

// clockReading adds a reading to the clock offset.
func (w *Worker) clockReading(e *ClockReading) {
	before, steps := w.offset.Epoch(), w.offset.Steps()
	w.offset.Add(e.Epoch, e.Asked, e.Answered, e.Remote)
	known := w.offset.Epoch()
	w.out.ClockKnown = known != before && known != 0
	w.out.Stepped = w.offset.Steps() > steps
}

// abandon answers the loads that wait for a reader and the orders that wait in lanes.
func (w *Worker) abandon() {
	refusal := protocol.Refusal(protocol.ShuttingDown)
	for _, o := range w.unread {
		w.loading--
		w.answer(o, refusal)
	}
	w.unread = nil
	for _, g := range w.gpus {
		g.abandon(refusal)
	}
}

// tick steps the lanes that are due, ends loads whose time is over, and drops payloads that
// were not claimed in time.
func (w *Worker) tick() {
	for _, g := range w.gpus {
		g.tick()
	}
	w.expireLoads()
	w.giveReaders()
	w.inputs.expire(w.now.Add(-w.config.InputWait))
}

// String shows the state of the worker and of each GPU, for tests and debugging.
func (w *Worker) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s#%d obeys epoch %d: %d models, %d actions, %d inputs of %d bytes\n",
		w.config.Name, w.config.Incarnation, w.epoch, len(w.library), w.inFlight, len(w.inputs.arrived), w.inputs.bytes)
	for _, g := range w.gpus {
		fmt.Fprintf(&b, "GPU %d: %v", g.index, g.pages)
		fmt.Fprintf(&b, "  executions %v  transfers %v", &g.executions, &g.transfers)
	}
	return b.String()
}
