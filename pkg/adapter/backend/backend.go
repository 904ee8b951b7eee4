// Package backend defines the interfaces between a worker and the code that executes
// models.
//
// A backend never decides, queues or measures; the worker's lanes call it and measure.
// The folders below hold its implementations: emulated (waits as long as a real GPU
// would take), onnx (real models on the CPU) and combined (both).
//
// Concurrency: LoadModel may be called from several goroutines at a time. On one Device,
// at most one call of LoadWeights or EvictWeights runs at a time (the transfer lane), at
// most one Execute (the execution lane), and Stage, Outputs and End may run at the same
// time as both. Stage and Release do not wait for the executor.
package backend

import (
	"context"
	"time"

	"clockwork/pkg/protocol"
)

// Backend loads models and owns the devices that run them.
type Backend interface {
	// Name and Version are part of a profile's key.
	Name() string
	Version() string
	Devices() []Device
	// Watch sets who is told about the executors of the devices. It is called at most
	// once, before a model is loaded.
	Watch(func(Notice))
	// LoadModel reads a model from disk into host memory and makes it ready: parsed,
	// optimised, every batch size warmed. Errors are *protocol.Error with
	// INVALID_MODEL_PATH, MODEL_NOT_FOUND, MODEL_CORRUPT, MODEL_TOO_LARGE, NO_MEMORY,
	// EXECUTOR_LOST or BACKEND_ERROR. It returns soon after the end of ctx.
	LoadModel(ctx context.Context, path string, options LoadOptions) (Model, error)
	// Identify returns what LoadModel would read now: the path, its version and digest,
	// and nothing else. Errors are as of LoadModel.
	Identify(path string) (protocol.ModelSpec, error)
	// Close closes the backend. No call may be in progress.
	Close() error
}

// Inventory is the exclusive resources of a host: the cores or GPUs on which a backend
// executes. A worker acquires a lease for each device that it uses, and opens the
// backend on those. Emulated devices do not belong to a host: their inventory is empty.
type Inventory struct {
	// Host identifies the machine; all containers on it report the same value. It is
	// public; Secret is not: it says of who knows it that he is on this machine.
	Host   string
	Secret []byte
	// Devices are the host's names for the devices, in the order of preference. Host and
	// Devices are valid names of the protocol.
	Devices []string
}

// LoadOptions bound what LoadModel prepares.
type LoadOptions struct {
	// MaxBatch is the largest batch size to prepare, 0 for no bound.
	MaxBatch int
	// PageSize is the worker's, in bytes.
	PageSize int64
	// Version and Digest are protocol.LoadSpec's: what is at the path must be exactly
	// that, otherwise the error is MODEL_CHANGED, or MODEL_NOT_FOUND without that version.
	Version int
	Digest  string
	// Within is how long the load may take; then ctx ends. 0 for the backend's default. What
	// takes nearly as long, and is the model's doing, is an error of the model.
	Within time.Duration
}

// Model is a model in host memory. Copies share the Model; weights exist per device and
// per copy.
type Model interface {
	// Spec describes the model; its Name is empty.
	Spec() protocol.ModelSpec
	// Profiles are measurements stored with the model, or none.
	Profiles() []protocol.Profile
	// Close frees the model's host memory. None of its weights may be loaded.
	Close() error
}

// DeviceInfo describes a device.
type DeviceInfo struct {
	UUID string
	// Type is part of a profile's key: devices of one type run equally fast.
	Type string
	// Pages is how many pages of weights the device holds, PageSize their size in bytes.
	Pages    int
	PageSize int64
	// Processor says in words what executions have of the host's processors, "" if they need
	// none.
	Processor string
}

// An executor is what computes on one device: a process of its own, or an emulation of
// one. A model may end it. Then the calls that it was working on return EXECUTOR_LOST, or
// EXECUTOR_KILLED if it was killed from outside; those that it had not begun are WEIGHTS_MISSING.
// All weights on the device are gone, and another executor takes its place: models stay
// in host memory.

// Notice is news about the executor of a device.
type Notice struct {
	Kind NoticeKind
	// Device is the index in Devices, Executor counts the device's executors from 0.
	Device   int
	Executor uint32
	// Models are the paths of the models that the executor was working on, if any.
	Models []string
	// Text is how the executor ended, or the line that it wrote.
	Text string
	// Overdue: Device.End ended it.
	Overdue bool
}

// NoticeKind says what a Notice is about.
type NoticeKind uint8

const (
	// ExecutorLost: the executor ended, and with it all weights on the device. Calls
	// that return success later ended before. The next executor begins after the
	// watcher has returned.
	ExecutorLost NoticeKind = iota + 1
	// ExecutorReady: the next executor has begun.
	ExecutorReady
	// ExecutorSaid: the executor wrote a line for the log.
	ExecutorSaid
)

// Device is one GPU, or an equivalent.
type Device interface {
	Info() DeviceInfo
	// LoadWeights copies a model's weights into the given pages (frame numbers, 0 <= f <
	// Pages, as many as in the model's spec) and returns when the copy is complete.
	LoadWeights(m Model, frames []int) (Weights, error)
	// Stage copies the inputs of one batch to the device: inputs[i] holds the i-th
	// member's payload (its items, all tensors in the order of the spec), items[i] is
	// its number of items. A nil inputs[i] means generated input. The sum of items is at
	// most batch; the rest is padding.
	Stage(m Model, batch int, items []int, inputs [][]byte) (Run, error)
	// End ends the device's executor, which counts as hung, and another takes its place.
	// It may be called at any time, and does not wait.
	End(why string)
	// EndStart does the same to an executor that is not ready yet, and counts as one that
	// never will be; without one that is being started it does nothing.
	EndStart(why string)
}

// Weights are the weights of one copy of a model on one device.
type Weights interface {
	// Evict frees the weights. No Run that uses them may be executing. Weights that were
	// lost with their executor are free already.
	Evict() error
}

// Run is one batch, staged on a device.
type Run interface {
	// Execute runs the batch with these weights and returns when it is done. It returns
	// WEIGHTS_MISSING for weights that were lost before.
	Execute(w Weights) error
	// Outputs copies the outputs from the device: one payload for each member, tensors
	// in the order of the spec, without padding. It is called once, after Execute.
	Outputs() ([][]byte, error)
	// Release frees the run's memory, whether or not the run was executed.
	Release()
}
