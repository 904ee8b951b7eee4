package emulated

import (
	"encoding/binary"
	"math"
	"slices"
)

// sampled is how many bytes at each end of an input determine its output: enough to
// distinguish inputs without reading megabytes.
const sampled = 4096

// appendOutput appends size bytes of float32 values in [0, 1) that depend only on the
// input: the same in every process.
func appendOutput(out []byte, input []byte, size int64) []byte {
	state := hash(input)
	out = slices.Grow(out, int(size))
	begin := len(out)
	out = out[:begin+int(size)/4*4]
	for rest := out[begin:]; len(rest) > 0; {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		binary.LittleEndian.PutUint32(rest, fraction(state>>40))
		if rest = rest[4:]; len(rest) > 0 { // a state yields two values
			binary.LittleEndian.PutUint32(rest, fraction(state>>16&(1<<24-1)))
			rest = rest[4:]
		}
	}
	return out
}

// fraction returns the bits of the float32 bits/2^24, for 24-bit values.
func fraction(bits uint64) uint32 { return math.Float32bits(float32(bits) * (1.0 / (1 << 24))) }

// hash is FNV-1a over the length, the beginning and the end; never 0.
func hash(b []byte) uint64 {
	const prime = 1099511628211
	h := uint64(14695981039346656037) ^ uint64(len(b))
	head := b[:min(len(b), sampled)]
	tail := b[max(len(head), len(b)-sampled):]
	for _, part := range [][]byte{head, tail} {
		for _, c := range part {
			h = (h ^ uint64(c)) * prime
		}
	}
	return max(1, h)
}
