//go:build linux && !static

package onnx

import (
	"encoding/binary"
	"math"

	"clockwork/pkg/protocol"
)

// tensors are the inputs and outputs of one batch in its memory, which the worker fills
// and reads, and the executor's tensors are bound to.
type tensors struct {
	inputs, outputs [][]byte
}

// layout returns where in a batch's memory each input, then each output begins, and the
// memory's length in bytes.
func layout(spec *protocol.ModelSpec, batch int) (offsets []int64, size int64) {
	for _, list := range [][]protocol.TensorSpec{spec.Inputs, spec.Outputs} {
		for _, t := range list {
			offsets = append(offsets, size)
			size += (int64(batch)*t.Bytes() + weightAlign - 1) &^ (weightAlign - 1)
		}
	}
	return offsets, size
}

func newTensors(spec *protocol.ModelSpec, batch int, memory *region) tensors {
	var t tensors
	offsets, _ := layout(spec, batch)
	for i, at := range offsets {
		if i < len(spec.Inputs) {
			t.inputs = append(t.inputs, memory.bytes()[at:][:int64(batch)*spec.Inputs[i].Bytes()])
		} else {
			t.outputs = append(t.outputs, memory.bytes()[at:][:int64(batch)*spec.Outputs[i-len(spec.Inputs)].Bytes()])
		}
	}
	return t
}

// fill copies a payload of n items (all of the first input, then all of the next) to
// position at of the batch.
func (t *tensors) fill(spec *protocol.ModelSpec, at, n int, payload []byte) {
	for i, in := range spec.Inputs {
		size := int(in.Bytes())
		to := t.inputs[i][at*size:][:n*size]
		copy(to, payload)
		payload = payload[n*size:]
		if in.Datatype == protocol.Bool {
			for j, v := range to { // C++ allows only 0 and 1
				to[j] = min(v, 1)
			}
		}
	}
}

// clear zeroes the inputs from position at on: the padding.
func (t *tensors) clear(spec *protocol.ModelSpec, at int) {
	for i, in := range spec.Inputs {
		clear(t.inputs[i][int64(at)*in.Bytes():])
	}
}

// payload copies the outputs of n items from position at.
func (t *tensors) payload(spec *protocol.ModelSpec, at, n int) []byte {
	out := make([]byte, 0, int64(n)*spec.OutputBytes())
	for i, o := range spec.Outputs {
		size := int(o.Bytes())
		out = append(out, t.outputs[i][at*size:][:n*size]...)
	}
	return out
}

// generate returns one item of generated input, the same at every call: numbers in [0,
// 1) for floats, ones and zeros (which are valid indices of any embedding table) for all
// other types.
func generate(specs []protocol.TensorSpec) []byte {
	var out []byte
	state := uint32(2463534242)
	for _, spec := range specs {
		size := int(spec.Datatype.Size())
		for range protocol.Elements(spec.Shape) {
			state ^= state << 13
			state ^= state >> 17
			state ^= state << 5
			unit := float64(state>>8) / (1 << 24)
			switch spec.Datatype {
			case protocol.FP32:
				out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(unit)))
			case protocol.FP64:
				out = binary.LittleEndian.AppendUint64(out, math.Float64bits(unit))
			case protocol.FP16:
				out = binary.LittleEndian.AppendUint16(out, uint16(state>>8)%0x3c00) // below 1.0
			default:
				out = append(out, byte(state>>8&1))
				out = append(out, make([]byte, size-1)...)
			}
		}
	}
	return out
}
