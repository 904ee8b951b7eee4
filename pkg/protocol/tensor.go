package protocol

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// DataType is an element type, named as in the Open Inference Protocol.
type DataType string

// The element types of models' inputs and outputs.
const (
	Bool   DataType = "BOOL"
	Uint8  DataType = "UINT8"
	Uint16 DataType = "UINT16"
	Uint32 DataType = "UINT32"
	Uint64 DataType = "UINT64"
	Int8   DataType = "INT8"
	Int16  DataType = "INT16"
	Int32  DataType = "INT32"
	Int64  DataType = "INT64"
	FP16   DataType = "FP16"
	FP32   DataType = "FP32"
	FP64   DataType = "FP64"
)

// Size returns the bytes of one element, 0 for an unknown type.
func (d DataType) Size() int64 {
	switch d {
	case Bool, Uint8, Int8:
		return 1
	case Uint16, Int16, FP16:
		return 2
	case Uint32, Int32, FP32:
		return 4
	case Uint64, Int64, FP64:
		return 8
	}
	return 0
}

// TensorSpec describes an input or output of a model.
type TensorSpec struct {
	Name     string   `json:"name"`
	Datatype DataType `json:"datatype"`
	// Shape is the shape of one item, without the batch dimension, which is the first
	// unless the model has none. All dimensions are positive.
	Shape []int64 `json:"shape"`
}

// MarshalJSON writes the shape of a scalar as [], not as null.
func (s TensorSpec) MarshalJSON() ([]byte, error) {
	type plain TensorSpec // without this method
	if s.Shape == nil {
		s.Shape = []int64{}
	}
	return json.Marshal(plain(s))
}

// Bytes returns the size of one item in bytes.
func (s TensorSpec) Bytes() int64 { return Elements(s.Shape) * s.Datatype.Size() }

// String formats the spec as "name FP32[3,224,224]".
func (s TensorSpec) String() string {
	return fmt.Sprintf("%s %s%s", s.Name, s.Datatype, ShapeString(s.Shape))
}

// Equal reports whether two specs describe the same tensors.
func (s TensorSpec) Equal(o TensorSpec) bool {
	return s.Name == o.Name && s.Datatype == o.Datatype && slices.Equal(s.Shape, o.Shape)
}

// Tensor is a named array of a batch of items.
type Tensor struct {
	Name     string
	Datatype DataType
	// Shape begins with the batch dimension, if the model has one.
	Shape []int64
	// Data holds the elements in row-major order, little-endian.
	Data []byte
}

// Elements returns the product of the dimensions, 1 for none, and -1 if a dimension is
// negative or the product overflows int64.
func Elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		if d < 0 || (d > 0 && n > math.MaxInt64/d) {
			return -1
		}
		n *= d
	}
	return n
}

// ShapeString formats a shape as [1,3,224,224].
func ShapeString(shape []int64) string {
	parts := make([]string, len(shape))
	for i, d := range shape {
		parts[i] = fmt.Sprint(d)
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// BatchOf checks the inputs of one request against the model's specs, and returns how many
// items the request holds. The error names what was expected and what came:
// INVALID_INPUT, or BATCH_TOO_LARGE for a shape of more items than its largest batch, whatever its
// data. The shape decides because with large items the data of too many would never
// arrive complete, so that its size would tell nothing.
func (m *ModelSpec) BatchOf(inputs []Tensor) (int, *Error) {
	if len(inputs) != len(m.Inputs) {
		return 0, Errorf(InvalidInput, "expected %d inputs, got %d", len(m.Inputs), len(inputs))
	}
	batch := int64(0)
	for _, spec := range m.Inputs {
		in := find(inputs, spec.Name)
		if in == nil {
			return 0, Errorf(InvalidInput, "expected an input named %q", spec.Name)
		}
		n, refusal := m.itemsIn(spec, in)
		if refusal != nil {
			return 0, refusal
		}
		if batch != 0 && n != batch {
			return 0, Errorf(InvalidInput, "input %q holds %d items, another input %d", spec.Name, n, batch)
		}
		batch = n
	}
	return int(batch), nil
}

func (m *ModelSpec) itemsIn(spec TensorSpec, in *Tensor) (int64, *Error) {
	if in.Datatype != spec.Datatype {
		return 0, Errorf(InvalidInput, "input %q: expected datatype %s, got %q", spec.Name, spec.Datatype, in.Datatype)
	}
	n := m.items(spec, in.Shape)
	if n < 1 {
		return 0, Errorf(InvalidInput, "input %q: expected shape %s, got %s", spec.Name, m.anyShape(spec), ShapeString(in.Shape))
	}
	if largest := int64(m.MaxBatch()); n > largest {
		refusal := Errorf(BatchTooLarge, "input %q: expected at most %d items, got %d", spec.Name, largest, n)
		refusal.Got, refusal.Limit = n, largest
		return 0, refusal
	}
	if int64(len(in.Data)) != n*spec.Bytes() {
		return 0, Errorf(InvalidInput, "input %q: shape %s of %s takes %d bytes an item, got %d bytes in all",
			spec.Name, ShapeString(in.Shape), spec.Datatype, spec.Bytes(), len(in.Data))
	}
	return n, nil
}

// items returns how many items of a tensor a shape holds, 0 or less if it is none of the
// tensor's.
func (m *ModelSpec) items(of TensorSpec, shape []int64) int64 {
	if m.NoBatch && slices.Equal(shape, of.Shape) {
		return 1
	}
	if m.NoBatch || len(shape) == 0 || !slices.Equal(shape[1:], of.Shape) {
		return 0
	}
	return shape[0]
}

// anyShape formats the shapes that a tensor may have, as [N,3,224,224].
func (m *ModelSpec) anyShape(of TensorSpec) string {
	switch {
	case m.NoBatch:
		return ShapeString(of.Shape)
	case len(of.Shape) == 0:
		return "[N]"
	}
	return "[N," + strings.TrimPrefix(ShapeString(of.Shape), "[")
}

// Cut cuts the raw data of a number of items into the model's inputs: all items of the first
// input, then all of the next. They alias the data. The error says how many bytes each takes.
func (m *ModelSpec) Cut(data []byte, items int) ([]Tensor, *Error) {
	if size := m.ItemBytes(); size == 0 || int64(len(data)) != size*int64(items) {
		var takes []string
		for _, spec := range m.Inputs {
			takes = append(takes, fmt.Sprintf("%s (%d bytes)", spec, spec.Bytes()))
		}
		return nil, Errorf(InvalidInput, "the raw data of %d items are %s, one after the other: %d bytes in all, got %d", items, strings.Join(takes, ", "), size*int64(items), len(data))
	}
	inputs := make([]Tensor, 0, len(m.Inputs))
	for _, spec := range m.Inputs {
		n := int64(items) * spec.Bytes()
		inputs = append(inputs, Tensor{Name: spec.Name, Datatype: spec.Datatype, Shape: m.Shape(spec, items), Data: data[:n:n]})
		data = data[n:]
	}
	return inputs, nil
}

func find(tensors []Tensor, name string) *Tensor {
	for i := range tensors {
		if tensors[i].Name == name {
			return &tensors[i]
		}
	}
	return nil
}
