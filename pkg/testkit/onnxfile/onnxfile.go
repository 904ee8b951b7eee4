// Package onnxfile makes small ONNX models for tests that need real ones of some shape:
// graphs of a few operators, without weights. It has no state.
package onnxfile

import (
	"errors"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/encoding/protowire"
)

// ONNX's numbers of element types.
const (
	Float = 1
	Int32 = 6
	Int64 = 7
)

// Port is an input or output. A dimension of -1 is open.
type Port struct {
	Name  string
	Type  uint64
	Shape []int64
}

// Node is an operator with one output.
type Node struct {
	Op     string
	Inputs []string
	Output string
}

// Model returns the file of a model of opset 13.
func Model(nodes []Node, inputs, outputs []Port) []byte {
	graph := message(nil, 2, []byte("g"))
	for _, n := range nodes {
		graph = message(graph, 1, n.encode())
	}
	for _, p := range inputs {
		graph = message(graph, 11, p.encode())
	}
	for _, p := range outputs {
		graph = message(graph, 12, p.encode())
	}
	opset := varint(message(nil, 1, nil), 2, 13)
	return message(message(varint(nil, 1, 7), 8, opset), 7, graph)
}

// Write writes a model as a Triton repository has it; without a configuration there is none.
func Write(root, name, config string, model []byte) error {
	dir := filepath.Join(root, name, "1")
	err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "model.onnx"), model, 0o644))
	if config != "" {
		err = errors.Join(err, os.WriteFile(filepath.Join(root, name, "config.pbtxt"), []byte(config), 0o644))
	}
	return err
}

// SumAndDifference is the model with two inputs and two outputs of Triton's examples: INT32
// [N,width], OUTPUT0 = INPUT0 + INPUT1 and OUTPUT1 = INPUT0 - INPUT1.
func SumAndDifference(width int64) []byte {
	port := func(name string) Port { return Port{name, Int32, []int64{-1, width}} }
	return Model([]Node{{"Add", []string{"INPUT0", "INPUT1"}, "OUTPUT0"}, {"Sub", []string{"INPUT0", "INPUT1"}, "OUTPUT1"}},
		[]Port{port("INPUT0"), port("INPUT1")}, []Port{port("OUTPUT0"), port("OUTPUT1")})
}

// ChannelMeans averages the channels of a picture: FP32 [1,3,size,size] to [1,3,1,1].
func ChannelMeans(input, output string, size int64) []byte {
	return Model([]Node{{"GlobalAveragePool", []string{input}, output}}, []Port{{input, Float, []int64{1, 3, size, size}}}, []Port{{output, Float, []int64{1, 3, 1, 1}}})
}

func (n *Node) encode() (b []byte) {
	for _, in := range n.Inputs {
		b = message(b, 1, []byte(in))
	}
	return message(message(b, 2, []byte(n.Output)), 4, []byte(n.Op))
}

func (p *Port) encode() []byte {
	var shape []byte
	for _, d := range p.Shape {
		dim := varint(nil, 1, uint64(d))
		if d < 0 {
			dim = message(nil, 2, []byte("N"))
		}
		shape = message(shape, 1, dim)
	}
	tensor := message(varint(nil, 1, p.Type), 2, shape)
	return message(message(nil, 1, []byte(p.Name)), 2, message(nil, 1, tensor))
}

func message(b []byte, number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), content)
}

func varint(b []byte, number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), v)
}
