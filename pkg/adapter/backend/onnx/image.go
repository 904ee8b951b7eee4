//go:build linux && !static

package onnx

import (
	"os"

	"clockwork/pkg/protocol"
)

// image is a model in host memory: its weights, laid out as on a device, then its shell.
// It is a file in memory that is constant once it is made. The worker owns it, and each
// executor maps it: the weights are in host memory once, however many devices there are,
// and survive every executor.
type image struct {
	file        *os.File
	size, shell int64 // in bytes; where the shell begins
	weights     []placement
}

// newImage copies an externalized graph.
func newImage(l *externalized) (*image, *protocol.Error) {
	m := &image{shell: l.size, size: l.size + int64(len(l.shell))}
	for _, w := range l.weights {
		m.weights = append(m.weights, placement{Name: w.name, Kind: w.kind, Shape: w.shape, Offset: w.offset, Bytes: int64(len(w.data))})
	}
	file, err := newShared("clockwork-model", m.size)
	if err != nil {
		return nil, protocol.Errorf(protocol.NoMemory, "%v", err)
	}
	m.file = file
	memory, err := mapShared(file, m.size, true)
	if err == nil {
		l.fill(memory.bytes())
		copy(memory.bytes()[m.shell:], l.shell)
		memory.close()
		err = sealWrites(file)
	}
	if err != nil {
		m.close()
		return nil, protocol.Errorf(protocol.NoMemory, "%v", err)
	}
	return m, nil
}

func (m *image) close() { m.file.Close() }
