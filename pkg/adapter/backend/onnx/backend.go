//go:build linux && !static

package onnx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/fetch"
	"clockwork/pkg/protocol"
)

// Backend runs models on the CPU of this machine. Each of its devices has an executor, a
// process that holds an arena of weight pages and executes on one thread at a time.
type Backend struct {
	options Options
	cache   cache
	devices []*device
	ids     atomic.Uint64 // of models, weights and batches
	models  atomic.Int64  // loaded and not closed
	closed  atomic.Bool
	watcher atomic.Pointer[func(backend.Notice)]

	releasing sync.WaitGroup // of models whose load failed
}

// Available returns why this build has no onnx backend: nil here.
func Available() error { return nil }

// New starts the executors, which open ONNX Runtime and touch all of their device's
// memory (Pages x PageSize bytes each).
func New(options Options) (*Backend, error) {
	if err := options.complete(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(options.CacheDir, 0o700); err != nil {
		return nil, fmt.Errorf("make cache: %w", err)
	}
	b := &Backend{options: options}
	if err := b.start(); err != nil {
		b.release()
		return nil, err
	}
	b.cache = cache{options.CacheDir, b.devices[0].executor.version, isa()}
	return b, nil
}

// start starts all executors at a time: each has much memory to touch.
func (b *Backend) start() error {
	o := &b.options
	made := make([]*device, o.GPUs)
	failed := make([]error, o.GPUs)
	var starting sync.WaitGroup
	for i := range made {
		starting.Go(func() {
			d := &device{backend: b, index: i, info: backend.DeviceInfo{Type: deviceType(), Pages: o.Pages, PageSize: o.PageSize}}
			s := setup{Pages: o.Pages, PageSize: o.PageSize, Spare: sparesOthers(o.Processors)}
			d.info.UUID, s.Processor = o.place(i)
			if d.executor, failed[i] = newExecutor(o, i, s, b.notify); failed[i] == nil {
				d.info.Processor = d.executor.processor
				made[i] = d
			}
		})
	}
	starting.Wait()
	b.devices = slices.DeleteFunc(made, func(d *device) bool { return d == nil })
	for i, err := range failed {
		if err != nil {
			return fmt.Errorf("start the executor of device %d: %w", i, err)
		}
	}
	return nil
}

// Watch implements backend.Backend.
func (b *Backend) Watch(watcher func(backend.Notice)) { b.watcher.Store(&watcher) }

func (b *Backend) notify(n backend.Notice) {
	if watcher := b.watcher.Load(); watcher != nil {
		(*watcher)(n)
	}
}

func (o *Options) complete() error {
	if o.Library == "" {
		path, ok := fetch.CachedLibrary("")
		if !ok {
			return errors.New("no ONNX Runtime library: fetch the pinned one first, or give the path of one with --onnx-library")
		}
		o.Library = path
	}
	if o.CacheDir == "" {
		dir, err := fetch.DefaultCache()
		if err != nil {
			return err
		}
		o.CacheDir = filepath.Join(dir, Name)
	}
	if o.MaxFile == 0 {
		o.MaxFile = DefaultMaxFile
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	if o.CheckTime == 0 {
		o.CheckTime = DefaultCheckTime
	}
	page := int64(os.Getpagesize())
	switch {
	case len(o.Checker) == 0 || len(o.Executor) == 0:
		return errors.New("onnx backend: no command that checks models, or none that executes them")
	case o.ModelRoot == "":
		return errors.New("onnx backend: no model directory")
	case o.GPUs < 1 || o.Pages < 1:
		return fmt.Errorf("onnx backend: %d GPUs of %d pages; both must be positive", o.GPUs, o.Pages)
	case len(o.Processors) > 0 && len(o.Processors) != o.GPUs:
		return fmt.Errorf("onnx backend: %d processors for %d GPUs", len(o.Processors), o.GPUs)
	case o.PageSize < page || o.PageSize%page != 0:
		return fmt.Errorf("onnx backend: page size %d is no multiple of %d", o.PageSize, page)
	case o.Memory < 0:
		return fmt.Errorf("onnx backend: %d bytes of memory for an executor; it must be positive", o.Memory)
	case o.CheckTime < 0:
		return fmt.Errorf("onnx backend: %v for the model check; it must be positive", o.CheckTime)
	case o.MaxFile < 0 || o.MaxFile > DefaultMaxFile:
		return fmt.Errorf("onnx backend: model files of up to %d bytes; at most %d can be read", o.MaxFile, int64(DefaultMaxFile))
	}
	return nil
}

// Name implements backend.Backend.
func (b *Backend) Name() string { return Name }

// Version returns ONNX Runtime's version, and that of our own changes to graphs.
func (b *Backend) Version() string { return b.cache.version + "-" + optimizedFormat }

// Devices implements backend.Backend.
func (b *Backend) Devices() []backend.Device {
	var list []backend.Device
	for _, d := range b.devices {
		list = append(list, d)
	}
	return list
}

// LoadModel implements backend.Backend. path is NAME or NAME/VERSION below the model
// directory; without a version the highest is taken.
func (b *Backend) LoadModel(ctx context.Context, path string, options backend.LoadOptions) (backend.Model, error) {
	if options.PageSize != 0 && options.PageSize != b.options.PageSize {
		return nil, protocol.Errorf(protocol.BackendError, "asked for pages of %d bytes, the devices have %d", options.PageSize, b.options.PageSize)
	}
	m, refusal := b.load(ctx, path, options)
	if refusal != nil {
		return nil, refusal
	}
	b.models.Add(1)
	return m, nil
}

// Identify implements backend.Backend.
func (b *Backend) Identify(path string) (protocol.ModelSpec, error) {
	src, refusal := readSource(b.options.ModelRoot, path, pin{}, b.options.MaxFile, &b.cache)
	if refusal != nil {
		return protocol.ModelSpec{}, refusal
	}
	src.close()
	return protocol.ModelSpec{Path: path, Version: src.version, Digest: src.digest}, nil
}

// Close implements backend.Backend. All models must be closed first.
func (b *Backend) Close() error {
	if n := b.models.Load(); n != 0 {
		return fmt.Errorf("close onnx backend: %d models are loaded", n)
	}
	if b.closed.CompareAndSwap(false, true) {
		b.release()
	}
	return nil
}

func (b *Backend) release() {
	var ending sync.WaitGroup
	for _, d := range b.devices {
		ending.Go(d.executor.close)
	}
	ending.Wait()
	b.releasing.Wait()
}
