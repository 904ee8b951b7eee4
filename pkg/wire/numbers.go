package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"clockwork/pkg/protocol"
)

// nestedFromJSON converts a JSON array of numbers to little-endian bytes. The array is
// flat, or nested like the shape. body must be valid JSON. null stands for NaN, which
// JSON does not have.
func nestedFromJSON(datatype protocol.DataType, shape []int64, body []byte) ([]byte, error) {
	if datatype.Size() == 0 {
		return nil, fmt.Errorf("no datatype is called %q", datatype)
	}
	if len(body) == 0 {
		return nil, fmt.Errorf("data is missing")
	}
	if body[0] != '[' {
		return nil, fmt.Errorf("data is not an array of %s", datatype)
	}
	out := make([]byte, 0, int64(1+bytes.Count(body, []byte{','}))*datatype.Size())
	nest := nesting{shape: shape}
	for at := 0; at < len(body); {
		var err error
		switch c := body[at]; c {
		case ' ', '\t', '\r', '\n', ',':
			at++
		case '[':
			at++
			nest.open()
		case ']':
			at++
			err = nest.close()
		default:
			end := at + 1
			for end < len(body) && !endsNumber[body[end]] {
				end++
			}
			if err = nest.number(); err == nil {
				if out, err = appendNumber(out, datatype, string(body[at:end])); err != nil {
					err = fmt.Errorf("data is not an array of %s: element %d: %w", datatype, nest.count-1, err)
				}
			}
			at = end
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// endsNumber are the bytes of JSON that follow a number.
var endsNumber = [256]bool{',': true, ']': true, ' ': true, '\t': true, '\r': true, '\n': true}

// nesting checks that nested arrays have the dimensions of a shape, or that there is one
// flat array. Its zero value has the shape of a scalar.
type nesting struct {
	shape []int64
	depth int
	count int                 // numbers so far
	held  [maxDepth + 2]int64 // elements of the open arrays, by depth from 1
	deep  int                 // the depth of all numbers, 0 before the first
}

func (n *nesting) open() {
	n.held[min(n.depth, maxDepth+1)]++
	n.depth++
	n.held[min(n.depth, maxDepth+1)] = 0
}

func (n *nesting) number() error {
	if n.deep == 0 {
		n.deep = n.depth
	}
	if n.deep != n.depth {
		return fmt.Errorf("data has numbers and arrays side by side at element %d", n.count)
	}
	n.count++
	n.held[min(n.depth, maxDepth+1)]++
	return nil
}

// close ends an array. A nested one has as many elements as its dimension says.
func (n *nesting) close() error {
	held := n.held[min(n.depth, maxDepth+1)]
	n.depth--
	if n.deep <= 1 || held == 0 && n.count == 0 {
		return nil // flat, or empty
	}
	if n.deep != len(n.shape) {
		return fmt.Errorf("data is nested %d deep, and the shape %s has %d dimensions; it may also be flat", n.deep, protocol.ShapeString(n.shape), len(n.shape))
	}
	if at := n.depth; n.shape[at] != held {
		return fmt.Errorf("data has %d elements in dimension %d, and the shape is %s", held, at, protocol.ShapeString(n.shape))
	}
	return nil
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
			return appendFloat(out, datatype, math.NaN())
		}
		bits := 64
		if datatype != protocol.FP64 {
			bits = 32
		}
		f, err := strconv.ParseFloat(text, bits)
		if err != nil {
			return nil, bad()
		}
		return appendFloat(out, datatype, f)
	case protocol.Uint64:
		u, err := strconv.ParseUint(text, 10, 64)
		if whole := exactInt(text); err != nil && whole != nil && whole.IsUint64() {
			u, err = whole.Uint64(), nil
		}
		if err != nil {
			return nil, bad()
		}
		return appendUint64(out, u), nil
	}
	i, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		whole := exactInt(text)
		if whole == nil || !whole.IsInt64() {
			return nil, bad()
		}
		i = whole.Int64()
	}
	return appendInt(out, datatype, i)
}

