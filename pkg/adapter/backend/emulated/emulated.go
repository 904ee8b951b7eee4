// Package emulated is a backend without hardware: its GPUs wait as long as a real GPU
// would compute, so that the rest of the stack can be developed, tested and measured on
// any machine. Faults can be injected into its GPUs.
//
// Models are those of the Clockwork paper's zoo (package zoo). Weights take pages but no
// memory. Outputs have the right size and depend only on the inputs.
package emulated

import (
	"context"
	"fmt"
	"strings"
	"time"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/backend/zoo"
	"clockwork/pkg/protocol"
)

// Options configure the backend.
type Options struct {
	// Worker is the prefix of the GPUs' UUIDs: worker-gpu0, worker-gpu1, ...
	Worker string
	GPUs   int
	// GPUType is part of a profile's key; the zoo was measured on "v100".
	GPUType string
	// Pages is the number of pages for weights on each GPU, PageSize their size in
	// bytes. The defaults are those of a V100 with 32 GB.
	Pages    int
	PageSize int64
	// Scale multiplies all durations: 1 is the paper's GPU, 0 takes no time.
	Scale  float64
	Faults Faults
}

// Defaults returns one GPU as in the paper.
func Defaults(worker string) Options {
	return Options{Worker: worker, GPUs: 1, GPUType: "v100", Pages: 1376, PageSize: 16 << 20, Scale: 1}
}

// Validate returns an error that names the first invalid option.
func (o Options) Validate() error {
	switch {
	case o.GPUs < 1:
		return fmt.Errorf("gpus is %d; it must be at least 1", o.GPUs)
	case !protocol.ValidName(o.GPUType):
		return fmt.Errorf("gpu type %q is not of [a-z0-9_-]", o.GPUType)
	case o.Pages < 1 || o.PageSize < 1:
		return fmt.Errorf("%d pages of %d bytes; both must be positive", o.Pages, o.PageSize)
	case o.Scale < 0:
		return fmt.Errorf("scale is %v; it must not be negative", o.Scale)
	}
	return o.Faults.Validate()
}

// Backend is the emulated backend.
type Backend struct {
	options Options
	devices []backend.Device
	waits   *waiter
}

// New returns a backend with its GPUs.
func New(o Options) (*Backend, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("configure emulated backend: %w", err)
	}
	b := &Backend{options: o, waits: acquireWaiter()}
	for i := range o.GPUs {
		b.devices = append(b.devices, &device{
			backend: b,
			info: backend.DeviceInfo{
				UUID:     fmt.Sprintf("%s-gpu%d", o.Worker, i),
				Type:     o.GPUType,
				Pages:    o.Pages,
				PageSize: o.PageSize,
			},
			faults: newFaultSource(o.Faults, i),
		})
	}
	return b, nil
}

// Name returns "emulated".
func (b *Backend) Name() string { return "emulated" }

// Version returns the zoo's version and the scale; both are part of a profile's key.
func (b *Backend) Version() string {
	if b.options.Scale == 1 {
		return zoo.Version
	}
	return fmt.Sprintf("%s-x%g", zoo.Version, b.options.Scale)
}

// Devices returns the GPUs.
func (b *Backend) Devices() []backend.Device { return b.devices }

// Close closes the backend.
func (b *Backend) Close() error {
	b.waits.release()
	return nil
}

// LoadModel returns a model of the zoo.
func (b *Backend) LoadModel(_ context.Context, path string, o backend.LoadOptions) (backend.Model, error) {
	name, ok := strings.CutPrefix(path, zoo.Prefix)
	if !ok || strings.Contains(name, "/") {
		return nil, protocol.Errorf(protocol.InvalidModelPath, "emulated models are called %sNAME, not %q", zoo.Prefix, path)
	}
	network := zoo.Find(path)
	if network == nil {
		return nil, protocol.Errorf(protocol.ModelNotFound, "the zoo has no model %q; it has others such as %sresnet50_v2", name, zoo.Prefix)
	}
	m := &model{network: network, spec: network.Spec(b.Name(), b.Version(), o.PageSize, o.MaxBatch)}
	if m.spec.Pages > b.options.Pages {
		fault := protocol.Errorf(protocol.ModelTooLarge, "%s takes %d pages, a GPU has %d", path, m.spec.Pages, b.options.Pages)
		fault.Got, fault.Limit = int64(m.spec.Pages), int64(b.options.Pages)
		return nil, fault
	}
	return m, nil
}

// model is a network of the zoo in "host memory".
type model struct {
	network *zoo.Network
	spec    protocol.ModelSpec
}

func (m *model) Spec() protocol.ModelSpec     { return m.spec }
func (m *model) Profiles() []protocol.Profile { return nil }
func (m *model) Close() error                 { return nil }

// device is one emulated GPU.
type device struct {
	backend *Backend
	info    backend.DeviceInfo
	faults  *faultSource
}

func (d *device) Info() backend.DeviceInfo { return d.info }

// wait waits until the device would be done, counted from begin.
func (d *device) wait(begin time.Time, duration time.Duration) error {
	duration, err := d.faults.apply(time.Duration(float64(duration) * d.backend.options.Scale))
	if err != nil {
		return err
	}
	if duration > 0 {
		d.backend.waits.until(begin.Add(duration))
	}
	return nil
}

// LoadWeights waits for the duration of the transfer.
func (d *device) LoadWeights(m backend.Model, frames []int) (backend.Weights, error) {
	begin := time.Now()
	own, ok := m.(*model)
	if !ok {
		return nil, fmt.Errorf("load weights: the model is another backend's")
	}
	if len(frames) != own.spec.Pages {
		return nil, fmt.Errorf("load weights: %d pages for a model of %d", len(frames), own.spec.Pages)
	}
	if err := d.wait(begin, own.network.Transfer); err != nil {
		return nil, err
	}
	return weights{}, nil
}

type weights struct{}

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

// Execute waits for the duration of the computation.
func (r *run) Execute(backend.Weights) error {
	return r.device.wait(time.Now(), r.model.network.Execution(r.batch))
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
