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
	"sync"
	"sync/atomic"

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

// Bounds of what a GPU can be emulated with: more pages than any GPU has, and durations
// of at most hours.
const (
	maxPages = 1 << 20
	maxScale = 1e5
)

// Validate returns an error that names the first invalid option.
func (o Options) Validate() error {
	switch {
	case o.GPUs < 1:
		return fmt.Errorf("gpus is %d; it must be at least 1", o.GPUs)
	case !protocol.ValidName(o.GPUType):
		return fmt.Errorf("gpu-type %q is no name; names are 1 to %d of [a-z0-9_-]", o.GPUType, protocol.MaxName)
	case o.Pages < 1 || o.PageSize < 1:
		return fmt.Errorf("%d pages of %d bytes; both must be positive", o.Pages, o.PageSize)
	case o.Pages > maxPages:
		return fmt.Errorf("pages is %d; it must be at most %d", o.Pages, maxPages)
	case !(o.Scale >= 0 && o.Scale <= maxScale):
		return fmt.Errorf("scale is %v; it must be from 0 to %v", o.Scale, float64(maxScale))
	}
	return o.Faults.Validate()
}

// Backend is the emulated backend.
type Backend struct {
	options Options
	devices []backend.Device
	waits   *waiter
	watcher atomic.Pointer[func(backend.Notice)]
	closing chan struct{} // closed by Close
	work    sync.WaitGroup
}

// New returns a backend with its GPUs.
func New(o Options) (*Backend, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("configure emulated backend: %w", err)
	}
	b := &Backend{options: o, waits: acquireWaiter(), closing: make(chan struct{})}
	for i := range o.GPUs {
		info := backend.DeviceInfo{UUID: fmt.Sprintf("%s-gpu%d", o.Worker, i), Type: o.GPUType, Pages: o.Pages, PageSize: o.PageSize}
		b.devices = append(b.devices, newDevice(b, i, info))
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

// Watch implements backend.Backend.
func (b *Backend) Watch(watcher func(backend.Notice)) { b.watcher.Store(&watcher) }

func (b *Backend) notify(n backend.Notice) {
	if watcher := b.watcher.Load(); watcher != nil {
		(*watcher)(n)
	}
}

// Close closes the backend.
func (b *Backend) Close() error {
	close(b.closing)
	b.work.Wait()
	b.waits.release()
	return nil
}

// find returns the network at a path.
func find(path string) (*zoo.Network, error) {
	name, ok := strings.CutPrefix(path, zoo.Prefix)
	if !ok || strings.Contains(name, "/") {
		return nil, protocol.Errorf(protocol.InvalidModelPath, "emulated models are called %sNAME, not %q", zoo.Prefix, path)
	}
	network := zoo.Find(path)
	if network == nil {
		return nil, protocol.Errorf(protocol.ModelNotFound, "the zoo has no model %q; it has others such as %sresnet50_v2", name, zoo.Prefix)
	}
	return network, nil
}

// Identify returns the digest of a model of the zoo.
func (b *Backend) Identify(path string) (protocol.ModelSpec, error) {
	network, err := find(path)
	if err != nil {
		return protocol.ModelSpec{}, err
	}
	return protocol.ModelSpec{Path: path, Digest: network.Digest}, nil
}

// LoadModel returns a model of the zoo.
func (b *Backend) LoadModel(_ context.Context, path string, o backend.LoadOptions) (backend.Model, error) {
	network, err := find(path)
	if err != nil {
		return nil, err
	}
	if o.Digest != "" && o.Digest != network.Digest {
		return nil, protocol.Errorf(protocol.ModelChanged, "%s is %.12s in this zoo, %.12s was loaded", path, network.Digest, o.Digest)
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
