package client

import (
	"encoding/binary"
	"math"

	"clockwork/pkg/protocol"
)

// Sample returns inputs for the given number of items of a model, as Model and Models
// return it; a model without a batch dimension takes one item. Floating-point values are in
// [0, 1), others are 0. The same model and number give the same bytes.
func Sample(m *protocol.ModelSpec, items int) []protocol.Tensor {
	if m.NoBatch {
		items = 1
	}
	inputs := make([]protocol.Tensor, len(m.Inputs))
	for i, spec := range m.Inputs {
		inputs[i] = protocol.Tensor{
			Name:     spec.Name,
			Datatype: spec.Datatype,
			Shape:    m.Shape(spec, items),
			Data:     sampleData(spec.Datatype, protocol.Elements(spec.Shape)*int64(items)),
		}
	}
	return inputs
}

func sampleData(datatype protocol.DataType, elements int64) []byte {
	data := make([]byte, 0, elements*datatype.Size())
	state := uint64(1)
	for range elements {
		state = state*6364136223846793005 + 1442695040888963407
		part := state >> 40 // 24 bits, as many as a float32 holds
		switch datatype {
		case protocol.FP16:
			data = binary.LittleEndian.AppendUint16(data, uint16(0x3800|part&0x3ff)) // in [0.5, 1)
		case protocol.FP32:
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(part)/(1<<24)))
		case protocol.FP64:
			data = binary.LittleEndian.AppendUint64(data, math.Float64bits(float64(part)/(1<<24)))
		default:
			data = append(data, make([]byte, datatype.Size())...)
		}
	}
	return data
}
