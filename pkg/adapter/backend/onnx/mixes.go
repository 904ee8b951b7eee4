//go:build linux && !static

package onnx

import (
	"encoding/binary"
	"math"
	"slices"

	"clockwork/pkg/protocol"
)

// A batch is made of requests of different clients, so what a model answers for an item
// may not depend on the other items. Some models do that nevertheless: they normalise over
// the batch, or sort it. One is found by running a batch of distinct items, and each of
// them alone.

// An item counts as another one if more than this share of its values differ by more than
// rounding and another order of sums explain.
const (
	otherShare    = 0.05
	otherRelative = 0.02
	otherAbsolute = 1e-3
)

// mixesItems reports whether the answers to the items of a batch differ from those to the
// same items alone.
func (m *loaded) mixesItems(batch int, weights []uintptr) (bool, *protocol.Error) {
	spec := &m.description.Spec
	var items [][]byte
	for i := range batch {
		items = append(items, distinct(spec.Inputs, i))
	}
	together, refusal := m.answers(items, weights)
	if refusal != nil {
		return false, refusal
	}
	for i, item := range items {
		alone, refusal := m.answers([][]byte{item}, weights)
		if refusal != nil {
			return false, refusal
		}
		for o, out := range spec.Outputs {
			size := int(out.Bytes())
			if differ(out.Datatype, together[o][i*size:][:size], alone[o][:size]) {
				return true, nil
			}
		}
	}
	return false, nil
}

// answers runs items as one batch and returns a copy of its outputs.
func (m *loaded) answers(items [][]byte, weights []uintptr) ([][]byte, *protocol.Error) {
	s, refusal := m.generatedBatch(len(items))
	if refusal != nil {
		return nil, refusal
	}
	defer s.close()
	for i, item := range items {
		s.tensors.fill(&m.description.Spec, i, 1, item)
	}
	if err := s.run(weights); err != nil {
		return nil, protocol.Errorf(protocol.UnsupportedModel, "the model does not run at batch %d: %v", len(items), err)
	}
	var outputs [][]byte
	for _, out := range s.tensors.outputs {
		outputs = append(outputs, slices.Clone(out))
	}
	return outputs, nil
}

// distinct returns the i-th of several generated items. Their values are in reverse to
// each other, and floats of another size.
func distinct(specs []protocol.TensorSpec, i int) []byte {
	item := generate(specs)
	if i == 0 {
		return item
	}
	at := 0
	for _, spec := range specs {
		n, size := int(spec.Bytes()), int(spec.Datatype.Size())
		values := item[at : at+n]
		for low, high := 0, n-size; low < high; low, high = low+size, high-size {
			for b := range size {
				values[low+b], values[high+b] = values[high+b], values[low+b]
			}
		}
		for v := 0; v < n; v += size {
			scale(spec.Datatype, values[v:v+size], i)
		}
		at += n
	}
	return item
}

// scale changes one value, which stays small.
func scale(datatype protocol.DataType, b []byte, i int) {
	le := binary.LittleEndian
	factor := 1 / float64(1+2*i)
	switch datatype {
	case protocol.FP32:
		le.PutUint32(b, math.Float32bits(math.Float32frombits(le.Uint32(b))*float32(factor)))
	case protocol.FP64:
		le.PutUint64(b, math.Float64bits(math.Float64frombits(le.Uint64(b))*factor))
	case protocol.FP16:
		le.PutUint16(b, le.Uint16(b)/2) // smaller, by far
	default:
		b[0] ^= byte(i & 1) // of 0 and 1
	}
}

// differ compares an item's output in two runs.
func differ(datatype protocol.DataType, a, b []byte) bool {
	size := int(datatype.Size())
	largest := 0.0
	for at := 0; at+size <= len(a); at += size {
		largest = max(largest, magnitude(datatype, a[at:at+size]), magnitude(datatype, b[at:at+size]))
	}
	values, other := 0, 0
	for at := 0; at+size <= len(a); at += size {
		values++
		if !near(datatype, a[at:at+size], b[at:at+size], otherAbsolute*largest) {
			other++
		}
	}
	return float64(other) > otherShare*float64(values)
}

// magnitude returns the size of a float, 0 of any other value and of what has none.
func magnitude(datatype protocol.DataType, b []byte) float64 {
	f := math.Abs(floatOf(datatype, b))
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return f
}

func floatOf(datatype protocol.DataType, b []byte) float64 {
	switch datatype {
	case protocol.FP32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case protocol.FP64:
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return 0
}

// near compares one value; NaN is near NaN. Values that are small beside the largest of
// the output are near each other.
func near(datatype protocol.DataType, a, b []byte, small float64) bool {
	switch {
	case slices.Equal(a, b):
		return true
	case datatype == protocol.FP16: // neighbours in rank are neighbours in value
		p, q := int(binary.LittleEndian.Uint16(a)), int(binary.LittleEndian.Uint16(b))
		return p-q < 32 && q-p < 32
	case datatype != protocol.FP32 && datatype != protocol.FP64:
		return false
	}
	x, y := floatOf(datatype, a), floatOf(datatype, b)
	if math.IsNaN(x) && math.IsNaN(y) {
		return true
	}
	return math.Abs(x-y) <= small+otherRelative*math.Max(math.Abs(x), math.Abs(y))
}
