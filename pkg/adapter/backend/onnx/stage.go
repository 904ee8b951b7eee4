//go:build linux && !static

package onnx

import (
	"encoding/binary"
	"math"

	"clockwork/pkg/protocol"
)

// stage holds the inputs and outputs of one batch outside the Go heap, bound once and
// reused. values are the session's inputs: those of the spec, and slots for the weights.
type stage struct {
	batch   int
	memory  *region
	inputs  [][]byte
	outputs [][]byte
	values  []uintptr
	results []uintptr
}

func (m *model) newStage(batch int) (*stage, error) {
	specs := append(append([]protocol.TensorSpec(nil), m.spec.Inputs...), m.spec.Outputs...)
	kinds := append(append([]int(nil), m.inputKinds...), m.outputKinds...)
	offsets, size := make([]int64, len(specs)), int64(0)
	for i, spec := range specs {
		offsets[i] = size
		size += (int64(batch)*spec.Bytes() + weightAlign - 1) &^ (weightAlign - 1)
	}
	memory, err := newRegion(size, true)
	if err != nil {
		return nil, err
	}
	s := &stage{batch: batch, memory: memory, values: make([]uintptr, len(m.spec.Inputs)+len(m.weights))}
	for i, spec := range specs {
		data := memory.bytes()[offsets[i]:][:int64(batch)*spec.Bytes()]
		value, err := m.backend.lib.newTensor(data, kinds[i], append([]int64{int64(batch)}, spec.Shape...))
		if err != nil {
			s.close(m.backend.lib)
			return nil, err
		}
		if i < len(m.spec.Inputs) {
			s.values[i], s.inputs = value, append(s.inputs, data)
		} else {
			s.results, s.outputs = append(s.results, value), append(s.outputs, data)
		}
	}
	return s, nil
}

func (s *stage) close(lib *ort) {
	lib.releaseValues(s.values[:len(s.inputs)])
	lib.releaseValues(s.results)
	s.memory.close()
}

func (m *model) takeStage(device, batch int) (*stage, error) {
	p := &m.places[device]
	p.mu.Lock()
	list := p.stages[batch]
	if n := len(list); n > 0 {
		s := list[n-1] // read under the lock: putStage may overwrite this element
		p.stages[batch] = list[:n-1]
		p.mu.Unlock()
		return s, nil
	}
	p.mu.Unlock()
	return m.newStage(batch)
}

func (m *model) putStage(device int, s *stage) {
	p := &m.places[device]
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.stages[s.batch]) >= idleStages {
		s.close(m.backend.lib)
		return
	}
	if p.stages == nil {
		p.stages = make(map[int][]*stage)
	}
	p.stages[s.batch] = append(p.stages[s.batch], s)
}

// fill copies a payload of n items (all of the first input, then all of the next) to
// position at of the batch.
func (m *model) fill(s *stage, at, n int, payload []byte) {
	for i, spec := range m.spec.Inputs {
		size := int(spec.Bytes())
		to := s.inputs[i][at*size:][:n*size]
		copy(to, payload)
		payload = payload[n*size:]
		if spec.Datatype == protocol.Bool {
			for j, v := range to { // C++ allows only 0 and 1
				to[j] = min(v, 1)
			}
		}
	}
}

// fillGenerated puts n generated items at the start of the batch.
func (m *model) fillGenerated(s *stage, n int) {
	for i := range n {
		m.fill(s, i, 1, m.generated)
	}
}

// clear zeroes the batch from position at on: the padding.
func (m *model) clear(s *stage, at int) {
	for i, spec := range m.spec.Inputs {
		clear(s.inputs[i][int64(at)*spec.Bytes():])
	}
}

// payload copies the outputs of n items from position at.
func (m *model) payload(s *stage, at, n int) []byte {
	out := make([]byte, 0, int64(n)*m.spec.OutputBytes())
	for i, spec := range m.spec.Outputs {
		size := int(spec.Bytes())
		out = append(out, s.outputs[i][at*size:][:n*size]...)
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
