//go:build linux && !static

package onnx

import (
	"os"
	"sync/atomic"
	"unsafe"
)

// progress is memory that a worker and its executor share: for each channel, how many tasks
// the executor has begun. It outlives the executor, so the worker knows afterwards what the
// executor was at: a frame that was only written to its socket never began. Memory, since a
// message would wake the worker once more for each execution.
type progress struct{ memory *region }

// progressBytes holds a counter for each channel.
const progressBytes = executorFiles * 8

// newProgress makes the memory, and the file with which the executor opens it.
func newProgress() (progress, *os.File, error) {
	file, err := newShared("clockwork-progress", progressBytes)
	if err != nil {
		return progress{}, nil, err
	}
	p, err := openProgress(file)
	if err != nil {
		file.Close()
	}
	return p, file, err
}

func openProgress(file *os.File) (progress, error) {
	memory, err := mapShared(file, progressBytes, true)
	return progress{memory}, err
}

// of returns the counter of a channel.
func (p progress) of(channel int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Add(p.memory.base, channel*8))
}

func (p progress) close() { p.memory.close() }
