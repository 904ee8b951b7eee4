package onnx

import (
	"errors"
	"fmt"

	"clockwork/pkg/protocol"

	"google.golang.org/protobuf/encoding/protowire"
)

// Limits of a model file, each far above any real model.
const (
	maxDepth    = 48      // nesting of messages
	maxMessages = 8 << 20 // messages in all
	maxRank     = 64
)

var (
	errDepth    = fmt.Errorf("nested deeper than %d messages", maxDepth)
	errMessages = fmt.Errorf("holds more than %d messages", maxMessages)
	errExternal = errors.New("refers to external data, which is not read; save the model as one file")
)

// kind is a message type of the ONNX format: which of its fields hold messages of which
// type. All other fields are not checked further.
type kind struct {
	name   string
	fields map[int]*kind
}

var (
	modelKind     = &kind{name: "model"}
	graphKind     = &kind{name: "graph"}
	nodeKind      = &kind{name: "node"}
	attributeKind = &kind{name: "attribute"}
	tensorKind    = &kind{name: "tensor"}
	sparseKind    = &kind{name: "sparse tensor"}
	valueKind     = &kind{name: "value info"}
	typeKind      = &kind{name: "type"}
	tensorType    = &kind{name: "tensor type"}
	shapeKind     = &kind{name: "shape"}
	dimKind       = &kind{name: "dimension"}
	holderType    = &kind{name: "container type"}
	mapType       = &kind{name: "map type"}
	functionKind  = &kind{name: "function"}
	opsetKind     = &kind{name: "opset"}
	trainingKind  = &kind{name: "training info"}
)

func init() {
	modelKind.fields = map[int]*kind{modelOpset: opsetKind, modelGraph: graphKind, 20: trainingKind, 25: functionKind}
	trainingKind.fields = map[int]*kind{1: graphKind, 2: graphKind}
	graphKind.fields = map[int]*kind{graphNode: nodeKind, graphInitializer: tensorKind, graphInput: valueKind,
		graphOutput: valueKind, graphValueInfo: valueKind, 15: sparseKind}
	nodeKind.fields = map[int]*kind{5: attributeKind}
	attributeKind.fields = map[int]*kind{5: tensorKind, 6: graphKind, 10: tensorKind, 11: graphKind,
		14: typeKind, 15: typeKind, 22: sparseKind, 23: sparseKind}
	sparseKind.fields = map[int]*kind{1: tensorKind, 2: tensorKind}
	valueKind.fields = map[int]*kind{valueType: typeKind}
	typeKind.fields = map[int]*kind{1: tensorType, 4: holderType, 5: mapType, 8: tensorType, 9: holderType}
	tensorType.fields = map[int]*kind{2: shapeKind}
	shapeKind.fields = map[int]*kind{1: dimKind}
	holderType.fields = map[int]*kind{1: typeKind}
	mapType.fields = map[int]*kind{2: typeKind}
	functionKind.fields = map[int]*kind{7: nodeKind, 9: opsetKind, 11: attributeKind, 12: valueKind}
}

// inspect checks a model file before any other code reads it: every message is complete,
// nesting and number are bounded, a tensor's shape agrees with its data, and no data is
// in another file. It copies nothing. The error is MODEL_CORRUPT and says what is wrong.
func inspect(model []byte) *protocol.Error {
	in := inspector{}
	if err := in.walk(modelKind, model, 0); err != nil {
		return protocol.Errorf(protocol.ModelCorrupt, "the model file is no ONNX model: %v", err)
	}
	if in.graphs == 0 {
		return protocol.Errorf(protocol.ModelCorrupt, "the model file is no ONNX model: it holds no graph")
	}
	return nil
}

type inspector struct{ messages, graphs int }

func (in *inspector) walk(k *kind, b []byte, depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	if in.messages++; in.messages > maxMessages {
		return errMessages
	}
	if k == graphKind {
		in.graphs++
	}
	if k == tensorKind {
		_, err := readTensor(b)
		return err
	}
	return eachField(b, func(f field) error {
		inner := k.fields[f.number]
		if inner == nil {
			return nil
		}
		if f.wire != protowire.BytesType {
			return fmt.Errorf("field %d of a %s is no message", f.number, k.name)
		}
		return in.walk(inner, f.content, depth+1)
	})
}

// tensor is the part of a TensorProto that we use. data holds the elements as in memory
// if the file stores them that way; otherwise it is nil.
type tensor struct {
	name  string
	kind  int
	shape []int64
	data  []byte
	raw   bool // data is the field raw_data
}

// readTensor decodes and checks a TensorProto.
func readTensor(b []byte) (tensor, error) {
	var t tensor
	if err := eachField(b, t.take); err != nil {
		return tensor{}, err
	}
	n := protocol.Elements(t.shape)
	if n < 0 || n > 2*int64(len(b)) { // the densest encoding has two elements per byte
		return tensor{}, fmt.Errorf("tensor %q has shape %s and %d bytes", t.name, protocol.ShapeString(t.shape), len(b))
	}
	size := elementType(t.kind).Size()
	if size == 0 || n*size != int64(len(t.data)) {
		if size != 0 && t.raw {
			return tensor{}, fmt.Errorf("tensor %q has shape %s and %d bytes of data", t.name, protocol.ShapeString(t.shape), len(t.data))
		}
		t.data = nil
	}
	return t, nil
}

func (t *tensor) take(f field) (err error) {
	switch f.number {
	case tensorDims:
		t.shape, err = varints(t.shape, f)
		if err == nil && len(t.shape) > maxRank {
			err = fmt.Errorf("a tensor has more than %d dimensions", maxRank)
		}
	case tensorDataType:
		t.kind = int(int32(f.value))
	case tensorName:
		t.name = string(f.content)
	case tensorExternal:
		err = errExternal
	case tensorLocation:
		if f.value != 0 {
			err = errExternal
		}
	case tensorRaw:
		t.data, t.raw = f.content, true
	case tensorFloats, tensorDoubles:
		if f.wire == protowire.BytesType && t.data == nil && !t.raw {
			t.data = f.content
		}
	}
	return err
}

// elementTypes are the element types of ONNX (TensorProto.DataType, and ORT's own
// enumeration) that a model's inputs and outputs may have.
var elementTypes = map[int]protocol.DataType{
	1: protocol.FP32, 2: protocol.Uint8, 3: protocol.Int8, 4: protocol.Uint16, 5: protocol.Int16, 6: protocol.Int32,
	7: protocol.Int64, 9: protocol.Bool, 10: protocol.FP16, 11: protocol.FP64, 12: protocol.Uint32, 13: protocol.Uint64,
}

func elementType(kind int) protocol.DataType { return elementTypes[kind] }
