package grpcapi

import (
	"encoding/binary"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"clockwork/pkg/protocol"
)

// request is a ModelInferRequest. Raw contents are copied once, from the buffers in which they
// came into a slice of their own each.
type request struct {
	model, version string
	protocol.InferRequest
	fault *protocol.Error // why it cannot be read
	bytes int             // of the message

	elements int // of repeated fields
	contents [][]byte
	raw      [][]byte
}

// Bounds of what is no tensor's data. As over HTTP, so many elements may be in a message.
const maxElements = 1 << 16

// decode reads the message; a fault is kept.
func (r *request) decode(data mem.BufferSlice) {
	r.bytes = data.Len()
	in := data.Reader()
	defer func() { _ = in.Close() }()
	for in.Remaining() > 0 && r.fault == nil {
		r.fault = r.field(in)
	}
	if r.fault == nil {
		r.fault = r.fill()
	}
}

func broken(what string) *protocol.Error {
	return protocol.Errorf(protocol.BadMessage, "the message is no ModelInferRequest: %s", what)
}

// field reads a field of the message.
func (r *request) field(in *mem.Reader) *protocol.Error {
	tag, err := binary.ReadUvarint(in)
	number, kind := protowire.DecodeTag(tag)
	if err != nil || number < 1 {
		return broken("a field has no number")
	}
	if kind != protowire.BytesType {
		return skip(in, kind)
	}
	size, err := binary.ReadUvarint(in)
	if err != nil || size > uint64(in.Remaining()) {
		return broken("a field is longer than the message")
	}
	if number > 7 {
		_, err = in.Discard(int(size))
		return unexpected(err)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(in, body); err != nil {
		return unexpected(err)
	}
	return r.set(number, body)
}

func unexpected(err error) *protocol.Error {
	if err == nil {
		return nil
	}
	return broken(err.Error())
}

// skip passes over a field of another kind than those that the message has.
func skip(in *mem.Reader, kind protowire.Type) (fault *protocol.Error) {
	var err error
	switch kind {
	case protowire.VarintType:
		_, err = binary.ReadUvarint(in)
	case protowire.Fixed32Type:
		_, err = in.Discard(4)
	case protowire.Fixed64Type:
		_, err = in.Discard(8)
	default:
		return broken("a field of an unknown kind")
	}
	return unexpected(err)
}

// set takes over a field.
func (r *request) set(number protowire.Number, body []byte) *protocol.Error {
	if number >= 4 {
		if fault := r.count(1); fault != nil {
			return fault
		}
	}
	switch number {
	case 1, 2, 3:
		if !utf8.Valid(body) {
			return broken("a text is no UTF-8")
		}
		switch number {
		case 1:
			r.model = string(body)
		case 2:
			r.version = string(body)
		case 3:
			r.ID = string(body)
		}
	case 4:
		return r.parameter(body)
	case 5:
		return r.input(body)
	case 6:
		return r.output(body)
	case 7:
		r.raw = append(r.raw, body)
	}
	return nil
}

// count bounds the elements of repeated fields: each takes far more memory than in a message.
func (r *request) count(n int) *protocol.Error {
	if r.elements += n; r.elements > maxElements {
		return broken("it has more than 65536 elements besides the data of tensors")
	}
	return nil
}

// parameter takes over a parameter of the request.
func (r *request) parameter(body []byte) *protocol.Error {
	key, value, fault := parameterOf(body)
	if fault != nil {
		return fault
	}
	p := &r.Parameters
	switch key {
	case "slo_ms", "timeout", "priority":
		number, is := value.number()
		switch {
		case !is:
			return protocol.Errorf(protocol.BadMessage, "parameter %s is no number", key)
		case key == "slo_ms":
			if p.SLOMS == nil || number < *p.SLOMS {
				p.SLOMS = &number
			}
		case key == "timeout":
			p.SetTimeout(number)
		default:
			p.Priority = int(max(math.MinInt32, min(number, math.MaxInt32)))
		}
	case "sequence_id":
		if value.said() {
			return protocol.Errorf(protocol.InvalidInput, "sequences are not supported: each request stands alone")
		}
	default:
		return inOneCase(key, "slo_ms", "timeout", "priority", "sequence_id")
	}
	return nil
}

// inOneCase refuses a key that is known in another case, which would not be read.
func inOneCase(key string, known ...string) *protocol.Error {
	for _, k := range known {
		if strings.EqualFold(k, key) {
			return protocol.Errorf(protocol.BadMessage, "parameter %.40q: write it %q", key, k)
		}
	}
	return nil
}

// input takes over an input without its raw contents.
func (r *request) input(body []byte) *protocol.Error {
	var t protocol.Tensor
	var contents []byte
	fault := fields(body, func(number protowire.Number, kind protowire.Type, value []byte) *protocol.Error {
		switch {
		case number == 1 && kind == protowire.BytesType:
			t.Name = string(value)
		case number == 2 && kind == protowire.BytesType:
			t.Datatype = protocol.DataType(value)
		case number == 3:
			return r.dimensions(&t, kind, value)
		case number == 4 && kind == protowire.BytesType:
			return r.tensorParameter("input", t.Name, value, "shared_memory_region")
		case number == 5 && kind == protowire.BytesType:
			contents = append(contents, value...) // parts of a message are merged
			if contents == nil {
				contents = []byte{}
			}
		}
		return nil
	})
	r.Inputs, r.contents = append(r.Inputs, t), append(r.contents, contents)
	return fault
}

// output takes over the name of an output that is wanted.
func (r *request) output(body []byte) *protocol.Error {
	name := ""
	fault := fields(body, func(number protowire.Number, kind protowire.Type, value []byte) *protocol.Error {
		switch {
		case number == 1 && kind == protowire.BytesType:
			name = string(value)
		case number == 2 && kind == protowire.BytesType:
			return r.tensorParameter("output", name, value, "classification", "shared_memory_region")
		}
		return nil
	})
	r.Outputs = append(r.Outputs, name)
	return fault
}

// tensorParameter refuses a parameter of a tensor that would change its meaning.
func (r *request) tensorParameter(of, name string, body []byte, refused ...string) *protocol.Error {
	if fault := r.count(1); fault != nil {
		return fault
	}
	key, value, fault := parameterOf(body)
	if fault != nil {
		return fault
	}
	for _, k := range refused {
		if key == k && value.said() {
			return protocol.Errorf(protocol.InvalidInput, "%s %.80q: %s is not supported", of, name, key)
		}
	}
	return inOneCase(key, refused...)
}

// dimensions appends to a shape.
func (r *request) dimensions(t *protocol.Tensor, kind protowire.Type, value []byte) *protocol.Error {
	if kind != protowire.BytesType && kind != protowire.VarintType {
		return broken("a shape is no list of numbers")
	}
	for len(value) > 0 {
		v, n := protowire.ConsumeVarint(value)
		if n < 0 {
			return broken("a shape is no list of numbers")
		}
		if fault := r.count(1); fault != nil {
			return fault
		}
		t.Shape, value = append(t.Shape, int64(v)), value[n:]
	}
	return nil
}

// fill gives each input its data.
func (r *request) fill() *protocol.Error {
	if len(r.ID) > protocol.MaxName {
		fault := protocol.Errorf(protocol.BadMessage, "the id has %d bytes, at most %d are kept", len(r.ID), protocol.MaxName)
		fault.Got, fault.Limit = int64(len(r.ID)), protocol.MaxName
		return fault
	}
	if len(r.raw) > 0 && len(r.raw) != len(r.Inputs) {
		return protocol.Errorf(protocol.InvalidInput, "raw_input_contents has %d elements for %d inputs", len(r.raw), len(r.Inputs))
	}
	for i := range r.Inputs {
		t := &r.Inputs[i]
		if len(r.raw) > 0 {
			if r.contents[i] != nil {
				return protocol.Errorf(protocol.InvalidInput, "input %.80q has contents beside raw_input_contents", t.Name)
			}
			t.Data = r.raw[i]
			continue
		}
		var fault *protocol.Error
		if t.Data, fault = typed(t, r.contents[i]); fault != nil {
			return fault
		}
	}
	return nil
}
