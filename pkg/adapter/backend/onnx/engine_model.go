//go:build linux && !static

package onnx

import (
	"fmt"
	"os"
	"sync"

	"clockwork/pkg/protocol"
)

// loaded is a model that is ready in an engine: the session of its shell, and its image.
type loaded struct {
	lib         *ort
	session     *session
	description description
	image       *region
	shell       int64 // where the shell begins in the image
	weights     []placement
	// size is the length of the weights' pages, in bytes.
	size int64
	// The session's inputs are the spec's, then the weights.
	inputNames, outputNames names

	mu       sync.Mutex
	mappings []*mapping // unused
}

// mapping is an address range as large as the model's pages, with the model's weights
// bound to it.
type mapping struct {
	memory *region
	values []uintptr
}

// openModel creates the session, finds the description if the task has none, warms what
// it should, and reserves a mapping so that a later load of weights needs no allocation.
func openModel(e *engine, t *openTask, file *os.File) (*loaded, *protocol.Error) {
	if file == nil || t.Shell < 0 || t.Shell > t.Size {
		return nil, protocol.Errorf(protocol.BackendError, "the model came without its image")
	}
	image, err := mapShared(file, t.Size, false)
	if err != nil {
		return nil, protocol.Errorf(protocol.NoMemory, "%v", err)
	}
	m := &loaded{lib: e.lib, image: image, shell: t.Shell, weights: t.Weights}
	if e.arena != nil {
		m.size = int64(t.Pages) * e.arena.pageSize
	}
	if m.session, err = newSession(e.lib, image.bytes()[t.Shell:], optimizeNothing, ""); err != nil {
		image.close()
		return nil, protocol.Errorf(protocol.BackendError, "ONNX Runtime refuses the model without its weights: %v", err)
	}
	if refusal := m.prepare(t); refusal != nil {
		m.close()
		return nil, refusal
	}
	return m, nil
}

func (m *loaded) prepare(t *openTask) *protocol.Error {
	resident, err := m.bindWeights(m.image)
	defer m.lib.releaseValues(resident)
	if err != nil {
		return protocol.Errorf(protocol.BackendError, "bind weights: %v", err)
	}
	if t.Description != nil {
		m.description = *t.Description
		m.session.outputs = describedOutputs(m.session.outputs, m.description.Spec.Outputs)
		m.nameInputs()
	} else if refusal := m.describe(t, resident); refusal != nil {
		return refusal
	}
	if t.Warm {
		if refusal := m.warm(m.description.Spec.BatchSizes[0], resident); refusal != nil {
			return refusal
		}
	}
	if m.size == 0 {
		return nil
	}
	v, err := m.newMapping()
	if err != nil {
		return protocol.Errorf(protocol.NoMemory, "reserve memory for weights: %v", err)
	}
	m.putMapping(v)
	return nil
}

// warm runs a batch of generated inputs.
func (m *loaded) warm(batch int, resident []uintptr) *protocol.Error {
	s, refusal := m.generatedBatch(batch)
	if refusal != nil {
		return refusal
	}
	defer s.close()
	if err := s.run(resident); err != nil {
		return protocol.Errorf(protocol.BackendError, "warm batch %d: %v", batch, err)
	}
	return nil
}

// generatedBatch returns a batch in memory of its own, full of generated items.
func (m *loaded) generatedBatch(batch int) (*bound, *protocol.Error) {
	_, size := layout(&m.description.Spec, batch)
	memory, err := newRegion(size, true)
	if err != nil {
		return nil, protocol.Errorf(protocol.NoMemory, "stage batch %d: %v", batch, err)
	}
	s, err := m.bindBatch(batch, memory)
	if err != nil {
		return nil, protocol.Errorf(protocol.NoMemory, "stage batch %d: %v", batch, err)
	}
	item := generate(m.description.Spec.Inputs)
	for i := range batch {
		s.tensors.fill(&m.description.Spec, i, 1, item)
	}
	return s, nil
}

// close frees everything. None of the model's weights are on the device.
func (m *loaded) close() {
	for _, v := range m.mappings {
		v.close(m.lib)
	}
	m.session.close()
	m.image.close()
}

// block returns the weights, as they are on a device.
func (m *loaded) block() []byte { return m.image.bytes()[:m.shell] }

// bindWeights creates the tensors of the weights over memory with the block's layout. On
// an error it returns the tensors created so far.
func (m *loaded) bindWeights(memory *region) ([]uintptr, error) {
	values := make([]uintptr, 0, len(m.weights))
	for _, w := range m.weights {
		v, err := m.lib.newTensor(memory.bytes()[w.Offset:][:w.Bytes], w.Kind, w.Shape)
		if err != nil {
			return values, fmt.Errorf("bind %.40q: %w", w.Name, err)
		}
		values = append(values, v)
	}
	return values, nil
}

func (m *loaded) newMapping() (*mapping, error) {
	memory, err := newRegion(m.size, false)
	if err != nil {
		return nil, err
	}
	v := &mapping{memory: memory}
	if v.values, err = m.bindWeights(memory); err != nil {
		v.close(m.lib)
		return nil, err
	}
	return v, nil
}

func (v *mapping) close(lib *ort) {
	lib.releaseValues(v.values)
	v.memory.close()
}

// takeMapping returns an unused mapping, or a new one.
func (m *loaded) takeMapping() (*mapping, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.mappings); n > 0 {
		v := m.mappings[n-1]
		m.mappings = m.mappings[:n-1]
		return v, nil
	}
	return m.newMapping()
}

func (m *loaded) putMapping(v *mapping) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mappings = append(m.mappings, v)
}

// bound is the memory of one batch with the session's inputs and outputs bound to it.
// values are the inputs: those of the spec, and slots for the weights.
type bound struct {
	model   *loaded
	memory  *region
	tensors tensors
	values  []uintptr
	results []uintptr
}

// bindBatch takes over memory laid out for a batch, also if it fails.
func (m *loaded) bindBatch(batch int, memory *region) (*bound, error) {
	d := &m.description
	s := &bound{model: m, memory: memory, tensors: newTensors(&d.Spec, batch, memory),
		values: make([]uintptr, len(d.Spec.Inputs)+len(m.weights))}
	for i := range d.Spec.Inputs {
		value, err := m.lib.newTensor(s.tensors.inputs[i], d.InputKinds[i], d.shape(d.InputShapes[i], batch))
		if err != nil {
			s.close()
			return nil, err
		}
		s.values[i] = value
	}
	for i := range d.Spec.Outputs {
		value, err := m.lib.newTensor(s.tensors.outputs[i], d.OutputKinds[i], d.shape(d.OutputShapes[i], batch))
		if err != nil {
			s.close()
			return nil, err
		}
		s.results = append(s.results, value)
	}
	return s, nil
}

func (s *bound) close() {
	s.model.lib.releaseValues(s.values[:len(s.tensors.inputs)])
	s.model.lib.releaseValues(s.results)
	s.memory.close()
}

// run executes the batch with bound weights.
func (s *bound) run(weights []uintptr) error {
	copy(s.values[len(s.tensors.inputs):], weights)
	return s.model.session.run(s.model.inputNames, s.values, s.model.outputNames, s.results)
}

func (m *loaded) nameInputs() {
	var inputs, outputs []string
	for _, in := range m.description.Spec.Inputs {
		inputs = append(inputs, in.Name)
	}
	for _, w := range m.weights {
		inputs = append(inputs, w.Name)
	}
	for _, out := range m.session.outputs {
		outputs = append(outputs, out.name)
	}
	m.inputNames, m.outputNames = newNames(inputs), newNames(outputs)
}
