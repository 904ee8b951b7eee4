package bus

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"clockwork/pkg/protocol"
)

// version is the first byte of every internal message. A receiver refuses any
// other: two versions of Clockwork do not mix on one prefix.
const version = 1

// Codec turns a type of protocol into bytes and back: a version byte, a
// msgpack array, then the raw payloads whose lengths the array declared.
type Codec[T any] struct {
	name string
	code func(*coder, *T)
}

// Append appends the encoded message to dst, which may be nil.
func (c Codec[T]) Append(dst []byte, v *T) []byte {
	k := coders.Get().(*coder)
	defer coders.Put(k)
	k.buf.Reset()
	k.enc.Reset(&k.buf)
	k.encoding, k.raws, k.err = true, k.raws[:0], nil
	c.code(k, v)
	if k.err != nil { // a buffer does not fail, so a code function is wrong
		panic(fmt.Sprintf("encode %s: %v", c.name, k.err))
	}
	size := 1 + k.buf.Len()
	for _, raw := range k.raws {
		size += len(raw)
	}
	dst = append(slices.Grow(dst, size), version)
	dst = append(dst, k.buf.Bytes()...)
	for _, raw := range k.raws {
		dst = append(dst, raw...)
	}
	clear(k.raws)
	return dst
}

// Encode returns the encoded message.
func (c Codec[T]) Encode(v *T) []byte { return c.Append(nil, v) }

// Decode reads a message. Raw payloads alias body. The error is BAD_MESSAGE.
func (c Codec[T]) Decode(body []byte) (T, *protocol.Error) {
	var v T
	if len(body) == 0 || body[0] != version {
		return v, protocol.Errorf(protocol.BadMessage, "decode %s: not version %d", c.name, version)
	}
	body = body[1:]
	end, fault := prescan(body, maxInternalElements)
	if fault != nil {
		return v, fault
	}
	k := coders.Get().(*coder)
	defer coders.Put(k)
	k.in.Reset(body[:end])
	k.dec.Reset(&k.in)
	k.encoding, k.tail, k.err = false, body[end:], nil
	c.code(k, &v)
	left := len(k.tail)
	k.tail = nil
	if k.err != nil {
		var none T
		return none, protocol.Errorf(protocol.BadMessage, "decode %s: %v", c.name, k.err)
	}
	if k.in.Len() > 0 || left > 0 {
		var none T
		return none, protocol.Errorf(protocol.BadMessage, "decode %s: %d bytes too many", c.name, k.in.Len()+left)
	}
	return v, nil
}

// coder encodes or decodes; one function per type serves both directions, so
// that they cannot disagree. After the first error the rest does nothing.
type coder struct {
	encoding bool
	buf      bytes.Buffer
	enc      *msgpack.Encoder
	in       bytes.Reader
	dec      *msgpack.Decoder
	raws     [][]byte // payloads to append, encoding
	tail     []byte   // payloads not yet taken, decoding
	err      error
}

var coders = sync.Pool{New: func() any {
	k := &coder{}
	k.enc = msgpack.NewEncoder(&k.buf)
	k.enc.UseCompactInts(true)
	k.dec = msgpack.NewDecoder(&k.in)
	return k
}}

// array begins an array of exactly n fields.
func (k *coder) array(n int) {
	if got := k.length(n); k.err == nil && got != n {
		k.err = fmt.Errorf("%d fields instead of %d", got, n)
	}
}

// length writes or reads the length of an array.
func (k *coder) length(n int) int {
	if k.err != nil {
		return 0
	}
	if k.encoding {
		k.err = k.enc.EncodeArrayLen(n)
		return n
	}
	n, k.err = k.dec.DecodeArrayLen()
	if k.err == nil && n < 0 {
		k.err = fmt.Errorf("nil instead of an array")
	}
	return n
}

type integer interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// num codes an integer of any width; the value must fit.
func num[T integer](k *coder, v *T) {
	if k.err != nil {
		return
	}
	unsigned := ^T(0) > 0
	switch {
	case k.encoding && unsigned:
		k.err = k.enc.EncodeUint(uint64(*v))
	case k.encoding:
		k.err = k.enc.EncodeInt(int64(*v))
	case unsigned:
		var n uint64
		if n, k.err = k.dec.DecodeUint64(); k.err == nil {
			if *v = T(n); uint64(*v) != n {
				k.err = fmt.Errorf("%d is out of range", n)
			}
		}
	default:
		var n int64
		if n, k.err = k.dec.DecodeInt64(); k.err == nil {
			if *v = T(n); int64(*v) != n {
				k.err = fmt.Errorf("%d is out of range", n)
			}
		}
	}
}

func text[T ~string](k *coder, v *T) {
	if k.err != nil {
		return
	}
	if k.encoding {
		k.err = k.enc.EncodeString(string(*v))
		return
	}
	var s string
	s, k.err = k.dec.DecodeString()
	*v = T(s)
}

func (k *coder) float(v *float64) {
	if k.err != nil {
		return
	}
	if k.encoding {
		k.err = k.enc.EncodeFloat64(*v)
		return
	}
	*v, k.err = k.dec.DecodeFloat64()
	if k.err == nil && (math.IsNaN(*v) || math.IsInf(*v, 0)) {
		k.err = fmt.Errorf("%v instead of a finite number", *v) // it could not be told on in JSON
	}
}

func (k *coder) flag(v *bool) {
	if k.err != nil {
		return
	}
	if k.encoding {
		k.err = k.enc.EncodeBool(*v)
		return
	}
	*v, k.err = k.dec.DecodeBool()
}

// raw codes a payload: its length stands in the array, its bytes after it.
func (k *coder) raw(v *[]byte) {
	n := len(*v)
	num(k, &n)
	if k.err != nil {
		return
	}
	if k.encoding {
		k.raws = append(k.raws, *v)
		return
	}
	if n < 0 || n > len(k.tail) {
		k.err = fmt.Errorf("a payload of %d bytes, %d there", n, len(k.tail))
		return
	}
	*v, k.tail = k.tail[:n:n], k.tail[n:]
}

// firstRoom is how many elements a list gets room for before any was read: an
// element takes up to a hundred times the byte that can declare it.
const firstRoom = 1024

// list codes a slice; an empty one decodes as nil.
func list[T any](k *coder, v *[]T, each func(*coder, *T)) {
	n := k.length(len(*v))
	if k.err != nil {
		return
	}
	if k.encoding {
		for i := 0; i < n && k.err == nil; i++ {
			each(k, &(*v)[i])
		}
		return
	}
	if n > 0 {
		*v = make([]T, 0, min(n, firstRoom))
	}
	for i := 0; i < n && k.err == nil; i++ {
		var element T
		*v = append(*v, element)
		each(k, &(*v)[i])
	}
}

// optional codes a pointer: nil, or what it points to.
func optional[T any](k *coder, v **T, code func(*coder, *T)) {
	if k.err != nil {
		return
	}
	if k.encoding {
		if *v == nil {
			k.err = k.enc.EncodeNil()
			return
		}
		code(k, *v)
		return
	}
	next, err := k.dec.PeekCode()
	if k.err = err; err != nil {
		return
	}
	if next == msgpcode.Nil {
		k.err = k.dec.DecodeNil()
		return
	}
	*v = new(T)
	code(k, *v)
}
