package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// Field numbers of the ONNX format.
const (
	modelGraph = 7
	modelOpset = 8

	opsetDomain  = 1
	opsetVersion = 2

	graphNode        = 1
	graphInitializer = 5
	graphInput       = 11
	graphOutput      = 12
	graphValueInfo   = 13

	valueName = 1
	valueType = 2

	tensorDims     = 1
	tensorDataType = 2
	tensorFloats   = 4
	tensorName     = 8
	tensorRaw      = 9
	tensorDoubles  = 10
	tensorExternal = 13
	tensorLocation = 14
)

// externalizedBytes is the least size of an initializer that is externalized. Smaller
// ones (shapes, axes, biases) stay in the shell: together they are small, each would
// cost a binding, and some kernels need them as constants.
const externalizedBytes = 1024

// weightAlign is the alignment of ORT's own tensors, in bytes.
const weightAlign = 64

// weight is an initializer that became an input; offset is its position in the block of
// weights.
type weight struct {
	tensor
	offset int64
}

// externalized is a graph without its weights, and the weights: size is the length of
// the block that holds all weights, in bytes. The weights' data alias the file.
type externalized struct {
	shell   []byte
	weights []weight
	size    int64
}

// externalizeWeights turns the large initializers of a model into graph inputs. The
// model must have passed inspect.
func externalizeWeights(model []byte) (externalized, error) {
	var out externalized
	err := eachField(model, func(f field) error {
		if f.number != modelGraph {
			out.shell = append(out.shell, f.whole...)
			return nil
		}
		graph, err := out.externalizeGraph(f.content)
		out.shell = appendBytes(out.shell, modelGraph, graph)
		return err
	})
	return out, err
}

func (l *externalized) externalizeGraph(graph []byte) ([]byte, error) {
	fixed, err := interfaceNames(graph)
	if err != nil {
		return nil, err
	}
	var shell []byte
	err = eachField(graph, func(f field) error {
		if f.number == graphInitializer {
			t, err := readTensor(f.content)
			if err != nil {
				return err
			}
			if len(t.data) >= externalizedBytes && !fixed[t.name] {
				l.add(t)
				return nil
			}
		}
		shell = append(shell, f.whole...)
		return nil
	})
	for _, w := range l.weights {
		shell = appendBytes(shell, graphInput, valueInfo(w.name, w.kind, w.shape))
	}
	return shell, err
}

func (l *externalized) add(t tensor) {
	l.weights = append(l.weights, weight{t, l.size})
	l.size += (int64(len(t.data)) + weightAlign - 1) &^ (weightAlign - 1)
}

// fill copies the weights to their positions in a block of l.size bytes.
func (l *externalized) fill(block []byte) {
	for _, w := range l.weights {
		transfer(block[w.offset:], w.data)
	}
}

// interfaceNames returns the names of a graph's inputs and outputs: an initializer of
// such a name (a default, a constant result) is not externalized.
func interfaceNames(graph []byte) (map[string]bool, error) {
	names := make(map[string]bool)
	err := eachField(graph, func(f field) error {
		if f.number != graphInput && f.number != graphOutput {
			return nil
		}
		return eachField(f.content, func(f field) error {
			if f.number == valueName {
				names[string(f.content)] = true
			}
			return nil
		})
	})
	return names, err
}

// outputCount counts the outputs of a model's graph, as far as the file can be read.
func outputCount(model []byte) (n int) {
	eachOf(model, modelGraph, func(graph []byte) {
		eachOf(graph, graphOutput, func([]byte) { n++ })
	})
	return n
}

// eachOf calls f with the content of each field of this number, as far as b can be read.
func eachOf(b []byte, number int, f func(content []byte)) {
	_ = eachField(b, func(of field) error {
		if of.number == number {
			f(of.content)
		}
		return nil
	})
}

// valueInfo encodes a ValueInfoProto; a nil shape leaves the shape open.
func valueInfo(name string, kind int, shape []int64) []byte {
	of := appendVarint(nil, 1, int64(kind))
	if shape != nil {
		var dims []byte
		for _, d := range shape {
			dims = appendBytes(dims, 1, appendVarint(nil, 1, d))
		}
		of = appendBytes(of, 2, dims)
	}
	return appendBytes(appendString(nil, valueName, name), valueType, appendBytes(nil, 1, of))
}

