// Package badmodels makes ONNX models that end or hang what executes them, for some of their
// inputs or for all. Tests of packages with real models use it; it has no state.
package badmodels

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/encoding/protowire"
)

// Crash and Sound are inputs of Quotient, one item each: there is no quotient of Crash,
// which raises SIGFPE, and that of Sound is Seven.
var (
	Crash = ints(math.MinInt32, -2)
	Sound = ints(42, 5)
	Seven = ints(7)
)

// Endless is an input of Repetition that takes years.
var Endless = Int64(math.MaxInt64)

// Int64 returns an item of one int64.
func Int64(n int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(n)) }

func ints(values ...int32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return b
}

// Quotient is y = a / (b + 1) of int32 [N,1].
func Quotient() []byte {
	return model(
		[][]byte{node("Add", "d", nil, "b", "one"), node("Div", "y", nil, "a", "d")},
		[][]byte{constant("one", int32Type, 1, false)},
		[][]byte{input("a", int32Type), input("b", int32Type)}, int32Type)
}

// CertainCrash is Quotient for Crash whatever its input a, int32 [N,1], is.
func CertainCrash() []byte {
	return model(
		[][]byte{
			node("Mul", "nothing", nil, "a", "zero"), node("Add", "n", nil, "nothing", "least"),
			node("Add", "d", nil, "nothing", "minus"), node("Div", "y", nil, "n", "d"),
		},
		[][]byte{constant("zero", int32Type, 0, false), constant("least", int32Type, math.MinInt32, false), constant("minus", int32Type, -1, false)},
		[][]byte{input("a", int32Type)}, int32Type)
}

// Repetition adds x, int64 [N,1], to itself x + more times.
func Repetition(more int64) []byte {
	body := graph(
		[][]byte{node("Identity", "going", nil, "go"), node("Add", "more", nil, "sum", "x")}, nil,
		[][]byte{value("i", int64Type, nil, true), value("go", boolType, nil, true), value("sum", int64Type, nil, false)},
		[][]byte{value("going", boolType, nil, true), value("more", int64Type, nil, false)})
	loop := bytesField(nil, 1, []byte("body"))
	loop = varint(bytesField(loop, 6, body), 20, 5) // a graph
	return model(
		[][]byte{
			node("ReduceMax", "most", [][]byte{flat()}, "x"), node("Add", "times", nil, "most", "extra"),
			node("Loop", "y", [][]byte{loop}, "times", "yes", "x"),
		},
		[][]byte{constant("extra", int64Type, more, true), constant("yes", boolType, 1, true)},
		[][]byte{input("x", int64Type)}, int64Type)
}

// SummedRange is y = x + the sum of 0 to x-1 of int64 [N,1]. It takes 8 x bytes of memory.
func SummedRange() []byte {
	return model(
		[][]byte{
			node("ReduceMax", "most", [][]byte{flat()}, "x"), node("Range", "all", nil, "zero", "most", "one"),
			node("ReduceSum", "sum", [][]byte{flat()}, "all"), node("Add", "y", nil, "x", "sum"),
		},
		[][]byte{constant("zero", int64Type, 0, true), constant("one", int64Type, 1, true)},
		[][]byte{input("x", int64Type)}, int64Type)
}

// Write lays a model out in a model directory, with a batch size of 1.
func Write(root, name string, file []byte) error {
	dir := filepath.Join(root, name, "1")
	return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "model.onnx"), file, 0o644),
		os.WriteFile(filepath.Join(root, name, "model.yaml"), []byte("max_batch: 1\n"), 0o644))
}

// ONNX's numbers of element types.
const (
	int32Type = 6
	int64Type = 7
	boolType  = 9
)

// model is a graph with the output y.
func model(nodes, constants, inputs [][]byte, of uint64) []byte {
	opset := varint(bytesField(nil, 1, nil), 2, 13)
	b := bytesField(varint(nil, 1, 7), 8, opset)
	return bytesField(b, 7, graph(nodes, constants, inputs, [][]byte{value("y", of, nil, false)}))
}

func graph(nodes, constants, inputs, outputs [][]byte) []byte {
	b := bytesField(nil, 2, []byte("g"))
	for _, part := range []struct {
		number protowire.Number
		list   [][]byte
	}{{1, nodes}, {5, constants}, {11, inputs}, {12, outputs}} {
		for _, item := range part.list {
			b = bytesField(b, part.number, item)
		}
	}
	return b
}

func node(op, output string, attributes [][]byte, inputs ...string) []byte {
	var b []byte
	for _, in := range inputs {
		b = bytesField(b, 1, []byte(in))
	}
	b = bytesField(b, 2, []byte(output))
	b = bytesField(b, 4, []byte(op))
	for _, a := range attributes {
		b = bytesField(b, 5, a)
	}
	return b
}

// flat is the attribute of a reduction to a scalar.
func flat() []byte { return varint(varint(bytesField(nil, 1, []byte("keepdims")), 3, 0), 20, 2) }

// input is an input [N,1].
func input(name string, of uint64) []byte {
	return value(name, of, [][]byte{bytesField(nil, 2, []byte("N")), varint(nil, 1, 1)}, false)
}

// value describes an input or output; without dimensions its shape is open, or it is a
// scalar.
func value(name string, of uint64, dimensions [][]byte, scalar bool) []byte {
	tensor := varint(nil, 1, of)
	if dimensions != nil || scalar {
		var shape []byte
		for _, d := range dimensions {
			shape = bytesField(shape, 1, d)
		}
		tensor = bytesField(tensor, 2, shape)
	}
	return bytesField(bytesField(nil, 1, []byte(name)), 2, bytesField(nil, 1, tensor))
}

// constant is one number, as a scalar or as a list.
func constant(name string, of uint64, n int64, scalar bool) []byte {
	var b []byte
	if !scalar {
		b = varint(b, 1, 1)
	}
	b = bytesField(varint(b, 2, of), 8, []byte(name))
	switch of {
	case int32Type:
		return bytesField(b, 9, ints(int32(n)))
	case boolType:
		return bytesField(b, 9, []byte{byte(n)})
	}
	return bytesField(b, 9, Int64(n))
}

func bytesField(b []byte, number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), content)
}

func varint(b []byte, number protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), n)
}
