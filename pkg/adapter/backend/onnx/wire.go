package onnx

import (
	"encoding/binary"
	"errors"
)

// The wire types of protobuf that are left when groups are refused.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

var errWire = errors.New("not a protobuf message")

// field is one field of a message: its value for numbers, its content for
// bytes, and all of it as it stood in the message.
type field struct {
	number  int
	wire    int
	value   uint64
	content []byte
	whole   []byte
}

// nextField splits the first field off a message. It reads nothing beyond b,
// allocates nothing, and refuses what is cut off, groups, and field number 0.
func nextField(b []byte) (field, []byte, error) {
	tag, n := binary.Uvarint(b)
	if n <= 0 || tag>>3 == 0 || tag>>3 > 1<<29-1 {
		return field{}, nil, errWire
	}
	f := field{number: int(tag >> 3), wire: int(tag & 7)}
	rest := b[n:]
	switch f.wire {
	case wireVarint:
		value, n := binary.Uvarint(rest)
		if n <= 0 {
			return field{}, nil, errWire
		}
		f.value, rest = value, rest[n:]
	case wireFixed64, wireFixed32:
		size := 8
		if f.wire == wireFixed32 {
			size = 4
		}
		if len(rest) < size {
			return field{}, nil, errWire
		}
		f.content, rest = rest[:size], rest[size:]
	case wireBytes:
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			return field{}, nil, errWire
		}
		f.content, rest = rest[n:n+int(length)], rest[n+int(length):]
	default:
		return field{}, nil, errWire
	}
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

// varints reads a repeated integer field, packed or not, onto list.
func varints(list []int64, f field) ([]int64, error) {
	if f.wire == wireVarint {
		return append(list, int64(f.value)), nil
	}
	if f.wire != wireBytes {
		return nil, errWire
	}
	for b := f.content; len(b) > 0; {
		value, n := binary.Uvarint(b)
		if n <= 0 || len(list) > maxRank {
			return nil, errWire
		}
		list, b = append(list, int64(value)), b[n:]
	}
	return list, nil
}

func appendBytes(b []byte, number int, content []byte) []byte {
	b = binary.AppendUvarint(b, uint64(number)<<3|wireBytes)
	b = binary.AppendUvarint(b, uint64(len(content)))
	return append(b, content...)
}

func appendString(b []byte, number int, s string) []byte { return appendBytes(b, number, []byte(s)) }

func appendVarint(b []byte, number int, value int64) []byte {
	b = binary.AppendUvarint(b, uint64(number)<<3|wireVarint)
	return binary.AppendUvarint(b, uint64(value))
}