// The names that the head adds to a graph.
const (
	headOutput = "clockwork_head"
	headPrefix = "clockwork_head_"
)

// appendHead replaces a model's one output of scores [N,...,C] by one output float32
// [N,...,2]: the best class, and its score.
func appendHead(model []byte) ([]byte, error) {
	var out []byte
	version, err := opset(model)
	if err != nil {
		return nil, err
	}
	err = eachField(model, func(f field) error {
		if f.number != modelGraph {
			out = append(out, f.whole...)
			return nil
		}
		graph, err := headGraph(f.content, version)
		out = appendBytes(out, modelGraph, graph)
		return err
	})
	return out, err
}

func headGraph(graph []byte, version int64) ([]byte, error) {
	var out, output []byte
	err := eachField(graph, func(f field) error {
		if f.number != graphOutput {
			out = append(out, f.whole...)
			return nil
		}
		if output != nil {
			return fmt.Errorf("the argmax head needs a model with one output")
		}
		output = f.content
		return nil
	})
	if err != nil {
		return nil, err
	}
	name := ""
	if err := eachField(output, func(f field) error {
		if f.number == valueName {
			name = string(f.content)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if name == "" || strings.HasPrefix(name, headPrefix) {
		return nil, fmt.Errorf("the argmax head needs a model with one output")
	}
	for _, node := range headNodes(name, version) {
		out = appendBytes(out, graphNode, node)
	}
	if version >= 18 {
		axes := appendVarint(appendVarint(nil, tensorDims, 1), tensorDataType, 7)
		axes = appendBytes(appendString(axes, tensorName, headPrefix+"axes"), tensorRaw, lastAxis())
		out = appendBytes(out, graphInitializer, axes)
	}
	return appendBytes(out, graphOutput, valueInfo(headOutput, 1, nil)), nil
}

func lastAxis() []byte { return binary.LittleEndian.AppendUint64(nil, math.MaxUint64) }

// headNodes returns the nodes after the scores. Since opset 18 ReduceMax takes the axes
// as an input.
func headNodes(scores string, version int64) [][]byte {
	p := headPrefix
	last := intAttribute("axis", -1)
	keep := intAttribute("keepdims", 1)
	reduced, axes := []string{scores}, listAttribute("axes", -1)
	if version >= 18 {
		reduced, axes = append(reduced, p+"axes"), nil
	}
	nodes := [][]byte{
		node("ArgMax", []string{scores}, p+"id", last, keep),
		node("Cast", []string{p + "id"}, p+"class", intAttribute("to", 1)),
		node("ReduceMax", reduced, p+"max", axes, keep),
		node("Cast", []string{p + "max"}, p+"score", intAttribute("to", 1)),
		node("Concat", []string{p + "class", p + "score"}, headOutput, last),
	}
	return nodes
}

func node(op string, inputs []string, output string, attributes ...[]byte) []byte {
	var b []byte
	for _, in := range inputs {
		b = appendString(b, 1, in)
	}
	b = appendString(b, 2, output)
	b = appendString(b, 3, output+"_node")
	b = appendString(b, 4, op)
	for _, a := range attributes {
		if a != nil {
			b = appendBytes(b, 5, a)
		}
	}
	return b
}

func intAttribute(name string, value int64) []byte {
	return appendVarint(appendVarint(appendString(nil, 1, name), 3, value), 20, 2)
}

func listAttribute(name string, value int64) []byte {
	return appendVarint(appendVarint(appendString(nil, 1, name), 8, value), 20, 7)
}

// opset returns the version of ONNX's own operators that a model uses.
func opset(model []byte) (int64, error) {
	found := int64(1)
	err := eachField(model, func(f field) error {
		if f.number != modelOpset {
			return nil
		}
		domain, version := "", int64(0)
		err := eachField(f.content, func(f field) error {
			switch f.number {
			case opsetDomain:
				domain = string(f.content)
			case opsetVersion:
				version = int64(f.value)
			}
			return nil
		})
		if domain == "" || domain == "ai.onnx" {
			found = version
		}
		return err
	})
	return found, err
}
