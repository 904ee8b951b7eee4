// Package backend says what a worker needs of whatever executes models.
//
// A backend never decides, queues or times itself; the worker's lanes call it
// and measure. Its implementations are in the folders below: emulated (waits
// as long as a real GPU would take) and onnx (real models on the CPU).
//
// Concurrency: LoadModel may be called from several goroutines at a time. Of
// one Device, at most one call of LoadWeights or EvictWeights runs at a time
// (the transfer lane), at most one Execute (the execution lane), and Stage and
// Outputs run beside both.
package backend

import (
	"context"

	"clockwork/pkg/protocol"
)

// Backend loads models and owns the devices that run them.
type Backend interface {
	// Name and Version belong to the key of profiles.
	Name() string
	Version() string
	Devices() []Device
	// LoadModel reads a model from disk into host memory and makes it ready:
	// parsed, optimised, every batch size warmed. Errors are *protocol.Error
	// with INVALID_MODEL_PATH, MODEL_NOT_FOUND, MODEL_CORRUPT, MODEL_TOO_LARGE,
	// NO_MEMORY or BACKEND_ERROR.
	LoadModel(ctx context.Context, path string, options LoadOptions) (Model, error)
	// Close ends the backend. No call may be in progress.
	Close() error
}

// Inventory is what a host has that one worker at a time may use: the cores or
// GPUs that a backend executes on. A worker takes its share by leases and opens
// the backend on that. Nothing of what is emulated belongs to a host: its
// inventory is empty.
type Inventory struct {
	// Host is the machine; containers on it say the same.
	Host string
	// Devices are its names for them, those first that are to be taken first.
	// Both are valid names of the protocol.
	Devices []string
}

// LoadOptions bound what LoadModel prepares.
type LoadOptions struct {
	// MaxBatch is the largest batch size to prepare, 0 for no bound.
	MaxBatch int
	// PageSize is the worker's, in bytes.
	PageSize int64
}

// Model is a model in host memory. Copies share it: weights are per device
// and per copy, the Model is not.
type Model interface {
	// Spec describes the model; its Name is empty.
	Spec() protocol.ModelSpec
	// Profiles are stored measurements that the model carries, or none.
	Profiles() []protocol.Profile
	// Close drops the model from host memory. No weights of it may be loaded.
	Close() error
}

// DeviceInfo describes a device.
type DeviceInfo struct {
	UUID string
	// Type keys profiles: devices of one type run equally fast.
	Type string
	// Pages is how many pages of weights the device holds, PageSize their size
	// in bytes.
	Pages    int
	PageSize int64
	// Bind, unless it is nil, says that Execute burns CPU on the calling thread:
	// the execution lane locks one to its goroutine and calls Bind there once,
	// which puts the thread where the device is.
	Bind func() error
}

// Device is one GPU, or what stands for one.
type Device interface {
	Info() DeviceInfo
	// LoadWeights copies a model's weights into the given pages (frame
	// numbers, 0 <= f < Pages, as many as the model's spec says) and returns
	// when they are there.
	LoadWeights(m Model, frames []int) (Weights, error)
	// Stage brings the inputs of one batch to the device: inputs[i] holds the
	// i-th member's payload (its items, all tensors in the order of the spec),
	// items[i] how many items it has. An inputs[i] of nil asks for generated
	// input. The sum of items is at most batch; the rest is padding.
	Stage(m Model, batch int, items []int, inputs [][]byte) (Run, error)
}

// Weights are the weights of one copy of a model on one device.
type Weights interface {
	// Evict frees them. No Run that uses them may be executing.
	Evict() error
}

// Run is one batch, staged on a device.
type Run interface {
	// Execute runs the batch with these weights and returns when it is done.
	Execute(w Weights) error
	// Outputs copies the outputs from the device: one payload for each member,
	// tensors in the order of the spec, padding left out. Called once, after
	// Execute.
	Outputs() ([][]byte, error)
	// Release frees what the run holds, whether or not it was executed.
	Release()
}
