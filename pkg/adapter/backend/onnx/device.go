//go:build linux && !static

package onnx

import (
	"sync"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/protocol"
)

// device implements backend.Device.
type device struct {
	backend *Backend
	index   int
	info    backend.DeviceInfo
	arena   *arena
}

// Info implements backend.Device.
func (d *device) Info() backend.DeviceInfo { return d.info }

func (d *device) own(m backend.Model) (*model, *protocol.Error) {
	mine, ok := m.(*model)
	if !ok || mine.backend != d.backend || mine.session == nil {
		return nil, protocol.Errorf(protocol.UnknownModel, "not a loaded model of this backend")
	}
	return mine, nil
}

// LoadWeights implements backend.Device: it moves the frames next to each other into a
// mapping, and copies the block there.
func (d *device) LoadWeights(m backend.Model, frames []int) (backend.Weights, error) {
	mine, refusal := d.own(m)
	if refusal != nil {
		return nil, refusal
	}
	if len(frames) != mine.spec.Pages {
		return nil, protocol.Errorf(protocol.InvalidAction, "the weights take %d pages, got %d", mine.spec.Pages, len(frames))
	}
	frames = append([]int(nil), frames...)
	if refusal := d.arena.take(frames); refusal != nil {
		return nil, refusal
	}
	v, err := mine.takeMapping(d.index)
	if err != nil {
		d.arena.free(frames)
		return nil, protocol.Errorf(protocol.NoMemory, "%v", err)
	}
	if err := d.arena.gather(v.memory, frames); err != nil {
		mine.returnMapping(d.index, v)
		d.arena.free(frames)
		return nil, protocol.Errorf(protocol.BackendError, "gather pages: %v", err)
	}
	transfer(v.memory.bytes(), mine.block.bytes()[:mine.spec.WeightsBytes])
	return &weights{model: mine, device: d, mapping: v, frames: frames}, nil
}

// transferChunk is how many bytes are copied at once. The copy of one chunk cannot be
// interrupted, and a garbage collection waits for it.
const transferChunk = 1 << 20

func transfer(to, from []byte) {
	for len(from) > 0 {
		n := copy(to, from[:min(len(from), transferChunk)])
		to, from = to[n:], from[n:]
	}
}

// weights implements backend.Weights. Runs hold mu shared; Evict needs it exclusively
// and fails instead of waiting.
type weights struct {
	model  *model
	device *device
	frames []int

	mu      sync.RWMutex
	mapping *mapping // nil when evicted
}

// Evict implements backend.Weights: it moves the frames back to the arena's backing.
func (w *weights) Evict() error {
	if !w.mu.TryLock() {
		return protocol.Refusal(protocol.WeightsInUse)
	}
	defer w.mu.Unlock()
	if w.mapping == nil {
		return protocol.Refusal(protocol.WeightsMissing)
	}
	if err := w.device.arena.scatter(w.mapping.memory, w.frames); err != nil {
		return protocol.Errorf(protocol.BackendError, "return pages: %v", err)
	}
	w.model.returnMapping(w.device.index, w.mapping)
	w.device.arena.free(w.frames)
	w.mapping = nil
	return nil
}

// Stage implements backend.Device.
func (d *device) Stage(m backend.Model, batch int, items []int, inputs [][]byte) (backend.Run, error) {
	mine, refusal := d.own(m)
	if refusal != nil {
		return nil, refusal
	}
	if refusal := mine.checkBatch(batch, items, inputs); refusal != nil {
		return nil, refusal
	}
	s, err := mine.takeStage(d.index, batch)
	if err != nil {
		return nil, protocol.Errorf(protocol.NoMemory, "stage batch %d: %v", batch, err)
	}
	at := 0
	for i, n := range items {
		for j := 0; inputs[i] == nil && j < n; j++ {
			mine.fill(s, at+j, 1, mine.generated)
		}
		if inputs[i] != nil {
			mine.fill(s, at, n, inputs[i])
		}
		at += n
	}
	mine.clear(s, at)
	return &run{model: mine, device: d, stage: s, items: append([]int(nil), items...)}, nil
}

func (m *model) checkBatch(batch int, items []int, inputs [][]byte) *protocol.Error {
	if !m.spec.Runs(batch) {
		return protocol.Errorf(protocol.InvalidBatch, "the model does not run at batch %d; it runs at %v", batch, m.spec.BatchSizes)
	}
	if len(items) != len(inputs) {
		return protocol.Errorf(protocol.InvalidAction, "%d members, %d inputs", len(items), len(inputs))
	}
	left, size := batch, m.spec.ItemBytes()
	for i, n := range items {
		if n < 1 || n > left {
			return protocol.Errorf(protocol.InvalidBatch, "member %d has %d items, %d of batch %d are left", i, n, left, batch)
		}
		left -= n
		if inputs[i] != nil && int64(len(inputs[i])) != int64(n)*size {
			return protocol.Errorf(protocol.InvalidInput, "%d items take %d bytes, got %d", n, int64(n)*size, len(inputs[i]))
		}
	}
	return nil
}

// run implements backend.Run.
type run struct {
	model  *model
	device *device
	stage  *stage // nil when released
	items  []int
	done   bool
}

// Execute implements backend.Run.
func (r *run) Execute(w backend.Weights) error {
	mine, ok := w.(*weights)
	if !ok || mine.model != r.model || mine.device != r.device || r.stage == nil {
		return protocol.Errorf(protocol.WeightsMissing, "not the weights of this model on this device")
	}
	mine.mu.RLock()
	defer mine.mu.RUnlock()
	if mine.mapping == nil {
		return protocol.Refusal(protocol.WeightsMissing)
	}
	if err := r.model.run(r.stage, mine.mapping.values); err != nil {
		return protocol.Errorf(protocol.BackendError, "execute: %v", err)
	}
	r.done = true
	return nil
}

// Outputs implements backend.Run.
func (r *run) Outputs() ([][]byte, error) {
	if !r.done || r.stage == nil {
		return nil, protocol.Errorf(protocol.BackendError, "the batch was not executed")
	}
	out, at := make([][]byte, len(r.items)), 0
	for i, n := range r.items {
		out[i] = r.model.payload(r.stage, at, n)
		at += n
	}
	return out, nil
}

// Release implements backend.Run.
func (r *run) Release() {
	if r.stage != nil {
		r.model.putStage(r.device.index, r.stage)
		r.stage = nil
	}
}
