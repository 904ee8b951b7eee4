package onnx

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

var errWire = errors.New("not a protobuf message")

// field is one field of a message: its value for varints, its content for all other
// types, and its whole encoding.
type field struct {
	number  int
	wire    protowire.Type
	value   uint64
	content []byte
	whole   []byte
}

// nextField splits the first field off a message. It reads nothing beyond b, allocates
// nothing, and refuses incomplete fields, groups, and field numbers that protobuf does
// not allow.
func nextField(b []byte) (field, []byte, error) {
	number, wire, n := protowire.ConsumeTag(b)
	if n < 0 || !number.IsValid() {
		return field{}, nil, errWire
	}
	f, rest := field{number: int(number), wire: wire}, b[n:]
	switch wire {
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(rest)
	case protowire.BytesType:
		f.content, n = protowire.ConsumeBytes(rest)
	case protowire.Fixed32Type, protowire.Fixed64Type:
		if n = protowire.ConsumeFieldValue(number, wire, rest); n >= 0 {
			f.content = rest[:n]
		}
	default: // groups and unassigned types
		return field{}, nil, errWire
	}
	if n < 0 {
		return field{}, nil, errWire
	}
	rest = rest[n:]
	f.whole = b[:len(b)-len(rest)]
	return f, rest, nil
}

// eachField calls visit with every field of a message, in order.
func eachField(b []byte, visit func(field) error) error {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return err
		}
		if err := visit(f); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// varints appends the values of a repeated integer field, packed or not, to list.
func varints(list []int64, f field) ([]int64, error) {
	if f.wire == protowire.VarintType {
		return append(list, int64(f.value)), nil
	}
	if f.wire != protowire.BytesType {
		return nil, errWire
	}
	for b := f.content; len(b) > 0; {
		value, n := protowire.ConsumeVarint(b)
		if n < 0 || len(list) > maxRank {
			return nil, errWire
		}
		list, b = append(list, int64(value)), b[n:]
	}
	return list, nil
}

func appendBytes(b []byte, number int, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, protowire.Number(number), protowire.BytesType), content)
}

func appendString(b []byte, number int, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, protowire.Number(number), protowire.BytesType), s)
}

func appendVarint(b []byte, number int, value int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, protowire.Number(number), protowire.VarintType), uint64(value))
}
