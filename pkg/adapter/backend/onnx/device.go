//go:build linux && !static

package onnx

import (
	"context"
	"sync"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/protocol"
)

// device implements backend.Device.
type device struct {
	backend  *Backend
	index    int
	info     backend.DeviceInfo
	executor *executor
}

// Info implements backend.Device.
func (d *device) Info() backend.DeviceInfo { return d.info }

// End implements backend.Device.
func (d *device) End(why string) {
	if p := d.executor.now(); p != nil {
		p.end(why)
	}
}

// EndStart implements backend.Device.
func (d *device) EndStart(why string) {
	if p := d.executor.starting(); p != nil {
		p.end(why)
	}
}

func (d *device) own(m backend.Model) (*model, *protocol.Error) {
	mine, ok := m.(*model)
	if !ok || mine.backend != d.backend || mine.closed {
		return nil, protocol.Errorf(protocol.UnknownModel, "not a loaded model of this backend")
	}
	return mine, nil
}

// LoadWeights implements backend.Device. It waits for the executor, and until that one has
// the model.
func (d *device) LoadWeights(m backend.Model, frames []int) (backend.Weights, error) {
	mine, refusal := d.own(m)
	if refusal != nil {
		return nil, refusal
	}
	if len(frames) != mine.spec.Pages {
		return nil, protocol.Errorf(protocol.InvalidAction, "the weights take %d pages, got %d", mine.spec.Pages, len(frames))
	}
	for {
		p, refusal := d.executor.ready(context.Background())
		if refusal != nil {
			return nil, refusal
		}
		w := &weights{model: mine, device: d, process: p, id: d.backend.ids.Add(1)}
		if refusal = p.open(context.Background(), mine, false); refusal == nil {
			refusal = p.reserve(mine, p.copies(mine)+1)
		}
		if refusal == nil {
			_, refusal = p.perform(&p.weights, mine, task{Load: &loadTask{w.id, mine.id, frames}}, nil)
		}
		switch {
		case refusal == nil:
			p.hold(mine, 1)
			return w, nil
		case refusal.Code != protocol.WeightsMissing || !p.isLost():
			return nil, refusal
		} // this executor had ended: there is, or will be, another
	}
}

// weights implements backend.Weights. Runs hold mu shared; Evict needs it exclusively
// and fails instead of waiting.
type weights struct {
	model   *model
	device  *device
	process *process // on whose device they are
	id      uint64

	mu      sync.RWMutex
	evicted bool
}

// Evict implements backend.Weights.
func (w *weights) Evict() error {
	if !w.mu.TryLock() {
		return protocol.Refusal(protocol.WeightsInUse)
	}
	defer w.mu.Unlock()
	if w.evicted {
		return protocol.Refusal(protocol.WeightsMissing)
	}
	_, refusal := w.process.perform(&w.process.weights, w.model, task{Evict: &evictTask{w.id}}, nil)
	if refusal != nil && !refusal.Code.LosesWeights() {
		return refusal
	}
	w.process.hold(w.model, -1)
	w.evicted = true
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
			s.tensors.fill(&mine.spec, at+j, 1, mine.generated)
		}
		if inputs[i] != nil {
			s.tensors.fill(&mine.spec, at, n, inputs[i])
		}
		at += n
	}
	s.tensors.clear(&mine.spec, at)
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
	if mine.evicted {
		return protocol.Refusal(protocol.WeightsMissing)
	}
	p := mine.process
	if r.stage.process != p {
		if refusal := p.bind(r.model, r.stage); refusal != nil && refusal.Code.LosesWeights() {
			return p.notBegun() // nothing of the model ran
		} else if refusal != nil {
			return refusal
		}
	}
	if refusal := p.run(r.model, r.stage.id, mine.id); refusal != nil {
		return refusal
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
		out[i] = r.stage.tensors.payload(&r.model.spec, at, n)
		at += n
	}
	return out, nil
}

// Release implements backend.Run.
func (r *run) Release() {
	if r.stage != nil {
		r.model.putStage(r.device, r.stage)
		r.stage = nil
	}
}
