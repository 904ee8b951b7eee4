package bustest

import (
	"fmt"
	"hash/fnv"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/clocksync"
	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// Spec is the model that a scripted worker reads at a path.
func Spec(name, at string) protocol.ModelSpec {
	h := fnv.New64a()
	h.Write([]byte(at))
	return protocol.ModelSpec{
		Name: name, Path: at, Digest: fmt.Sprintf("%064x", h.Sum64()), Backend: "scripted", BackendVersion: "1",
		Inputs:     []protocol.TensorSpec{{Name: "x", Datatype: protocol.FP32, Shape: []int64{2}}},
		Outputs:    []protocol.TensorSpec{{Name: "y", Datatype: protocol.FP32, Shape: []int64{2}}},
		BatchSizes: []int{1, 2, 4}, WeightsBytes: 2 << 20, Pages: 2,
	}
}

// Worker is a worker on a broker without a device: pkg/core/work decides, every
// action takes the time given by Took and succeeds. A script may answer actions
// in the worker's place.
type Worker struct {
	ID          string
	Incarnation uint64

	t          testing.TB
	bus        *bus.Bus
	heartbeats *bus.Heartbeater
	stop       []func()

	mu       sync.Mutex // guards everything below
	core     *work.Worker
	dead     bool
	timer    *time.Timer
	due      protocol.Time // when the timer fires
	ends     []ending      // actions running on the device
	now      []work.Event  // events still to be applied in this step
	loads    protocol.ActionID
	script   func(protocol.Action) *protocol.Result
	received []protocol.Action
}

// ending is the end of an action on the device.
type ending struct {
	at    protocol.Time
	event work.Event
}

// StartWorker starts a worker with one GPU of 100 pages per type.
func StartWorker(t testing.TB, b *bus.Bus, id string, gpuTypes ...string) *Worker {
	t.Helper()
	w := &Worker{ID: id, Incarnation: bus.RandomID(), t: t, bus: b}
	c := work.Defaults()
	c.Name, c.Incarnation, c.Backend, c.BackendVersion, c.GenerateInputs = id, w.Incarnation, "scripted", "1", true
	for i, kind := range gpuTypes {
		c.GPUs = append(c.GPUs, work.GPU{UUID: fmt.Sprintf("%s-%d", id, i), Type: kind, Pages: 100, PageSize: 1 << 20})
	}
	w.core, w.timer, w.due = work.New(c), time.AfterFunc(time.Hour, w.wake), protocol.Never
	for subject, handle := range map[string]nats.MsgHandler{
		b.Subjects.Action(id):                         w.onAction,
		b.Subjects.Input(id):                          w.onInput,
		b.Subjects.Heartbeat(protocol.Scheduler, "*"): w.onScheduler,
	} {
		sub, err := b.Subscribe(b.Control, subject, handle)
		if err != nil {
			t.Fatal(err)
		}
		w.stop = append(w.stop, func() { _ = sub.Unsubscribe() })
	}
	if err := b.Control.Flush(); err != nil {
		t.Fatal(err)
	}
	w.Beat()
	t.Cleanup(w.Stop)
	return w
}

// Script makes f answer actions in place of the worker, which never sees them.
// If f returns nil, the worker handles the action; a Result of kind 0 leaves the
// action unanswered.
func (w *Worker) Script(f func(protocol.Action) *protocol.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.script = f
}

// holder is the issuer of the loads of Hold.
const holder = 1<<64 - 1

// Hold makes the worker load models, as if it had been told to earlier. Names
// must be unique.
func (w *Worker) Hold(models ...protocol.ModelSpec) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var loads []*protocol.LoadSpec
	byPath := map[string]*protocol.LoadSpec{}
	for _, m := range models {
		load := byPath[m.Path]
		if load == nil {
			load = &protocol.LoadSpec{Path: m.Path}
			byPath[m.Path], loads = load, append(loads, load)
		}
		load.Names = append(load.Names, m.Name)
	}
	for _, load := range loads {
		w.loads++
		w.step(&work.Received{Action: protocol.Action{ID: w.loads, Issuer: holder, Kind: protocol.LoadModelFromDisk, Latest: protocol.Never, Load: load}})
	}
}

