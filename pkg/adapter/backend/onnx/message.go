//go:build linux && !static

package onnx

import (
	"encoding/binary"

	"clockwork/pkg/adapter/tritonconfig"
	"clockwork/pkg/protocol"
)

// The messages between a worker and an executor, its process. Each is one frame of a
// channel; all but an execution's are JSON, since they are rare.

// setup is the worker's first message: what the executor is. The file of their progress
// comes along.
type setup struct {
	// Pages and PageSize are the device's memory for weights; without pages the executor
	// only tries models.
	Pages    int
	PageSize int64
	// Lazy: the device's memory is touched while it is in use, so that the executor begins
	// at once. A device that was never used can wait for it.
	Lazy bool
	// Processor is where the executor executes, "" for anywhere. Spare: there are others for
	// everything else.
	Processor string
	Spare     bool
}

// hello answers setup once the device's memory is resident, or at once: see setup.Lazy.
type hello struct {
	// Version is ONNX Runtime's version.
	Version string
	// Processor says what the executor has got of its processor.
	Processor string
	Refusal   *protocol.Error
}

// task is a message that an executor answers with a done. Exactly one field is set.
type task struct {
	Open   *openTask   `json:",omitempty"`
	Close  *closeTask  `json:",omitempty"`
	Load   *loadTask   `json:",omitempty"`
	Evict  *evictTask  `json:",omitempty"`
	Bind   *bindTask   `json:",omitempty"`
	Unbind *unbindTask `json:",omitempty"`
}

// done answers a task: nil for success.
type done struct {
	Refusal *protocol.Error
	// Description answers an openTask without one.
	Description *description `json:",omitempty"`
}

// openTask makes a model ready in the executor. The model's image comes along as a file.
type openTask struct {
	Model uint64
	// Size is the image's length in bytes: the weights, then from Shell on the shell.
	Size, Shell int64
	Weights     []placement
	Pages       int
	// Description is what an earlier trial found; nil: find it, by running every batch
	// size up to Limit. Stated are the shapes of model.yaml, Declared is the content of
	// config.pbtxt, nil without one.
	Description *description
	Limit       int
	Stated      map[string][]int64
	Declared    *tritonconfig.Config
	// Warm runs the smallest batch once, since the first run of a session is slow. The first
	// run of another size is hardly slower: it finds memory that other models have used.
	Warm bool
}

// placement is where in an image a weight is: the bytes at Offset of a tensor of this
// element type (as ORT numbers them) and shape.
type placement struct {
	Name          string
	Kind          int
	Shape         []int64
	Offset, Bytes int64
}

// description is what a trial found out about a model: all of Spec that depends on the
// graph, and for each input and output the element type as ORT numbers it, and the shape that
// the graph has for what clients know by the spec's: of an item, or without a batch dimension
// the whole shape.
type description struct {
	Spec                      protocol.ModelSpec
	InputKinds, OutputKinds   []int
	InputShapes, OutputShapes [][]int64
}

// shape returns the shape of a tensor of the graph for a batch.
func (d *description) shape(of []int64, batch int) []int64 {
	return d.Spec.Shape(protocol.TensorSpec{Shape: of}, batch)
}

type closeTask struct{ Model uint64 }

// loadTask copies a model's weights into frames of the device.
type loadTask struct {
	Weights, Model uint64
	Frames         []int
}

type evictTask struct{ Weights uint64 }

// bindTask makes the memory of one batch of a model known, which comes along as a file.
type bindTask struct {
	Stage, Model uint64
	Batch        int
}

type unbindTask struct{ Stages []uint64 }

// runSize is the length of the one message that is not JSON: execute a bound batch with
// loaded weights. It begins with runMark, which no JSON does.
const (
	runSize = 17
	runMark = 'R'
)

func appendRun(b []byte, stage, weights uint64) []byte {
	b = append(b, runMark)
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, stage), weights)
}

func readRun(b []byte) (stage, weights uint64, ok bool) {
	if len(b) != runSize || b[0] != runMark {
		return 0, 0, false
	}
	return binary.LittleEndian.Uint64(b[1:]), binary.LittleEndian.Uint64(b[9:]), true
}

// ran is the answer of an execution that succeeded; every other answer is a done.
var ran = []byte{runMark}
