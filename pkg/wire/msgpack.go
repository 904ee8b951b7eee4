package wire

import (
	"encoding/binary"
	"fmt"
	"math"

	"clockwork/pkg/protocol"
)

// Encoding and decoding of single msgpack values on plain bytes: a request's messages
// are coded many times a second, and a stream, an interface or reflection would cost
// more than the coding itself.

// packUint appends an integer in its shortest form.
func packUint(out []byte, n uint64) []byte {
	switch {
	case n <= math.MaxInt8:
		return append(out, byte(n))
	case n <= math.MaxUint8:
		return append(out, 0xcc, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(out, 0xcd), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(out, 0xce), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(out, 0xcf), n)
}

func packInt(out []byte, n int64) []byte {
	switch {
	case n >= 0:
		return packUint(out, uint64(n))
	case n >= -32:
		return append(out, byte(n))
	case n >= math.MinInt8:
		return append(out, 0xd0, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(out, 0xd1), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(out, 0xd2), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(out, 0xd3), uint64(n))
}

func packFloat(out []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(out, 0xcb), math.Float64bits(f))
}

func packFlag(out []byte, v bool) []byte {
	if v {
		return append(out, 0xc3)
	}
	return append(out, 0xc2)
}

func packNil(out []byte) []byte { return append(out, 0xc0) }

func packText(out []byte, s string) []byte {
	if len(s) < 32 {
		out = append(out, 0xa0|byte(len(s)))
	} else {
		out = packLength(out, 0xd9, len(s))
	}
	return append(out, s...)
}

// packBin appends raw bytes; nil is written as no bytes.
func packBin(out, data []byte) []byte { return append(packLength(out, 0xc4, len(data)), data...) }

// packLength appends the header of a string or of raw bytes; code is that of the
// one-byte length, followed by those of two and four bytes.
func packLength(out []byte, code byte, n int) []byte {
	switch {
	case n <= math.MaxUint8:
		return append(out, code, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(out, code+1), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(out, code+2), uint32(n))
}

// packArray begins an array of n elements, packMap a map of n pairs.
func packArray(out []byte, n int) []byte { return packContainer(out, 0x90, 0xdc, n) }
func packMap(out []byte, n int) []byte   { return packContainer(out, 0x80, 0xde, n) }

func packContainer(out []byte, short, long byte, n int) []byte {
	switch {
	case n < 16:
		return append(out, short|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(out, long), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(out, long+1), uint32(n))
}

// reader reads one value after another. After the first error all reads return zero
// values. It never reads beyond body, whatever lengths body declares.
type reader struct {
	body []byte
	at   int
	err  error
}

func (r *reader) fail(want string) {
	if r.err == nil {
		r.err = fmt.Errorf("no %s at byte %d", want, r.at)
	}
}

// peek returns the next value's first byte; at the end 0xc1, which is unassigned.
func (r *reader) peek() byte {
	if r.err != nil || r.at >= len(r.body) {
		return 0xc1
	}
	return r.body[r.at]
}

// isNil skips a nil, and reports whether there was one.
func (r *reader) isNil() bool {
	if r.peek() != 0xc0 {
		return false
	}
	r.at++
	return true
}

// take skips head bytes and returns the n bytes that follow.
func (r *reader) take(head, n int) ([]byte, bool) {
	if n > len(r.body)-r.at-head {
		return nil, false
	}
	from := r.at + head
	r.at = from + n
	return r.body[from:r.at:r.at], true
}

// integer reads an integer of any width: its 64 bits, and whether it is negative.
func (r *reader) integer() (bits uint64, negative bool) {
	c := r.peek()
	switch {
	case c <= 0x7f:
		r.at++
		return uint64(c), false
	case c >= 0xe0:
		r.at++
		return uint64(int8(c)), true
	case c >= 0xcc && c <= 0xd3:
		b, ok := r.take(1, 1<<(c&3))
		if !ok {
			break
		}
		bits = bigEndian(b)
		if c >= 0xd0 {
			shift := 64 - 8*len(b)
			bits = uint64(int64(bits<<shift) >> shift)
			negative = int64(bits) < 0
		}
		return bits, negative
	}
	r.fail("integer")
	return 0, false
}

func bigEndian(b []byte) (n uint64) {
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}

func (r *reader) uint() uint64 {
	bits, negative := r.integer()
	if negative {
		r.fail("positive integer before it")
		return 0
	}
	return bits
}

func (r *reader) int() int64 {
	bits, negative := r.integer()
	if !negative && bits > math.MaxInt64 {
		r.fail("integer of 63 bits before it")
		return 0
	}
	return int64(bits)
}

// float reads a number, whole or not.
func (r *reader) float() float64 {
	switch c := r.peek(); c {
	case 0xca:
		if b, ok := r.take(1, 4); ok {
			return float64(math.Float32frombits(binary.BigEndian.Uint32(b)))
		}
	case 0xcb:
		if b, ok := r.take(1, 8); ok {
			return math.Float64frombits(binary.BigEndian.Uint64(b))
		}
	default:
		bits, negative := r.integer()
		if negative {
			return float64(int64(bits))
		}
		return float64(bits)
	}
	r.fail("number")
	return 0
}

func (r *reader) flag() bool {
	switch r.peek() {
	case 0xc2:
		r.at++
		return false
	case 0xc3:
		r.at++
		return true
	}
	r.fail("boolean")
	return false
}

// text reads a string, or raw bytes instead: old libraries do not distinguish the two.
// The result aliases body.
func (r *reader) text() []byte {
	switch c := r.peek(); {
	case c&0xe0 == 0xa0, c >= 0xd9 && c <= 0xdb, c >= 0xc4 && c <= 0xc6:
		head, n, _ := header(r.body[r.at:])
		if head == 0 {
			break
		}
		if b, ok := r.take(head, n); ok {
			return b
		}
	}
	r.fail("string")
	return nil
}

// array begins an array and returns its length; object returns a map's number of pairs.
func (r *reader) array() int {
	if c := r.peek(); c&0xf0 == 0x90 || c == 0xdc || c == 0xdd {
		return r.container(1)
	}
	r.fail("array")
	return 0
}

func (r *reader) object() int {
	if c := r.peek(); c&0xf0 == 0x80 || c == 0xde || c == 0xdf {
		return r.container(2)
	}
	r.fail("map")
	return 0
}

func (r *reader) container(perItem int) int {
	head, _, children := header(r.body[r.at:])
	if head == 0 || children > len(r.body)-r.at-head { // each value takes at least one byte
		r.fail("whole container")
		return 0
	}
	r.at += head
	return children / perItem
}

// skip skips a value of any kind.
func (r *reader) skip() {
	if r.err != nil {
		return
	}
	n, fault := prescan(r.body[r.at:], len(r.body))
	if fault != nil {
		r.fail("value")
		return
	}
	r.at += n
}

// words caches short strings that repeat, such as model names, so that each is allocated
// once and not once per message. Its size is fixed: a new string may replace an older
// one.
type words [256]string

// maxWord is the longest cached string, in bytes.
const maxWord = protocol.MaxName

func (w *words) of(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if len(b) > maxWord {
		return string(b)
	}
	place := uint(len(b))
	for _, c := range b[max(0, len(b)-4):] { // names of a model's copies differ at the end
		place = place*31 + uint(c)
	}
	kept := &w[place%uint(len(w))]
	if *kept != string(b) {
		*kept = string(b)
	}
	return *kept
}
