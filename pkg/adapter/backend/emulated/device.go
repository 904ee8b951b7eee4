package emulated

import (
	"fmt"
	"time"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/protocol"
)

// device is one emulated GPU.
type device struct {
	backend  *Backend
	info     backend.DeviceInfo
	faults   *faultSource
	executor executor
}

func newDevice(b *Backend, index int, info backend.DeviceInfo) *device {
	d := &device{backend: b, info: info, faults: newFaultSource(b.options.Faults, index)}
	d.executor.begin(b, index)
	return d
}

func (d *device) Info() backend.DeviceInfo { return d.info }

// EndStart implements backend.Device.
func (d *device) EndStart(string) {} // it is ready in time

// End implements backend.Device.
func (d *device) End(why string) { d.executor.end(backend.Notice{Text: why, Overdue: true}) }

// wait waits until the device would be done, counted from begin.
func (d *device) wait(begin time.Time, duration time.Duration) error {
	duration, err := d.faults.apply(d.scaled(duration))
	if err != nil {
		return err
	}
	if duration > 0 {
		d.backend.waits.until(begin.Add(duration))
	}
	return nil
}

func (d *device) scaled(duration time.Duration) time.Duration {
	return time.Duration(float64(duration) * d.backend.options.Scale)
}

// LoadWeights waits for the duration of the transfer.
func (d *device) LoadWeights(m backend.Model, frames []int) (backend.Weights, error) {
	own, ok := m.(*model)
	if !ok {
		return nil, fmt.Errorf("load weights: the model is another backend's")
	}
	if len(frames) != own.spec.Pages {
		return nil, fmt.Errorf("load weights: %d pages for a model of %d", len(frames), own.spec.Pages)
	}
	life := d.executor.ready()
	begin := time.Now()
	if err := d.wait(begin, own.network.Transfer); err != nil {
		return nil, err
	}
	if life.over() {
		return nil, life.lost()
	}
	return weights{life}, nil
}

// weights are on a device as long as the executor lives that they were loaded in.
type weights struct{ life *life }

func (weights) Evict() error { return nil }

// Stage keeps the inputs, from which Outputs derives the outputs.
func (d *device) Stage(m backend.Model, batch int, items []int, inputs [][]byte) (backend.Run, error) {
	own, ok := m.(*model)
	if !ok {
		return nil, fmt.Errorf("stage: the model is another backend's")
	}
	return &run{device: d, model: own, batch: batch, items: items, inputs: inputs}, nil
}

type run struct {
	device *device
	model  *model
	batch  int
	items  []int
	inputs [][]byte
}

// Execute waits for the duration of the computation, unless the executor ends or hangs.
func (r *run) Execute(w backend.Weights) error {
	mine, ok := w.(weights)
	if !ok || mine.life.over() {
		return protocol.Errorf(protocol.WeightsMissing, "they were on the device when its executor ended")
	}
	d := r.device
	d.executor.doing.Store(&r.model.spec.Path)
	defer d.executor.doing.Store(nil)
	switch d.faults.fate(r.inputs) {
	case crashes:
		d.executor.end(backend.Notice{Text: "the emulated GPU crashes"})
	case hangs:
		<-mine.life.ended
	default:
		if err := d.wait(time.Now(), r.model.network.Execution(r.batch)); err != nil {
			return err
		}
	}
	if mine.life.over() {
		return mine.life.lost()
	}
	return nil
}

// Outputs returns one payload for each member.
func (r *run) Outputs() ([][]byte, error) {
	outputs := make([][]byte, len(r.items))
	size, all := r.model.spec.OutputBytes(), 0
	for _, items := range r.items {
		all += items
	}
	whole := make([]byte, 0, int64(all)*size)
	for i, items := range r.items {
		begin := len(whole)
		for n := range items {
			whole = appendOutput(whole, r.item(i, n), size)
		}
		outputs[i] = whole[begin:len(whole):len(whole)]
	}
	return outputs, nil
}

// item returns the n-th item of a member's input, nil for a generated one.
func (r *run) item(member, n int) []byte {
	input := r.inputs[member]
	if input == nil {
		return nil
	}
	size := len(input) / r.items[member]
	return input[n*size : (n+1)*size]
}

func (r *run) Release() { r.inputs = nil }
