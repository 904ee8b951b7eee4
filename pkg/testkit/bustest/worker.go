package bustest

import (
	"fmt"
	"hash/fnv"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
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
		BatchSizes: []int{1, 2, 4}, WeightsBytes: 1 << 20, Pages: 2,
	}
}

// Worker is a worker that does what a script says: by default everything at
// once, and well.
type Worker struct {
	ID          string
	Incarnation uint64

	t     testing.TB
	bus   *bus.Bus
	pulse *bus.Pulse
	stop  []func()

	mu       sync.Mutex
	epoch    uint64 // highest seen
	synced   uint64 // of the clock
	gpus     []protocol.GPUState
	models   map[string]protocol.ModelSpec
	script   func(protocol.Action) *protocol.Result
	received []protocol.Action
	inputs   map[protocol.RequestID]protocol.Input
	waiting  []protocol.Action // Infer actions without all their inputs
}

// StartWorker starts a worker with a GPU for each type, each of 100 pages.
func StartWorker(t testing.TB, b *bus.Bus, id string, gpuTypes ...string) *Worker {
	t.Helper()
	w := &Worker{ID: id, Incarnation: bus.RandomID(), t: t, bus: b,
		models: map[string]protocol.ModelSpec{}, inputs: map[protocol.RequestID]protocol.Input{}}
	for i, kind := range gpuTypes {
		w.gpus = append(w.gpus, protocol.GPUState{ID: i, UUID: fmt.Sprintf("%s-%d", id, i), Type: kind, PagesTotal: 100})
	}
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

// Script has f answer actions; nil from f leaves an action to the default, and
// a Result of kind 0 leaves it without any answer.
func (w *Worker) Script(f func(protocol.Action) *protocol.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.script = f
}

// Hold gives the worker models, as if it had loaded them earlier.
func (w *Worker) Hold(models ...protocol.ModelSpec) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range models {
		w.models[m.Name] = m
	}
}

// Beat begins heartbeats, Silence ends them.
func (w *Worker) Beat() {
	w.pulse = w.bus.StartPulse(protocol.Worker, w.ID, func() protocol.Heartbeat {
		w.mu.Lock()
		defer w.mu.Unlock()
		return protocol.Heartbeat{Incarnation: w.Incarnation, Epoch: w.epoch, State: "idle", ClockEpoch: w.synced}
	})
}

// Silence ends the heartbeats.
func (w *Worker) Silence() {
	if w.pulse != nil {
		w.pulse.Stop()
		w.pulse = nil
	}
}

// Stop kills the worker.
func (w *Worker) Stop() {
	w.Silence()
	for _, stop := range w.stop {
		stop()
	}
	w.stop = nil
}

// Received returns the actions of a kind that came, in order.
func (w *Worker) Received(kind protocol.Kind) []protocol.Action {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.received), func(a protocol.Action) bool { return a.Kind != kind })
}

// Models returns the names of the models in host memory, sorted.
func (w *Worker) Models() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.models))
}

// onScheduler synchronises the clock as soon as a scheduler is heard.
func (w *Worker) onScheduler(m *nats.Msg) {
	h, fault := wire.Heartbeat.Decode(m.Data)
	w.mu.Lock()
	known := fault != nil || h.Epoch == 0 || h.Epoch == w.synced
	w.mu.Unlock()
	if known {
		return
	}
	answer, err := w.bus.Payload.Request(w.bus.Subjects.Clock(w.ID), nil, time.Second)
	if err != nil {
		return // its next heartbeat tries again
	}
	if reading, fault := wire.Clock.Decode(answer.Data); fault == nil {
		w.mu.Lock()
		w.synced = reading.Epoch
		w.mu.Unlock()
	}
}

func (w *Worker) onAction(m *nats.Msg) {
	actions, fault := wire.Actions.Decode(m.Data)
	if fault != nil {
		w.t.Errorf("worker %s: %v", w.ID, fault)
		return
	}
	for _, a := range actions {
		w.take(a)
	}
}

func (w *Worker) take(a protocol.Action) {
	if a.Incarnation != 0 && a.Incarnation != w.Incarnation {
		w.Answer(a, protocol.Result{Code: protocol.StaleIncarnation})
		return
	}
	w.mu.Lock()
	w.received = append(w.received, a)
	script := w.script
	w.mu.Unlock()
	if script != nil {
		if r := script(a); r != nil {
			if r.Kind != 0 {
				w.Answer(a, *r)
			}
			return
		}
	}
	w.mu.Lock()
	w.epoch = max(w.epoch, a.Epoch)
	w.waiting = append(w.waiting, a)
	w.mu.Unlock()
	w.work()
}

