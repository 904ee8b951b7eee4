//go:build linux && !static

package onnx

import (
	"fmt"
	"sync"

	"clockwork/pkg/protocol"
)

// model implements backend.Model: the shell, and the weights in host memory.
type model struct {
	backend *Backend
	session *session
	spec    protocol.ModelSpec
	// weights hold the position of each weight in the block; block has the layout of a
	// device's pages.
	weights []weight
	block   *region

	// The session's inputs are the spec's, then the weights.
	inputNames, outputNames names
	inputKinds, outputKinds []int
	generated               []byte // one item

	places []place // by device
}

// place holds a model's unused mappings and stages on one device, and how many of its
// mappings hold weights.
type place struct {
	mu       sync.Mutex
	mappings []*mapping
	stages   map[int][]*stage // by batch size
	loaded   int
}

// idleStages is how many unused stages of one batch size are kept.
const idleStages = 4

// mapping is an address range as large as the model's pages, with the model's weights
// bound to it.
type mapping struct {
	memory *region
	values []uintptr
}

// Spec implements backend.Model.
func (m *model) Spec() protocol.ModelSpec { return m.spec }

// Profiles implements backend.Model; ONNX files have none.
func (m *model) Profiles() []protocol.Profile { return nil }

// Close implements backend.Model.
func (m *model) Close() error {
	for i := range m.places {
		p := &m.places[i]
		p.mu.Lock()
		loaded := p.loaded
		p.mu.Unlock()
		if loaded > 0 {
			return protocol.Errorf(protocol.WeightsInUse, "close model: weights are loaded on device %d", i)
		}
	}
	if m.session == nil {
		return nil
	}
	m.release()
	m.backend.models.Add(-1)
	return nil
}

// release frees everything of a model without loaded weights.
func (m *model) release() {
	lib := m.backend.lib
	for i := range m.places {
		p := &m.places[i]
		for _, v := range p.mappings {
			v.close(lib)
		}
		for _, list := range p.stages {
			for _, s := range list {
				s.close(lib)
			}
		}
		p.mappings, p.stages = nil, nil
	}
	m.block.close()
	m.session.close()
	m.session = nil
}

// bind creates the tensors of the weights over memory with the block's layout. On an
// error it returns the tensors created so far.
func (m *model) bind(memory *region) ([]uintptr, error) {
	values := make([]uintptr, 0, len(m.weights))
	for _, w := range m.weights {
		v, err := m.backend.lib.newTensor(memory.bytes()[w.offset:][:len(w.data)], w.kind, w.shape)
		if err != nil {
			return values, fmt.Errorf("bind %.40q: %w", w.name, err)
		}
		values = append(values, v)
	}
	return values, nil
}

func (m *model) newMapping() (*mapping, error) {
	memory, err := newRegion(int64(m.spec.Pages)*m.backend.options.PageSize, false)
	if err != nil {
		return nil, err
	}
	v := &mapping{memory: memory}
	if v.values, err = m.bind(memory); err != nil {
		v.close(m.backend.lib)
		return nil, err
	}
	return v, nil
}

func (v *mapping) close(lib *ort) {
	lib.releaseValues(v.values)
	v.memory.close()
}

// takeMapping returns an unused mapping on a device, or a new one.
func (m *model) takeMapping(device int) (*mapping, error) {
	p := &m.places[device]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loaded++
	if n := len(p.mappings); n > 0 {
		v := p.mappings[n-1]
		p.mappings = p.mappings[:n-1]
		return v, nil
	}
	v, err := m.newMapping()
	if err != nil {
		p.loaded--
	}
	return v, err
}

// returnMapping returns a mapping to the unused ones.
func (m *model) returnMapping(device int, v *mapping) {
	m.putMapping(device, v)
	p := &m.places[device]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loaded--
}

func (m *model) putMapping(device int, v *mapping) {
	p := &m.places[device]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mappings = append(p.mappings, v)
}

// run executes a stage with bound weights.
func (m *model) run(s *stage, weights []uintptr) error {
	copy(s.values[len(s.inputs):], weights)
	return m.session.run(m.inputNames, s.values, m.outputNames, s.results)
}
