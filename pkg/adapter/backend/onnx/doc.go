// Package onnx runs ONNX models on the CPU through ONNX Runtime's C API. As Clockwork
// requires, weights are separate from the model's code, and are loaded and freed by
// LoadWeights and EvictWeights.
//
// ONNX Runtime never runs in the worker's process, where New is called:
//
//	checker    a process for each new model file: ORT optimises it, CheckModel
//	trial      a process for each new model: ORT runs every batch size
//	executor   a process for each device: ORT executes, ExecuteModels
//
// A model may crash or hang any of them. The Backend starts them, bounds what they take,
// and replaces an executor that ended (executor.go); all of them end with the worker's
// process. Worker and executor exchange short messages over socket pairs (message.go).
// Tensors and models are in memory that both map (memory.go, image.go).
//
// How a model is loaded:
//
//	model.onnx -> checked -> optimised in a checker -> checked -> cached
//	           -> weights externalized -> image -> run in a trial -> what that found is cached
//	           -> opened in each executor
//
// Externalized means that the large initializers of the optimised graph became graph
// inputs. The rest is the shell: a session without weights that stays resident in each
// executor and gets the weights as inputs of each run. The weights themselves are one
// block of bytes in host memory, laid out as on a device; with the shell they are the
// model's image, of which there is one, whatever the number of devices.
//
// A device is an arena of page frames in its executor, touched when that begins.
// LoadWeights moves the given frames, by changing page tables, next to each
// other into the address range to which the model's tensors were bound once, and copies
// the block there: one copy, no page fault, no allocation. Evict moves the frames back.
//
// Model files are not trusted: see Options.Checker, CheckModel and inspect.
//
// Concurrency is as in package backend. The package does not log and uses no finalizers:
// closing the model and the backend frees everything.
package onnx

import "time"

// Options configure a Backend.
type Options struct {
	// Library is the path of ONNX Runtime's shared library (1.17 or later), "" for the
	// one that pkg/adapter/fetch has put into its cache.
	Library string
	// ModelRoot is the model directory; no file outside of it is read as a model.
	ModelRoot string
	// CacheDir is the directory of optimised graphs and of what trials found, "" for a
	// folder in the user's cache.
	CacheDir string
	// GPUs is the number of devices, Pages the pages of each, PageSize the size of a
	// page in bytes, a multiple of the machine's own page.
	GPUs     int
	Pages    int
	PageSize int64
	// Host and Processors come from the Inventory, one processor per device: the device
	// executes only there. Without processors the system chooses.
	Host       string
	Processors []string
	// WorkerName is the prefix of the UUIDs of devices without a processor.
	WorkerName string
	// Checker is a command that checks and optimises a model. It runs under limits of
	// memory, CPU time and files, without this process's environment, with three more
	// arguments: the library's path, "-", and the path for the optimised graph. It gets
	// the model on its standard input, and must call CheckModel with these arguments and
	// exit with 0 if there is no error.
	Checker []string
	// Executor is a command that executes models, in a process for each device and one
	// for each model that is being loaded. It has one more argument, the library's path,
	// with which it must call ExecuteModels.
	Executor []string
	// Memory is how much memory an executor may take besides that of its device, in bytes,
	// 0 for DefaultMemory. A request that takes more fails.
	Memory int64
	// CheckTime is how long checking and trying a model may take in a load without
	// LoadOptions.Within, and making a model ready in an executor; 0 for DefaultCheckTime.
	CheckTime time.Duration
	// MaxFile is the largest model file in bytes, 0 for DefaultMaxFile.
	MaxFile int64
}

// DefaultCheckTime is far more than any real model takes.
const DefaultCheckTime = 150 * time.Second

// DefaultMemory is more than batches of usual models take.
const DefaultMemory = 4 << 30

// DefaultMaxFile is 2 GiB, the limit of a protobuf message.
const DefaultMaxFile = 2 << 30

// Name is the backend's name in a profile's key.
const Name = "onnx"