func (w *Worker) onInput(m *nats.Msg) {
	list, fault := wire.Inputs.Decode(m.Data)
	if fault != nil {
		w.t.Errorf("worker %s: %v", w.ID, fault)
		return
	}
	w.mu.Lock()
	for _, in := range list {
		w.inputs[in.ID] = in
	}
	w.mu.Unlock()
	w.work()
}

// work does every action whose inputs are there.
func (w *Worker) work() {
	w.mu.Lock()
	var ready, rest []protocol.Action
	for _, a := range w.waiting {
		complete := true
		for _, r := range a.Requests {
			_, came := w.inputs[r.ID]
			complete = complete && (came || r.Generated)
		}
		if complete {
			ready = append(ready, a)
		} else {
			rest = append(rest, a)
		}
	}
	w.waiting = rest
	w.mu.Unlock()
	for _, a := range ready {
		w.Answer(a, w.Do(a))
	}
}

// Answer publishes the result of an action.
func (w *Worker) Answer(a protocol.Action, r protocol.Result) {
	w.mu.Lock()
	r.Action, r.Issuer, r.Kind, r.Epoch, r.Incarnation = a.ID, a.Issuer, a.Kind, max(r.Epoch, w.epoch), w.Incarnation
	w.mu.Unlock()
	r.GPU, r.Model, r.Batch = a.GPU, a.Model, a.Batch
	if err := w.bus.Control.Publish(w.bus.Subjects.Result(w.ID), wire.Results.Encode(&protocol.ResultBatch{Issuer: r.Issuer, Results: []protocol.Result{r}})); err != nil {
		w.t.Errorf("worker %s: %v", w.ID, err)
	}
}

// Took is how long an action takes: 1 ms for the weights, 100 us an item.
func Took(a protocol.Action) time.Duration {
	if a.Kind == protocol.Infer {
		return time.Duration(a.Batch) * 100 * time.Microsecond
	}
	return time.Millisecond
}

// Do does an action by the default script.
func (w *Worker) Do(a protocol.Action) protocol.Result {
	now := clock.Now()
	r := protocol.Result{Code: protocol.OK, Received: now, Begin: now, End: now.Add(Took(a)), Sent: now.Add(Took(a)),
		Exec: protocol.Phase{Begin: now, End: now.Add(Took(a)), Device: Took(a)}}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch a.Kind {
	case protocol.GetWorkerState:
		r.State = w.state()
	case protocol.LoadModelFromDisk:
		if strings.HasPrefix(a.Load.Path, "missing/") {
			return protocol.Result{Code: protocol.ModelNotFound, Message: "no " + path.Base(a.Load.Path)}
		}
		for _, name := range a.Load.Names {
			w.models[name] = Spec(name, a.Load.Path)
			r.Loaded = append(r.Loaded, w.models[name])
		}
	case protocol.ClearCache:
		for _, name := range a.Models {
			delete(w.models, name)
		}
		for i := range w.gpus {
			if a.GPU == i || a.GPU == -1 {
				w.gpus[i].Models, w.gpus[i].PagesUsed = nil, 0
			}
		}
	case protocol.LoadWeights:
		g := &w.gpus[a.GPU]
		g.Models, g.PagesUsed = append(g.Models, a.Model), g.PagesUsed+2
	case protocol.EvictWeights:
		g := &w.gpus[a.GPU]
		g.Models = slices.DeleteFunc(g.Models, func(n string) bool { return n == a.Model })
		g.PagesUsed = 2 * len(g.Models)
	case protocol.Infer:
		w.output(a)
	}
	return r
}

func (w *Worker) state() *protocol.WorkerState {
	s := &protocol.WorkerState{ID: w.ID, Incarnation: w.Incarnation, Epoch: w.epoch, Backend: "scripted", BackendVersion: "1",
		PageSize: 1 << 20, GenerateInputs: true, GPUs: slices.Clone(w.gpus)}
	for _, name := range slices.Sorted(maps.Keys(w.models)) {
		s.Models = append(s.Models, w.models[name])
	}
	return s
}

// output sends each member of a batch its input back.
func (w *Worker) output(a protocol.Action) {
	for _, r := range a.Requests {
		data := w.inputs[r.ID].Data
		if r.Generated {
			data = make([]byte, 8*r.Batch)
		}
		delete(w.inputs, r.ID)
		out := []protocol.Output{{ID: r.ID, Model: a.Model, Batch: a.Batch, Items: r.Batch, Exec: Took(a), Data: data}}
		if err := w.bus.Payload.Publish(w.bus.Subjects.OutputOf(r.ID.Door, w.ID), wire.Outputs.Encode(&out)); err != nil {
			w.t.Errorf("worker %s: %v", w.ID, err)
		}
	}
}
