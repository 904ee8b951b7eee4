// Package local carries payloads between the services of one process: by reference,
// where they would otherwise be copied to the broker and back. Everything else goes
// through the broker as it does between processes.
package local

import (
	"sync"

	"clockwork/pkg/protocol"
)

// Exchange knows the workers and front doors of a process. Its methods may be called from
// any goroutine, and none blocks. A nil Exchange knows nobody.
//
// What was handed over is shared: neither side may change the bytes.
type Exchange struct {
	mu      sync.RWMutex
	workers map[string]*mailbox[protocol.Input]  // by name
	doors   map[uint64]*mailbox[ExecutedRequest] // by id
}

// ExecutedRequest is an output and the worker that sent it.
type ExecutedRequest struct {
	Worker string
	protocol.Output
}

// New returns an Exchange that knows nobody yet.
func New() *Exchange {
	return &Exchange{workers: map[string]*mailbox[protocol.Input]{}, doors: map[uint64]*mailbox[ExecutedRequest]{}}
}

// Worker has take called with the inputs for a worker, from one goroutine at a time, until
// leave is called, which waits for the last call.
func (x *Exchange) Worker(name string, take func([]protocol.Input)) (leave func()) {
	if x == nil {
		return func() {}
	}
	return join(x, x.workers, name, take)
}

// FrontDoor has take called with the outputs for a front door, like Worker.
func (x *Exchange) FrontDoor(id uint64, take func([]ExecutedRequest)) (leave func()) {
	if x == nil {
		return func() {}
	}
	return join(x, x.doors, id, take)
}

// Inputs hands inputs over to a worker. It reports false, and does nothing, if the worker
// is not in this process.
func (x *Exchange) Inputs(worker string, list []protocol.Input) bool {
	if x == nil {
		return false
	}
	to := find(x, x.workers, worker)
	return to != nil && to.put(func(queue []protocol.Input) []protocol.Input { return append(queue, list...) })
}

// Outputs hands a worker's outputs over to a front door, like Inputs.
func (x *Exchange) Outputs(worker string, door uint64, list []protocol.Output) bool {
	if x == nil {
		return false
	}
	to := find(x, x.doors, door)
	return to != nil && to.put(func(queue []ExecutedRequest) []ExecutedRequest {
		for i := range list {
			queue = append(queue, ExecutedRequest{worker, list[i]})
		}
		return queue
	})
}

func join[K comparable, T any](x *Exchange, all map[K]*mailbox[T], key K, take func([]T)) (leave func()) {
	m := &mailbox[T]{take: take}
	x.mu.Lock()
	defer x.mu.Unlock()
	all[key] = m
	return func() {
		x.mu.Lock()
		if all[key] == m {
			delete(all, key)
		}
		x.mu.Unlock()
		m.close()
	}
}

func find[K comparable, T any](x *Exchange, all map[K]*mailbox[T], key K) *mailbox[T] {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return all[key]
}
