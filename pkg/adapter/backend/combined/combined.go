// Package combined serves real and emulated models on the same GPUs: a model whose path
// begins with "zoo/" is loaded by an emulated backend, every other model by the real
// backend.
//
// A combined backend reports the real backend's name, version and devices. Each device
// pairs one real and one emulated device. The two do not know of each other, so both
// have the same number of pages, and the worker, which does the page accounting, assigns
// a frame to a model of only one of them at a time.
//
// Concurrency is as in package backend. The package only decides to which of the two
// backends a model belongs.
package combined

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/protocol"
)

// emulatedPrefix begins the path of every emulated model.
const emulatedPrefix = "zoo/"

// Backend routes each model to one of two backends.
type Backend struct {
	real, emulated backend.Backend
	devices        []backend.Device
	// lost are the ends of emulated executors by device, until the real one's is told.
	lost []atomic.Pointer[backend.Notice]
}

// New combines two backends; Close closes both. New fails if they differ in the number
// of devices or in the devices' pages.
func New(real, emulated backend.Backend) (*Backend, error) {
	reals, emulateds := real.Devices(), emulated.Devices()
	if len(reals) != len(emulateds) {
		return nil, fmt.Errorf("combine backends: %d real devices, %d emulated ones", len(reals), len(emulateds))
	}
	b := &Backend{real: real, emulated: emulated, lost: make([]atomic.Pointer[backend.Notice], len(reals))}
	for i := range reals {
		r, e := reals[i].Info(), emulateds[i].Info()
		if r.Pages != e.Pages || r.PageSize != e.PageSize {
			return nil, fmt.Errorf("combine backends: device %d has %d pages of %d bytes, the emulated one %d of %d",
				i, r.Pages, r.PageSize, e.Pages, e.PageSize)
		}
		b.devices = append(b.devices, &device{real: reals[i], emulated: emulateds[i]})
	}
	return b, nil
}

// Name returns the real backend's name. The spec of an emulated model names "emulated".
func (b *Backend) Name() string { return b.real.Name() }

// Version returns the real backend's version.
func (b *Backend) Version() string { return b.real.Version() }

// Devices returns the pairs.
func (b *Backend) Devices() []backend.Device { return append([]backend.Device(nil), b.devices...) }

// Watch implements backend.Backend: an emulated executor and a real one count as one, the
// real one. If the emulated one ends, the real one is ended too, and the notice says what
// ended the former.
func (b *Backend) Watch(watcher func(backend.Notice)) {
	b.emulated.Watch(func(n backend.Notice) {
		if n.Kind == backend.ExecutorLost {
			b.lost[n.Device].Store(&n)
			b.devices[n.Device].(*device).real.End(n.Text)
		}
	})
	b.real.Watch(func(n backend.Notice) {
		if n.Kind == backend.ExecutorLost {
			if first := b.lost[n.Device].Swap(nil); first != nil {
				n.Text, n.Overdue = first.Text, first.Overdue
				if len(first.Models) > 0 {
					n.Models = first.Models
				}
			}
		}
		watcher(n)
	})
}

// LoadModel loads the model in the backend that the path selects.
func (b *Backend) LoadModel(ctx context.Context, path string, o backend.LoadOptions) (backend.Model, error) {
	side, emulated := b.sideFor(path)
	m, err := side.LoadModel(ctx, path, o)
	if err != nil {
		return nil, err
	}
	return &model{Model: m, emulated: emulated}, nil
}

// Identify asks the backend that the path selects.
func (b *Backend) Identify(path string) (protocol.ModelSpec, error) {
	side, _ := b.sideFor(path)
	return side.Identify(path)
}

// sideFor returns the backend of the models at a path.
func (b *Backend) sideFor(path string) (side backend.Backend, emulated bool) {
	if strings.HasPrefix(path, emulatedPrefix) {
		return b.emulated, true
	}
	return b.real, false
}

// Close closes both backends.
func (b *Backend) Close() error { return errors.Join(b.real.Close(), b.emulated.Close()) }

// model records to which backend the inner Model belongs; device passes only the inner
// Model on.
type model struct {
	backend.Model
	emulated bool
}

// device pairs a real device with an emulated one with the same number of pages.
type device struct {
	real, emulated backend.Device
}

// Info returns the real device's info.
func (d *device) Info() backend.DeviceInfo { return d.real.Info() }

// LoadWeights loads the weights in the model's backend.
func (d *device) LoadWeights(m backend.Model, frames []int) (backend.Weights, error) {
	side, inner, err := d.sideOf(m)
	if err != nil {
		return nil, err
	}
	return side.LoadWeights(inner, frames)
}

// Stage stages the batch in the model's backend.
func (d *device) Stage(m backend.Model, batch int, items []int, inputs [][]byte) (backend.Run, error) {
	side, inner, err := d.sideOf(m)
	if err != nil {
		return nil, err
	}
	return side.Stage(inner, batch, items, inputs)
}

// End ends the emulated executor, and with it the real one: see Watch.
func (d *device) End(why string) { d.emulated.End(why) }

// EndStart ends a real executor that is being started; the emulated one takes its time and
// does not hang.
func (d *device) EndStart(why string) { d.real.EndStart(why) }

func (d *device) sideOf(m backend.Model) (backend.Device, backend.Model, error) {
	own, ok := m.(*model)
	switch {
	case !ok:
		return nil, nil, protocol.Errorf(protocol.UnknownModel, "not a model of this backend")
	case own.emulated:
		return d.emulated, own.Model, nil
	}
	return d.real, own.Model, nil
}
