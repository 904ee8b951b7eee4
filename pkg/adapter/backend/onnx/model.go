//go:build linux && !static

package onnx

import (
	"os"
	"sync"

	"clockwork/pkg/protocol"
)

// model implements backend.Model. Its image is in this process, its sessions are in the
// executors.
type model struct {
	backend     *Backend
	id          uint64
	spec        protocol.ModelSpec
	description description
	image       *image
	generated   []byte // one item

	deadline deadline       // of its load
	opening  sync.WaitGroup // of executors that open it

	places []place // by device
	closed bool
}

// place holds a model's unused batches on one device.
type place struct {
	mu     sync.Mutex
	stages map[int][]*stage // by batch size
}

// idleStages is how many unused batches of one size are kept.
const idleStages = 4

// stage is the memory of one batch, shared with the executor, and reused. process is the
// one to which it was made known last; only the execution lane uses it.
type stage struct {
	id      uint64
	batch   int
	file    *os.File
	memory  *region
	tensors tensors
	process *process
}

// Spec implements backend.Model.
func (m *model) Spec() protocol.ModelSpec { return m.spec }

// Profiles implements backend.Model; ONNX files have none.
func (m *model) Profiles() []protocol.Profile { return nil }

// Close implements backend.Model.
func (m *model) Close() error {
	for _, d := range m.backend.devices {
		if p := d.executor.now(); p != nil && p.copies(m) > 0 {
			return protocol.Errorf(protocol.WeightsInUse, "close model: weights are loaded on device %d", d.index)
		}
	}
	if m.closed {
		return nil
	}
	m.closed = true
	m.release()
	m.backend.models.Add(-1)
	return nil
}

// release frees everything of a model without loaded weights.
func (m *model) release() {
	for _, d := range m.backend.devices {
		d.executor.remove(m)
	}
	m.opening.Wait()
	for i := range m.places {
		for _, list := range m.places[i].stages {
			for _, s := range list {
				s.close()
			}
		}
		m.places[i].stages = nil
	}
	m.image.close()
}

// openTask describes the model to an executor.
func (m *model) openTask() openTask {
	return openTask{Model: m.id, Size: m.image.size, Shell: m.image.shell, Weights: m.image.weights,
		Pages: m.spec.Pages, Description: &m.description}
}

func (m *model) newStage(batch int) (*stage, error) {
	_, size := layout(&m.spec, batch)
	file, err := newShared("clockwork-batch", size)
	if err != nil {
		return nil, err
	}
	memory, err := mapShared(file, size, true)
	if err != nil {
		file.Close()
		return nil, err
	}
	return &stage{id: m.backend.ids.Add(1), batch: batch, file: file, memory: memory, tensors: newTensors(&m.spec, batch, memory)}, nil
}

func (s *stage) close() {
	s.memory.close()
	s.file.Close()
}

func (m *model) takeStage(device, batch int) (*stage, error) {
	p := &m.places[device]
	p.mu.Lock()
	list := p.stages[batch]
	if n := len(list); n > 0 {
		s := list[n-1] // read under the lock: putStage may overwrite this element
		p.stages[batch] = list[:n-1]
		p.mu.Unlock()
		return s, nil
	}
	p.mu.Unlock()
	return m.newStage(batch)
}

func (m *model) putStage(d *device, s *stage) {
	p := &m.places[d.index]
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.stages[s.batch]) >= idleStages {
		if s.process != nil {
			s.process.forget(s.id)
		}
		s.close()
		return
	}
	if p.stages == nil {
		p.stages = make(map[int][]*stage)
	}
	p.stages[s.batch] = append(p.stages[s.batch], s)
}