// Beat starts the heartbeats.
func (w *Worker) Beat() {
	w.heartbeats = w.bus.StartHeartbeats(protocol.Worker, w.ID, func() protocol.Heartbeat {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.core.Heartbeat()
	})
}

// Silence stops the heartbeats.
func (w *Worker) Silence() {
	if w.heartbeats != nil {
		w.heartbeats.Stop()
		w.heartbeats = nil
	}
}

// Stop kills the worker.
func (w *Worker) Stop() {
	w.Silence()
	for _, stop := range w.stop {
		stop()
	}
	w.stop = nil
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
	w.timer.Stop()
}

// Received returns the received actions of a kind, in order.
func (w *Worker) Received(kind protocol.Kind) []protocol.Action {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.received), func(a protocol.Action) bool { return a.Kind != kind })
}

// State returns the worker's state.
func (w *Worker) State() protocol.WorkerState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return *w.core.State()
}

// Models returns the names of the models in host memory, sorted.
func (w *Worker) Models() []string {
	var names []string
	for _, m := range w.State().Models {
		names = append(names, m.Name)
	}
	return names
}

// onScheduler synchronises the clock on a heartbeat of a new scheduler.
func (w *Worker) onScheduler(m *nats.Msg) {
	h, fault := wire.Heartbeat.Decode(m.Data)
	w.mu.Lock()
	known := fault != nil || h.Epoch == 0 || h.Epoch == w.core.ClockEpoch()
	w.mu.Unlock()
	for i := 0; i < clocksync.Enough && !known; i++ {
		asked := clock.Now()
		answer, err := w.bus.Payload.Request(w.bus.Subjects.Clock(w.ID), nil, time.Second)
		if err != nil {
			return // the next heartbeat tries again
		}
		answered := clock.Now()
		if reading, fault := wire.Clock.Decode(answer.Data); fault == nil {
			w.mu.Lock()
			w.step(&work.ClockReading{Epoch: reading.Epoch, Asked: asked, Answered: answered, Remote: reading.Now})
			w.mu.Unlock()
		}
	}
}

func (w *Worker) onAction(m *nats.Msg) {
	actions, fault := wire.Actions.Decode(m.Data)
	if fault != nil {
		w.t.Errorf("worker %s: %v", w.ID, fault)
		return
	}
	for _, a := range actions {
		w.mu.Lock()
		w.received = append(w.received, a)
		script := w.script
		w.mu.Unlock()
		if script != nil {
			if r := script(a); r != nil {
				if r.Kind != 0 {
					w.Answer(a, *r)
				}
				continue
			}
		}
		w.mu.Lock()
		w.step(&work.Received{Action: a})
		w.mu.Unlock()
	}
}

func (w *Worker) onInput(m *nats.Msg) {
	list, fault := wire.Inputs.Decode(m.Data)
	if fault != nil {
		w.t.Errorf("worker %s: %v", w.ID, fault)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, in := range list {
		w.step(&work.Input{ID: in.ID, Bytes: int64(len(in.Data)), Data: in.Data})
	}
}

// wake applies the events that are due, then a Tick.
func (w *Worker) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due = protocol.Never
	now := clock.Now()
	for i := 0; i < len(w.ends); i++ {
		if e := w.ends[i]; e.at <= now {
			w.ends = slices.Delete(w.ends, i, i+1)
			i--
			w.step(e.event)
		}
	}
	w.step(&work.Tick{})
}

