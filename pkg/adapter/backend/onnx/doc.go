// Package onnx runs ONNX models on the CPU through ONNX Runtime's C API, with
// the meaning that Clockwork gives to weights: they are somewhere else than
// the model's code, and come and go by LoadWeights and EvictWeights.
//
// How a model gets there:
//
//	model.onnx -> checked -> tried and optimised by ORT in a child process
//	           -> checked -> cached -> lifted
//
// Lifted means that the large initializers of the optimised graph became graph
// inputs. What is left is the shell: a session without weights that stays
// resident and takes the weights with each run. The weights themselves are one
// block of bytes in host memory, laid out as a device will hold them.
//
// A device is an arena of page frames outside the Go heap, touched when the
// backend starts. LoadWeights moves the frames it was given, by their page
// tables, side by side into the address range for which the model's tensors
// were bound once, and copies the block over: one copy, no page fault, nothing
// allocated. Evict moves the frames back.
//
// Model files are not trusted: see Options.Checker, CheckModel and inspect.
//
// Concurrency is what package backend states. Nothing here logs, and no
// finalizer frees anything: Close of the model and of the backend does.
package onnx

import "time"

// Options configure a Backend.
type Options struct {
	// Library is the path of ONNX Runtime's shared library (1.17 or later),
	// "" for the one that pkg/adapter/fetch has put into its cache.
	Library string
	// ModelRoot is the model directory; no file outside it is ever read as a
	// model.
	ModelRoot string
	// CacheDir holds optimised graphs, "" for a folder in the user's cache.
	CacheDir string
	// GPUs is the number of devices, Pages how many pages each holds, PageSize
	// the size of one in bytes, a multiple of the machine's own page.
	GPUs     int
	Pages    int
	PageSize int64
	// Host and Processors are a part of the Inventory, a processor for each
	// device: it executes there alone. Without them it executes wherever the
	// system has room.
	Host       string
	Processors []string
	// WorkerName makes the UUIDs of devices without a processor.
	WorkerName string
	// Checker is a command that tries out and optimises a model, so that this
	// process never has ORT read the file itself. It is run under limits of
	// memory, CPU time and files, without this process's environment, with three
	// more arguments: the library's path, "-", and where the optimised graph
	// goes. It gets the model on its standard input, and is to call CheckModel
	// with these arguments and exit with 0 when that gives no error. Empty:
	// models are tried and optimised in this process.
	Checker []string
	// CheckTime is how long a checker may take, 0 for DefaultCheckTime.
	CheckTime time.Duration
	// MaxFile is the largest model file in bytes, 0 for DefaultMaxFile.
	MaxFile int64
}

// DefaultCheckTime is far more than any real model takes.
const DefaultCheckTime = 150 * time.Second

// DefaultMaxFile is 2 GiB: what a protobuf message can hold.
const DefaultMaxFile = 2 << 30

// Name is the backend's name in the key of profiles.
const Name = "onnx"
