package wire

import (
	"bytes"
	"fmt"
	"math"
	"sync"
	"time"

	"clockwork/pkg/protocol"
)

// Version is the first byte of every internal message. A receiver refuses all other
// versions: two versions of Clockwork cannot share a prefix.
const Version = 11

// Codec converts a type of protocol to bytes and back: a version byte, a msgpack array,
// then the raw payloads whose lengths are in the array.
type Codec[T any] struct {
	name string
	code func(*coder, *T)
}

// Append appends the encoded message to dst, which may be nil.
func (c Codec[T]) Append(dst []byte, v *T) []byte {
	k := coders.Get().(*coder)
	defer k.free()
	k.encoding, k.out = true, append(dst, Version)
	c.code(k, v)
	dst, k.out = k.out, nil
	for _, raw := range k.raws {
		dst = append(dst, raw...)
	}
	return dst
}

// Encode returns the encoded message.
func (c Codec[T]) Encode(v *T) []byte {
	body := Borrow()
	defer GiveBack(body)
	*body = c.Append(*body, v)
	return bytes.Clone(*body)
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// Borrow returns an empty buffer from a pool, for a message that will be published:
// publishing copies the bytes. Return it with GiveBack.
func Borrow() *[]byte {
	buffer := buffers.Get().(*[]byte)
	*buffer = (*buffer)[:0]
	return buffer
}

// largestKept bounds the capacity of a pooled buffer, in bytes.
const largestKept = 1 << 20

// GiveBack returns a borrowed buffer that is no longer read to the pool.
func GiveBack(buffer *[]byte) {
	if cap(*buffer) <= largestKept {
		buffers.Put(buffer)
	}
}

// Decode decodes a message. Raw payloads alias body. The error is BAD_MESSAGE, or
// PAYLOAD_TOO_LARGE.
func (c Codec[T]) Decode(body []byte) (T, *protocol.Error) {
	var v T
	if fault := c.decode(body, &v); fault != nil {
		var none T
		return none, fault
	}
	return v, nil
}

func (c Codec[T]) decode(body []byte, v *T) *protocol.Error {
	if len(body) == 0 || body[0] != Version {
		return protocol.Errorf(protocol.BadMessage, "decode %s: not version %d", c.name, Version)
	}
	if fault := internalBounds.holds(body); fault != nil {
		return fault
	}
	body = body[1:]
	end, fault := prescan(body, internalBounds.elements)
	if fault != nil {
		return fault
	}
	k := coders.Get().(*coder)
	defer k.free()
	k.encoding, k.in, k.tail = false, reader{body: body[:end]}, body[end:]
	c.code(k, v)
	switch left := end - k.in.at + len(k.tail); {
	case k.in.err != nil:
		return protocol.Errorf(protocol.BadMessage, "decode %s: %v", c.name, k.in.err)
	case left > 0:
		return protocol.Errorf(protocol.BadMessage, "decode %s: %d bytes too many", c.name, left)
	}
	return nil
}

// coder encodes or decodes; one function per type serves both directions, so that they
// cannot disagree. Encoding does not fail; after the first decoding error (in.err) all
// further calls do nothing.
type coder struct {
	encoding bool
	out      []byte
	raws     [][]byte // payloads to append; encoding only
	in       reader
	tail     []byte // payloads not yet consumed; decoding only
	words    words
}

var coders = sync.Pool{New: func() any { return &coder{} }}

// free returns a coder to the pool; decoded values still refer to the message.
func (k *coder) free() {
	k.in, k.tail = reader{}, nil
	clear(k.raws)
	k.raws = k.raws[:0]
	coders.Put(k)
}

func (k *coder) fail(format string, args ...any) {
	if k.in.err == nil {
		k.in.err = fmt.Errorf(format, args...)
	}
}

// array begins an array of exactly n fields.
func (k *coder) array(n int) {
	if got := k.length(n); k.in.err == nil && got != n {
		k.fail("%d fields instead of %d", got, n)
	}
}

// arrayAndOne begins an array of n fields, or n+1: encoding writes the extra field if
// more is set. It reports whether the extra field is present.
func (k *coder) arrayAndOne(n int, more bool) bool {
	fields := n
	if more {
		fields++
	}
	got := k.length(fields)
	if k.in.err == nil && got != n && got != n+1 {
		k.fail("%d fields instead of %d or %d", got, n, n+1)
	}
	return got == n+1
}

// length writes or reads the length of an array.
func (k *coder) length(n int) int {
	if k.encoding {
		k.out = packArray(k.out, n)
		return n
	}
	return k.in.array()
}

// num codes a number without sign, of any width; the value must fit.
func num[T ~uint8 | ~uint16 | ~uint32 | ~uint64](k *coder, v *T) {
	if k.encoding {
		k.out = packUint(k.out, uint64(*v))
		return
	}
	n := k.in.uint()
	if *v = T(n); uint64(*v) != n {
		k.fail("%d is out of range", n)
	}
}

// signed codes a number within bounds, which only decoding checks. Every number with a sign
// has some.
func signed[T ~int | ~int64](k *coder, v *T, least, most T) {
	if k.encoding {
		k.out = packInt(k.out, int64(*v))
		return
	}
	n := k.in.int()
	if *v = T(n); int64(*v) != n || *v < least || *v > most {
		k.fail("%d is out of range", n)
	}
}

func count(k *coder, v *int)  { signed(k, v, 0, protocol.MaxCount) }
func size(k *coder, v *int64) { signed(k, v, 0, protocol.MaxBytes) }
func page(k *coder, v *int64) { signed(k, v, 0, protocol.MaxPage) }
func index(k *coder, v *int)  { signed(k, v, -1, protocol.MaxCount) }

func span(k *coder, v *time.Duration) { signed(k, v, -protocol.MaxSpan, protocol.MaxSpan) }

func instant(k *coder, v *protocol.Time) {
	signed(k, v, -protocol.MaxTime, protocol.Never)
	if !k.encoding && *v > protocol.MaxTime && *v != protocol.Never {
		k.fail("%d is out of range", int64(*v))
	}
}

func text[T ~string](k *coder, v *T) {
	if k.encoding {
		k.out = packText(k.out, string(*v))
		return
	}
	*v = T(k.words.of(k.in.text()))
}

// unique is text for strings that do not repeat: they are not cached in words.
func unique(k *coder, v *string) {
	if k.encoding {
		k.out = packText(k.out, *v)
		return
	}
	*v = string(k.in.text())
}

// message is text for people: a long one is cut.
func message(k *coder, v *string) {
	if k.encoding {
		k.out = packText(k.out, protocol.ShortText(*v, protocol.MaxText))
		return
	}
	unique(k, v)
}

func (k *coder) float(v *float64) {
	if k.encoding {
		k.out = packFloat(k.out, *v)
		return
	}
	*v = k.in.float()
	if math.IsNaN(*v) || math.IsInf(*v, 0) {
		k.fail("%v instead of a finite number", *v) // JSON could not express it
	}
}

func (k *coder) flag(v *bool) {
	if k.encoding {
		k.out = packFlag(k.out, *v)
		return
	}
	*v = k.in.flag()
}

// fixed codes bytes whose number both sides know.
func (k *coder) fixed(v []byte) {
	if k.encoding {
		k.out = packBin(k.out, v)
		return
	}
	if got := k.in.text(); copy(v, got) != len(v) || len(got) != len(v) {
		k.fail("%d bytes instead of %d", len(got), len(v))
	}
}

// raw codes a payload: its length in the array, its bytes after the array.
func (k *coder) raw(v *[]byte) {
	n := len(*v)
	count(k, &n)
	switch {
	case k.encoding:
		k.raws = append(k.raws, *v)
	case n > len(k.tail):
		k.fail("a payload of %d bytes, %d there", n, len(k.tail))
	default:
		*v, k.tail = k.tail[:n:n], k.tail[n:]
	}
}

// firstRoom bounds a list's capacity before its elements are read: an element may take a
// hundred times the memory of the byte that declares it.
const firstRoom = 1024

// list codes a slice; an empty one decodes as nil.
func list[T any](k *coder, v *[]T, each func(*coder, *T)) {
	n := k.length(len(*v))
	if k.encoding {
		for i := range *v {
			each(k, &(*v)[i])
		}
		return
	}
	if n > 0 {
		*v = make([]T, 0, min(n, firstRoom))
	}
	for i := 0; i < n && k.in.err == nil; i++ {
		var element T
		*v = append(*v, element)
		each(k, &(*v)[i])
	}
}

// atMost is list for a list whose length has a bound.
func atMost[T any](k *coder, v *[]T, most int, each func(*coder, *T)) {
	list(k, v, func(k *coder, element *T) {
		if !k.encoding && len(*v) > most {
			k.fail("more than %d elements", most)
			return
		}
		each(k, element)
	})
}

// optional codes a pointer: nil, or its target.
func optional[T any](k *coder, v **T, code func(*coder, *T)) {
	switch {
	case k.encoding && *v == nil:
		k.out = packNil(k.out)
	case k.encoding:
		code(k, *v)
	case k.in.isNil():
		*v = nil
	default:
		*v = new(T)
		code(k, *v)
	}
}