// step applies an event to the core and carries out its output. The caller holds
// the lock, also for the functions below.
func (w *Worker) step(e work.Event) {
	if w.dead {
		return
	}
	due := w.due
	for w.now = append(w.now, e); len(w.now) > 0; {
		e, w.now = w.now[0], w.now[1:]
		out := w.core.Step(clock.Now(), e)
		w.carryOut(out)
		due = min(due, out.Wake)
	}
	for _, end := range w.ends {
		due = min(due, end.at)
	}
	if due < w.due {
		w.due = due
		w.timer.Reset(max(0, due.Sub(clock.Now())))
	}
}

func (w *Worker) carryOut(out *work.Output) {
	for _, o := range out.Stage {
		o.Driver = o.Inputs // the inputs are the outputs
		w.now = append(w.now, &work.Staged{Order: o})
	}
	for _, o := range out.Execute {
		begin := clock.Now()
		end := begin.Add(Took(o.Action))
		w.ends = append(w.ends, ending{end, &work.Executed{Order: o, Begin: begin, End: end, Fetched: true,
			Phase: protocol.Phase{Begin: begin, End: end, Device: Took(o.Action)}}})
	}
	for _, o := range out.Transfer {
		begin := clock.Now()
		end := begin.Add(Took(o.Action))
		w.ends = append(w.ends, ending{end, &work.Transferred{Order: o, Begin: begin, End: end}})
	}
	for _, o := range out.Read {
		w.now = append(w.now, w.read(o))
	}
	for _, o := range out.Deliver {
		w.output(o)
	}
	for _, r := range slices.Concat(out.Results, out.Again) {
		switch {
		case r.Issuer != holder:
			w.publish(r)
		case r.Code != protocol.OK:
			w.t.Errorf("worker %s holds no model: %s", w.ID, r.Message)
		}
	}
}

// read reads a model, unless its path starts with missing/.
func (w *Worker) read(o *work.Order) *work.ModelRead {
	at := o.Action.Load.Path
	if strings.HasPrefix(at, "missing/") {
		return &work.ModelRead{Order: o, Refusal: protocol.Errorf(protocol.ModelNotFound, "no %s", path.Base(at))}
	}
	return &work.ModelRead{Order: o, Spec: Spec("", at), Handle: at}
}

// Answer publishes a scripted result of an action.
func (w *Worker) Answer(a protocol.Action, r protocol.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r.Action, r.Issuer, r.Kind, r.Incarnation = a.ID, a.Issuer, a.Kind, w.Incarnation
	r.Epoch = max(r.Epoch, w.core.Heartbeat().Epoch)
	r.GPU, r.Model, r.Batch = a.GPU, a.Model, a.Batch
	w.publish(r)
}

func (w *Worker) publish(r protocol.Result) {
	body := wire.Results.Encode(&protocol.ResultBatch{Issuer: r.Issuer, Results: []protocol.Result{r}})
	if err := w.bus.Control.Publish(w.bus.Subjects.Result(w.ID), body); err != nil {
		w.t.Errorf("worker %s: %v", w.ID, err)
	}
}

// Took returns the duration of an action: 1 ms for the weights, 100 us per item.
func Took(a protocol.Action) time.Duration {
	if a.Kind == protocol.Infer {
		return time.Duration(a.Batch) * 100 * time.Microsecond
	}
	return time.Millisecond
}

// output publishes the output of each request of a batch: its input.
func (w *Worker) output(o *work.Order) {
	inputs := o.Driver.([][]byte)
	for i, r := range o.Action.Requests {
		data := inputs[i]
		if r.Generated {
			data = make([]byte, 8*r.Batch)
		}
		out := []protocol.Output{{ID: r.ID, Model: o.Action.Model, Batch: o.Action.Batch, Items: r.Batch, Exec: Took(o.Action), Data: data}}
		if err := w.bus.Payload.Publish(w.bus.Subjects.OutputOf(r.ID.Door, w.ID), wire.Outputs.Encode(&out)); err != nil {
			w.t.Errorf("worker %s: %v", w.ID, err)
		}
	}
}
