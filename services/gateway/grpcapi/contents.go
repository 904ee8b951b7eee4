package grpcapi

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"clockwork/pkg/protocol"
)

// contentsField is the field of InferTensorContents that has the elements of a datatype.
type contentsField struct {
	number   protowire.Number
	name     string
	min, max int64 // of varints
}

// contentsFields are those of the datatypes that have one: FP16 has none, and comes raw.
var contentsFields = map[protocol.DataType]contentsField{
	protocol.Bool:   {1, "bool_contents", 0, 1},
	protocol.Int8:   {2, "int_contents", math.MinInt8, math.MaxInt8},
	protocol.Int16:  {2, "int_contents", math.MinInt16, math.MaxInt16},
	protocol.Int32:  {2, "int_contents", math.MinInt32, math.MaxInt32},
	protocol.Int64:  {3, "int64_contents", math.MinInt64, math.MaxInt64},
	protocol.Uint8:  {4, "uint_contents", 0, math.MaxUint8},
	protocol.Uint16: {4, "uint_contents", 0, math.MaxUint16},
	protocol.Uint32: {4, "uint_contents", 0, math.MaxUint32},
	protocol.Uint64: {5, "uint64_contents", math.MinInt64, math.MaxInt64}, // all 64 bits
	protocol.FP32:   {6, "fp32_contents", 0, 0},
	protocol.FP64:   {7, "fp64_contents", 0, 0},
}

// typed returns the data of an input whose elements are in InferTensorContents. Contents are
// nil where the message has none.
func typed(t *protocol.Tensor, contents []byte) (data []byte, fault *protocol.Error) {
	if contents == nil {
		return nil, nil
	}
	field, is := contentsFields[t.Datatype]
	if !is {
		return nil, protocol.Errorf(protocol.InvalidInput, "input %.80q: the datatype %.20q has no typed contents; send raw_input_contents", t.Name, t.Datatype)
	}
	fault = fields(contents, func(number protowire.Number, kind protowire.Type, value []byte) *protocol.Error {
		if number != field.number {
			return protocol.Errorf(protocol.InvalidInput, "input %.80q: elements of %s are in %s alone", t.Name, t.Datatype, field.name)
		}
		grown, fault := field.elements(data, t, kind, value)
		data = grown
		return fault
	})
	return data, fault
}

// elements appends the elements of one field: one, or a packed list.
func (f contentsField) elements(data []byte, t *protocol.Tensor, kind protowire.Type, value []byte) ([]byte, *protocol.Error) {
	size := t.Datatype.Size()
	if f.min == f.max { // floats are on the wire what they are in memory
		fits := kind == protowire.BytesType && int64(len(value))%size == 0 || kind == protowire.Fixed32Type && size == 4 || kind == protowire.Fixed64Type && size == 8
		if !fits {
			return data, broken(f.name + " is no list of numbers")
		}
		return append(data, value...), nil
	}
	if kind != protowire.BytesType && kind != protowire.VarintType {
		return data, broken(f.name + " is no list of numbers")
	}
	for len(value) > 0 {
		v, n := protowire.ConsumeVarint(value)
		if n < 0 {
			return data, broken(f.name + " is no list of numbers")
		}
		if int64(v) < f.min || int64(v) > f.max {
			return data, protocol.Errorf(protocol.InvalidInput, "input %.80q: %d is no %s", t.Name, int64(v), t.Datatype)
		}
		data = binary.LittleEndian.AppendUint64(data, v)[:int64(len(data))+size]
		value = value[n:]
	}
	return data, nil
}
