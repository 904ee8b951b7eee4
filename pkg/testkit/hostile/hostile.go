// Package hostile provides hostile input for everything that reads data from
// outside: small messages that demand much memory, and malformed texts. It also
// measures how much a reader allocates for them.
//
// Only tests import it.
package hostile

import (
	"bytes"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
)

// Bomb is a body that every decoder must reject. Name says why.
type Bomb struct {
	Name string
	Body []byte
}

// Many is one more than the number of elements that a client's message may have,
// Deep the nesting depth of some bombs.
const (
	Many = 65_537
	Deep = 100_000
)

// Msgpack are bombs in msgpack.
func Msgpack() []Bomb {
	return []Bomb{
		{"an array of 2^32 in five bytes", []byte{0xdd, 0xff, 0xff, 0xff, 0xff}},
		{"a map of 2^32 in five bytes", []byte{0xdf, 0xff, 0xff, 0xff, 0xff}},
		{"raw bytes of 4 GiB in five bytes", []byte{0xc6, 0xff, 0xff, 0xff, 0xff}},
		{"a string of 2 GiB in five bytes", []byte{0xdb, 0x7f, 0xff, 0xff, 0xff}},
		{"an extension of 4 GiB in six bytes", []byte{0xc9, 0xff, 0xff, 0xff, 0xff, 1}},
		{"inputs of 2^32 in a small map", append([]byte{0x81, 0xa6}, "inputs\xdd\xff\xff\xff\xff"...)},
		{"arrays nested deep", bytes.Repeat([]byte{0x91}, Deep)},
		{"arrays nested deep, and whole", append(bytes.Repeat([]byte{0x91}, Deep), 0xc0)},
		{"maps nested deep", bytes.Repeat([]byte{0x81}, Deep)},
		{"an element too many", append([]byte{0xdd, 0, 1, 0, 1}, make([]byte, Many)...)},
		{"a key too many", append([]byte{0xdf, 0, 0, 0x80, 1}, bytes.Repeat([]byte{0xa0, 0xc0}, Many/2+1)...)},
		{"cut off", []byte{0x82, 0xa2, 'i', 'd', 0xa1}},
		{"half a number", []byte{0xcb, 1, 2}},
		{"two messages", []byte{0x80, 0x80}},
		{"a byte that means nothing", []byte{0xc1}},
	}
}

// JSON are bombs in JSON.
func JSON() []Bomb {
	text := func(parts ...string) []byte { return []byte(strings.Join(parts, "")) }
	return []Bomb{
		{"objects nested deep", text(strings.Repeat(`{"a":`, Deep))},
		{"objects nested deep, and whole", text(strings.Repeat(`{"a":`, Deep), "1", strings.Repeat("}", Deep))},
		{"arrays nested deep", text(`{"inputs":`, strings.Repeat("[", Deep), strings.Repeat("]", Deep), "}")},
		{"arrays nested deep beside what is asked for", text(`{"other":`, strings.Repeat("[", Deep))},
		{"an array too many", text(`{"inputs":[`, strings.Repeat("[],", Many), `[]]}`)},
		{"an object too many", text(`{"inputs":[`, strings.Repeat("{},", Many), `{}]}`)},
		{"a word too many", text(`{"models":[`, strings.Repeat(`"",`, Many), `""]}`)},
		{"a number too many", text(`{"batch_sizes":[`, strings.Repeat(`1,`, Many), `1]}`)},
		{"a key too many", text(`{`, strings.Repeat(`"a":1,`, Many), `"a":1}`)},
		{"cut off in a word", text(`{"path":"zoo`)},
		{"cut off in an object", text(`{"path":"zoo","copies":`)},
		{"two messages", text(`{}{}`)},
		{"a message and a byte", text(`{} x`)},
		{"a bracket that closes nothing", text(`{}}`)},
		{"brackets that do not match", text(`{"inputs":[}`)},
	}
}

// Seeds returns the bombs that are small enough as seeds of a fuzzer.
func Seeds() (bodies [][]byte) {
	for _, b := range append(Msgpack(), JSON()...) {
		if len(b.Body) <= 1<<10 {
			bodies = append(bodies, b.Body)
		}
	}
	return append(bodies, bytes.Repeat([]byte{0x91}, 20), bytes.Repeat([]byte{0x81, 0xa1, 'a'}, 20),
		[]byte(strings.Repeat("[", 20)), []byte(strings.Repeat(`{"a":`, 20)))
}

// Within fails the test if f allocates more than most bytes. Other goroutines'
// allocations count too, so Within measures up to three times and takes the
// least.
func Within(t testing.TB, most int, what string, f func()) {
	t.Helper()
	least := aboutAllocated(f)
	for range 2 {
		if least > uint64(most) {
			least = min(least, allocated(f))
		}
	}
	if least > uint64(most) {
		t.Errorf("%s: %d bytes were allocated, expected at most %d", what, least, most)
	}
}

// aboutAllocated measures without stopping the world, so small allocations may
// be counted late.
func aboutAllocated(f func()) uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	f()
	metrics.Read(sample)
	return sample[0].Value.Uint64() - before
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
