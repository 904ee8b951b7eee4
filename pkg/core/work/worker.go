package work

import (
	"fmt"
	"strings"

	"clockwork/pkg/core/clocksync"
	"clockwork/pkg/core/executor"
	"clockwork/pkg/protocol"
)

// Worker is one worker in one incarnation. The zero value is not usable; see New.
//
// Invariants: epoch only grows; every accepted action has one result; at most one
// order of a lane has begun and not ended; loaded + loading pages never exceed a
// GPU's (package pages).
type Worker struct {
	config   Config
	now      protocol.Time
	epoch    uint64 // the highest seen
	offset   clocksync.Offset
	library  library
	read     map[string][]*shared // what the library's models share, by digest
	gpus     []*gpu
	inputs   inputs
	answered answered
	lastTask executor.TaskID
	inFlight int      // actions without a result
	busy     int      // GPUs that are executing
	loading  int      // loads without a result
	reading  int      // of these, those at a reader
	unread   []*Order // loads that wait for a reader
	stopping bool
	out      Output
}

// New makes a worker whose GPUs are empty.
func New(config Config) *Worker {
	w := &Worker{config: config, library: library{}, read: map[string][]*shared{}, inputs: newInputs(), answered: newAnswered()}
	for i, g := range config.GPUs {
		w.gpus = append(w.gpus, newGPU(w, i, g))
	}
	return w
}

// Step takes one event at an instant and returns what to do now. A now before an
// earlier one counts as that one.
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
	case *ClockReading:
		w.clockReading(e)
	case *Stop:
		w.stopping = true
	case *Abandon:
		w.abandon()
	case *Tick:
		w.tick()
	}
	return &w.out
}

// receive begins an action or answers it.
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
	if action.Epoch != 0 { // its issuer is the scheduler, whose clock these are
		o.Earliest, o.Latest = w.offset.Local(o.Earliest), w.offset.Local(o.Latest)
	}
	refused := w.check(o)
	if refused == nil {
		refused = w.begin(o)
	}
	if refused != nil {
		w.answer(o, refused)
	}
}

// check says what is wrong with an action whatever its kind. Only what has no GPU
// may come without an epoch once one was seen: the controller and the profiler ask
// for states and loads then.
func (w *Worker) check(o *Order) *protocol.Error {
	a := &o.Action
	switch {
	case w.stopping:
		return protocol.Refusal(protocol.ShuttingDown)
	case a.Incarnation != 0 && a.Incarnation != w.config.Incarnation:
		return protocol.Errorf(protocol.StaleIncarnation, "meant for incarnation %d of %s, this is %d", a.Incarnation, w.config.Name, w.config.Incarnation)
	case a.Epoch < w.epoch && (a.Epoch != 0 || a.Kind.OnGPU()):
		return protocol.Errorf(protocol.StaleEpoch, "sent in epoch %d, this worker obeys %d", a.Epoch, w.epoch)
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

// begin sends a checked action on its way.
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
	}
	return protocol.Errorf(protocol.InvalidAction, "no action has the kind %d", o.Action.Kind)
}

// target finds the GPU and the model of an action that names both.
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

// clockReading learns of the scheduler's clock.
func (w *Worker) clockReading(e *ClockReading) {
	before, steps := w.offset.Epoch(), w.offset.Steps()
	w.offset.Add(e.Epoch, e.Asked, e.Answered, e.Remote)
	known := w.offset.Epoch()
	w.out.ClockKnown = known != before && known != 0
	w.out.Stepped = w.offset.Steps() > steps
}

// abandon answers everything that waits.
func (w *Worker) abandon() {
	refused := protocol.Refusal(protocol.ShuttingDown)
	for _, o := range w.unread {
		w.loading--
		w.answer(o, refused)
	}
	w.unread = nil
	for _, g := range w.gpus {
		g.abandon(refused)
	}
}

// tick lets time pass: for lanes, and for inputs that nobody claims.
func (w *Worker) tick() {
	for _, g := range w.gpus {
		g.tick()
	}
	w.inputs.expire(w.now.Add(-w.config.InputWait))
}

// String draws the worker for a person.
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
