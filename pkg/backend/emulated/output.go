package emulated

import (
	"encoding/binary"
	"math"
)

// sampled is how many bytes of an input go into its output: enough to tell
// inputs apart without reading megabytes.
const sampled = 4096

// appendOutput appends size bytes of float32 values in [0, 1) that follow from
// the input alone: the same in every process.
func appendOutput(out []byte, input []byte, size int64) []byte {
	state := hash(input)
	for n := int64(0); n+4 <= size; n += 4 {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		value := float32(state>>40) / (1 << 24)
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(value))
	}
	return out
}

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