// exactInt returns the whole number that a JSON number such as 1.0 or 1e3 is, nil for any
// other.
func exactInt(text string) *big.Int {
	const long = 64 // no number of 64 bits needs more, and exponents stay small
	_, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	if len(text) > long || len(strings.TrimLeft(exponent, "+-0")) > 2 || !strings.ContainsAny(text, ".eE") || strings.ContainsAny(text, "/xXpP_") {
		return nil
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok || !r.IsInt() {
		return nil
	}
	return r.Num()
}

// exactIntegers rewrites the numbers of a request that are whole but written otherwise, such
// as 1.0 and 1e3: some languages know floats alone, and encoding/json takes none of them for
// an integer. The values stay the same. Tensors' data do not come here.
func exactIntegers(body []byte) []byte {
	if !bytes.ContainsAny(body, ".eE") {
		return body
	}
	out := make([]byte, 0, len(body))
	for at := 0; at < len(body); {
		end := at + 1
		switch c := body[at]; {
		case c == '"':
			s := jsonScan{body: body, at: at}
			s.word()
			end = s.at
		case c == '-' || c >= '0' && c <= '9':
			for end < len(body) && strings.IndexByte("0123456789.eE+-", body[end]) >= 0 {
				end++
			}
			if whole := exactInt(string(body[at:end])); whole != nil {
				out, at = whole.Append(out, 10), end
				continue
			}
		}
		out, at = append(out, body[at:end]...), end
	}
	return out
}

// wholeNumbers does for msgpack what exactIntegers does for JSON, in a copy: some languages
// know floats alone. It refuses what is larger than any number that a client may send, which
// the library would let run over. body was scanned.
func wholeNumbers(body []byte) ([]byte, *protocol.Error) {
	out := body
	for at := 0; at < len(body); {
		head, skip, _ := header(body[at:])
		value := body[at+head : at+head+skip]
		switch body[at] {
		case msgpackFloat32:
			if v := math.Float32frombits(binary.BigEndian.Uint32(value)); float32(int32(v)) == v && v < 1<<31 {
				out = overwritten(out, body, at, binary.BigEndian.AppendUint32([]byte{msgpackInt32}, uint32(int32(v))))
			}
		case msgpackFloat64:
			if v := math.Float64frombits(binary.BigEndian.Uint64(value)); float64(int64(v)) == v && v < 1<<63 {
				out = overwritten(out, body, at, binary.BigEndian.AppendUint64([]byte{msgpackInt64}, uint64(int64(v))))
			}
		case msgpackUint64:
			if n := binary.BigEndian.Uint64(value); n > math.MaxInt64 {
				return nil, protocol.Errorf(protocol.BadMessage, "decode message: %d is out of range", n)
			}
		}
		at += head + skip
	}
	return out, nil
}

// First bytes of numbers in msgpack.
const (
	msgpackFloat32, msgpackFloat64 = 0xca, 0xcb
	msgpackUint64                  = 0xcf
	msgpackInt32, msgpackInt64     = 0xd2, 0xd3
)

// overwritten puts a value at a place of out, which is a copy of body from the first one on.
func overwritten(out, body []byte, at int, value []byte) []byte {
	if &out[0] == &body[0] {
		out = bytes.Clone(body)
	}
	copy(out[at:], value)
	return out
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

// Values returns at most n of the values in a tensor's bytes as text for people, the
// first ones, with NaN and infinity.
func Values(datatype protocol.DataType, data []byte, n int) (values []string) {
	size := int(datatype.Size())
	for at := 0; size > 0 && at+size <= len(data) && len(values) < n; at += size {
		b := data[at : at+size]
		text := string(appendJSONNumber(nil, datatype, b))
		if text == "null" {
			text = strconv.FormatFloat(floatOf(datatype, b), 'g', -1, 64)
		}
		values = append(values, text)
	}
	return values
}

// floatOf returns the value of one float.
func floatOf(datatype protocol.DataType, b []byte) float64 {
	switch datatype {
	case protocol.FP16:
		return float64(halfToFloat(binary.LittleEndian.Uint16(b)))
	case protocol.FP32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
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

// appendFloat appends a number, if it is in the datatype's range. Infinity itself is in
// every range.
func appendFloat(out []byte, datatype protocol.DataType, f float64) ([]byte, error) {
	var infinite bool
	switch datatype {
	case protocol.FP16:
		half := floatToHalf(float32(f))
		infinite = half&0x7fff == 0x7c00
		out = binary.LittleEndian.AppendUint16(out, half)
	case protocol.FP32:
		infinite = math.IsInf(float64(float32(f)), 0)
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(f)))
	default:
		infinite = math.IsInf(f, 0)
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(f))
	}
	if infinite && !math.IsInf(f, 0) {
		return nil, fmt.Errorf("%v is out of the range of %s", f, datatype)
	}
	return out, nil
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
