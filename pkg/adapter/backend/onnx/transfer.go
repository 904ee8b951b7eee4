package onnx

// chunkBytes is how many bytes are copied or summed at once. That cannot be interrupted: a
// garbage collection waits for it, and everything else for that.
const chunkBytes = 1 << 20

// transfer copies a chunk at a time.
func transfer(to, from []byte) {
	for len(from) > 0 {
		n := copy(to, from[:min(len(from), chunkBytes)])
		to, from = to[n:], from[n:]
	}
}
