//go:build linux && !static

package onnx

import (
	"os"
	"sync"

	"clockwork/pkg/protocol"
)

// engine is what an executor runs: ONNX Runtime, the memory of one device, and models
// that are ready in it. Tasks may come from several goroutines at a time; at most one
// execution and one copy of weights run, as package backend says.
type engine struct {
	lib *ort
	// arena is the device's memory, nil in an engine that only tries models.
	arena *arena

	mu      sync.Mutex
	models  map[uint64]*loaded
	weights map[uint64]*resident
	stages  map[uint64]*bound
}

// resident are weights on the device.
type resident struct {
	model   *loaded
	frames  []int
	mapping *mapping
}

// newEngine makes the device's memory resident, or begins to.
func newEngine(lib *ort, s setup) (*engine, error) {
	e := &engine{lib: lib, models: map[uint64]*loaded{}, weights: map[uint64]*resident{}, stages: map[uint64]*bound{}}
	if s.Pages == 0 {
		return e, nil
	}
	var err error
	if e.arena, err = newArena(s.Pages, s.PageSize, !s.Lazy); err == nil && s.Lazy {
		go e.arena.touchAll() // ends by itself, or with the process
	}
	return e, err
}

// perform carries out a task. file is what came with it, nil for none; the caller closes
// it.
func (e *engine) perform(t *task, file *os.File) done {
	switch {
	case t.Open != nil:
		found, refusal := e.open(t.Open, file)
		return done{Refusal: refusal, Description: found}
	case t.Close != nil:
		return done{Refusal: e.close(t.Close)}
	case t.Load != nil:
		return done{Refusal: e.load(t.Load)}
	case t.Evict != nil:
		return done{Refusal: e.evict(t.Evict)}
	case t.Bind != nil:
		return done{Refusal: e.bind(t.Bind, file)}
	case t.Unbind != nil:
		e.unbind(t.Unbind)
		return done{}
	}
	return done{Refusal: protocol.Errorf(protocol.BackendError, "the executor does not know this task")}
}

func unknownModel(id uint64) *protocol.Error {
	return protocol.Errorf(protocol.UnknownModel, "the executor has no model %d", id)
}

func (e *engine) model(id uint64) *loaded {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.models[id]
}

func (e *engine) open(t *openTask, file *os.File) (*description, *protocol.Error) {
	m, refusal := openModel(e, t, file)
	if refusal != nil {
		return nil, refusal
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.models[t.Model] = m
	return &m.description, nil
}

// close frees a model, and the batches that were bound to it. None of its weights are on
// the device.
func (e *engine) close(t *closeTask) *protocol.Error {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.models[t.Model]
	if m == nil {
		return unknownModel(t.Model)
	}
	delete(e.models, t.Model)
	for id, s := range e.stages {
		if s.model == m {
			s.close()
			delete(e.stages, id)
		}
	}
	m.close()
	return nil
}

// load moves the frames next to each other into a mapping, and copies the weights there.
func (e *engine) load(t *loadTask) *protocol.Error {
	m := e.model(t.Model)
	if m == nil {
		return unknownModel(t.Model)
	}
	if refusal := e.arena.take(t.Frames); refusal != nil {
		return refusal
	}
	err := e.arena.touch(t.Frames)
	var v *mapping
	if err == nil {
		v, err = m.takeMapping()
	}
	if err != nil {
		e.arena.free(t.Frames)
		return protocol.Errorf(protocol.NoMemory, "%v", err)
	}
	if err := e.arena.gather(v.memory, t.Frames); err != nil {
		m.putMapping(v)
		e.arena.free(t.Frames)
		return protocol.Errorf(protocol.BackendError, "gather pages: %v", err)
	}
	transfer(v.memory.bytes(), m.block())
	e.mu.Lock()
	defer e.mu.Unlock()
	e.weights[t.Weights] = &resident{model: m, frames: t.Frames, mapping: v}
	return nil
}

// evict moves the frames back to the arena's backing. No execution uses the weights.
func (e *engine) evict(t *evictTask) *protocol.Error {
	e.mu.Lock()
	w := e.weights[t.Weights]
	e.mu.Unlock()
	if w == nil {
		return protocol.Refusal(protocol.WeightsMissing)
	}
	if err := e.arena.scatter(w.mapping.memory, w.frames); err != nil {
		return protocol.Errorf(protocol.BackendError, "return pages: %v", err)
	}
	w.model.putMapping(w.mapping)
	e.arena.free(w.frames)
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.weights, t.Weights)
	return nil
}

func (e *engine) bind(t *bindTask, file *os.File) *protocol.Error {
	m := e.model(t.Model)
	if m == nil {
		return unknownModel(t.Model)
	}
	if file == nil {
		return protocol.Errorf(protocol.BackendError, "the batch came without its memory")
	}
	_, size := layout(&m.description.Spec, t.Batch)
	memory, err := mapShared(file, size, true)
	if err != nil {
		return protocol.Errorf(protocol.NoMemory, "%v", err)
	}
	s, err := m.bindBatch(t.Batch, memory)
	if err != nil {
		return protocol.Errorf(protocol.NoMemory, "bind batch %d: %v", t.Batch, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stages[t.Stage] = s
	return nil
}

func (e *engine) unbind(t *unbindTask) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range t.Stages {
		if s := e.stages[id]; s != nil {
			s.close()
			delete(e.stages, id)
		}
	}
}

// run executes a bound batch with weights of its model.
func (e *engine) run(stage, weights uint64) *protocol.Error {
	e.mu.Lock()
	s, w := e.stages[stage], e.weights[weights]
	e.mu.Unlock()
	if s == nil || w == nil || w.model != s.model {
		return protocol.Errorf(protocol.WeightsMissing, "not the weights of this model on this device")
	}
	if err := s.run(w.mapping.values); err != nil {
		return protocol.Errorf(protocol.BackendError, "execute: %v", err)
	}
	return nil
}
