package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"clockwork/pkg/protocol"
)

// numbersFromJSON converts a flat JSON array to little-endian bytes. body must be valid
// JSON. null stands for NaN, which JSON does not have.
func numbersFromJSON(datatype protocol.DataType, body []byte) ([]byte, error) {
	if datatype.Size() == 0 {
		return nil, fmt.Errorf("no datatype is called %q", datatype)
	}
	if len(body) == 0 {
		return nil, fmt.Errorf("data is missing")
	}
	if body[0] != '[' {
		return nil, fmt.Errorf("data is not a flat array of %s", datatype)
	}
	rest := body[1 : len(body)-1] // valid JSON that begins with [ ends with ]
	if len(bytes.TrimSpace(rest)) == 0 {
		return []byte{}, nil
	}
	out := make([]byte, 0, int64(1+bytes.Count(rest, []byte{','}))*datatype.Size())
	for i, more := 0, true; more; i++ {
		var element []byte
		var err error
		element, rest, more = bytes.Cut(rest, []byte{','})
		if out, err = appendNumber(out, datatype, string(bytes.TrimSpace(element))); err != nil {
			return nil, fmt.Errorf("data is not a flat array of %s: element %d: %w", datatype, i, err)
		}
	}
	return out, nil
}

// appendNumber appends one JSON value, if it is valid for the datatype.
func appendNumber(out []byte, datatype protocol.DataType, text string) ([]byte, error) {
	bad := func() error { return fmt.Errorf("%.40q is no %s", text, datatype) }
	switch datatype {
	case protocol.Bool:
		if text != "true" && text != "false" {
			return nil, bad()
		}
		return appendInt(out, datatype, boolInt(text == "true"))
	case protocol.FP16, protocol.FP32, protocol.FP64:
		if text == "null" {
			return appendFloat(out, datatype, math.NaN()), nil
		}
		bits := 64
		if datatype != protocol.FP64 {
			bits = 32
		}
		f, err := strconv.ParseFloat(text, bits)
		if err != nil {
			return nil, bad()
		}
		return appendFloat(out, datatype, f), nil
	case protocol.Uint64:
		u, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return nil, bad()
		}
		return appendUint64(out, u), nil
	}
	i, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, bad()
	}
	return appendInt(out, datatype, i)
}

// numbersToJSON converts little-endian bytes to a flat JSON array. JSON has no NaN and
// no infinity; they become null.
func numbersToJSON(datatype protocol.DataType, data []byte) json.RawMessage {
	size := int(datatype.Size())
	if size == 0 {
		return json.RawMessage("[]")
	}
	var out bytes.Buffer
	out.WriteByte('[')
	var scratch []byte
	for at := 0; at+size <= len(data); at += size {
		if at > 0 {
			out.WriteByte(',')
		}
		scratch = appendJSONNumber(scratch[:0], datatype, data[at:at+size])
		out.Write(scratch)
	}
	out.WriteByte(']')
	return out.Bytes()
}

func appendJSONNumber(out []byte, datatype protocol.DataType, b []byte) []byte {
	float := func(f float64, bits int) []byte {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return append(out, "null"...)
		}
		return strconv.AppendFloat(out, f, 'g', -1, bits)
	}
	le := binary.LittleEndian
	switch datatype {
	case protocol.Bool:
		return strconv.AppendBool(out, b[0] != 0)
	case protocol.FP16:
		return float(float64(halfToFloat(le.Uint16(b))), 32)
	case protocol.FP32:
		return float(float64(math.Float32frombits(le.Uint32(b))), 32)
	case protocol.FP64:
		return float(math.Float64frombits(le.Uint64(b)), 64)
	case protocol.Uint8:
		return strconv.AppendUint(out, uint64(b[0]), 10)
	case protocol.Uint16:
		return strconv.AppendUint(out, uint64(le.Uint16(b)), 10)
	case protocol.Uint32:
		return strconv.AppendUint(out, uint64(le.Uint32(b)), 10)
	case protocol.Uint64:
		return strconv.AppendUint(out, le.Uint64(b), 10)
	case protocol.Int8:
		return strconv.AppendInt(out, int64(int8(b[0])), 10)
	case protocol.Int16:
		return strconv.AppendInt(out, int64(int16(le.Uint16(b))), 10)
	case protocol.Int32:
		return strconv.AppendInt(out, int64(int32(le.Uint32(b))), 10)
	}
	return strconv.AppendInt(out, int64(le.Uint64(b)), 10)
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func appendUint64(out []byte, u uint64) []byte { return binary.LittleEndian.AppendUint64(out, u) }

func appendFloat(out []byte, datatype protocol.DataType, f float64) []byte {
	switch datatype {
	case protocol.FP16:
		return binary.LittleEndian.AppendUint16(out, floatToHalf(float32(f)))
	case protocol.FP32:
		return binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(f)))
	}
	return binary.LittleEndian.AppendUint64(out, math.Float64bits(f))
}

// appendInt appends an integer of at most 64 signed bits, if it is in the datatype's
// range.
func appendInt(out []byte, datatype protocol.DataType, i int64) ([]byte, error) {
	low, high := int64(0), int64(math.MaxInt64)
	switch datatype {
	case protocol.Bool:
		high = 1
	case protocol.Uint8:
		high = math.MaxUint8
	case protocol.Uint16:
		high = math.MaxUint16
	case protocol.Uint32:
		high = math.MaxUint32
	case protocol.Int8:
		low, high = math.MinInt8, math.MaxInt8
	case protocol.Int16:
		low, high = math.MinInt16, math.MaxInt16
	case protocol.Int32:
		low, high = math.MinInt32, math.MaxInt32
	default:
		low = math.MinInt64
	}
	if i < low || i > high {
		return nil, fmt.Errorf("%d is no %s", i, datatype)
	}
	for n := datatype.Size(); n > 0; n-- {
		out = append(out, byte(i))
		i >>= 8
	}
	return out, nil
}

// halfToFloat widens an IEEE 754 half.
func halfToFloat(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10)&0x1f, uint32(h)&0x3ff
	switch exponent {
	case 0: // zero or subnormal: fraction * 2^-24
		f := float32(fraction) / (1 << 24)
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 31:
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
}

// floatToHalf narrows to an IEEE 754 half, rounding to nearest even.
func floatToHalf(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits >> 16 & 0x8000)
	abs := bits & 0x7fffffff
	switch {
	case abs > 0x7f800000: // NaN
		return sign | 0x7e00
	case abs >= 0x477ff000: // rounds to infinity
		return sign | 0x7c00
	case abs < 0x38800000: // subnormal or zero
		scaled := float64(math.Float32frombits(abs)) * (1 << 24)
		return sign | uint16(math.RoundToEven(scaled))
	}
	rounded := abs + 0xfff + (abs >> 13 & 1)
	return sign | uint16((rounded-0x38000000)>>13)
}
