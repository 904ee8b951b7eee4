//go:build linux && !static

package onnx

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"clockwork/pkg/protocol"
)

// An executor may take Options.Memory besides what the worker has it reserve: the memory
// of its device, and an address range for the weights of each copy. A request that takes
// more fails, and neither this machine nor others' requests feel it.

// memoryLimit is the limit of one process. The process' mutex guards it.
type memoryLimit struct {
	pid    int
	limit  uint64         // bytes of private memory that can be written to
	ranges map[*model]int // address ranges for the weights of each model
}

// newMemoryLimit lets a process that is ready have so many more bytes than it has.
func newMemoryLimit(pid int, more int64) (memoryLimit, error) {
	has, err := dataOf(pid)
	if err != nil {
		return memoryLimit{}, fmt.Errorf("see how much memory the executor has: %w", err)
	}
	l := memoryLimit{pid: pid, limit: has + uint64(more), ranges: map[*model]int{}}
	return l, l.set()
}

// reserve lets the process have as many address ranges for a model's weights as n.
func (l *memoryLimit) reserve(m *model, n int) *protocol.Error {
	for ; l.ranges[m] < n; l.ranges[m]++ {
		l.limit += uint64(m.spec.Pages)*uint64(m.backend.options.PageSize) + hugePage
	}
	if err := l.set(); err != nil {
		return protocol.Errorf(protocol.BackendError, "limit the executor's memory: %v", err)
	}
	return nil
}

// forget takes the address ranges of a model that the process has closed.
func (l *memoryLimit) forget(m *model) {
	l.limit -= uint64(l.ranges[m]) * (uint64(m.spec.Pages)*uint64(m.backend.options.PageSize) + hugePage)
	delete(l.ranges, m)
	_ = l.set() // at worst it may take more
}

func (l *memoryLimit) set() error {
	return unix.Prlimit(l.pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: l.limit, Max: unix.RLIM_INFINITY}, nil)
}

// dataOf returns what RLIMIT_DATA counts of a process, in bytes.
func dataOf(pid int) (uint64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(status) {
		if fields := bytes.Fields(line); len(fields) == 3 && string(fields[0]) == "VmData:" {
			kilobytes, err := strconv.ParseUint(string(fields[1]), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("no VmData in its status")
}
