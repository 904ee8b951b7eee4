package controller

import (
	"context"
	"maps"
	"slices"
	"sync"

	"clockwork/pkg/protocol"
)

// records are the workers' records in the store, which people and tools read. They are
// written in the background in the order of the machine's decisions: of several for one
// worker that wait, the last is written.
type records struct {
	mu      sync.Mutex
	waiting map[string]*protocol.WorkerState // nil: to be removed
	writing bool
}

// maxStoredLacks bounds what a stored worker says of what it lacks: a value is a message.
const maxStoredLacks = 100

// put has the records of workers written, remove has one removed.
func (r *records) put(workers []protocol.WorkerState, start func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range withoutModels(workers) {
		w.Lacks = w.Lacks[:min(len(w.Lacks), maxStoredLacks)]
		w.GPUs = slices.Clone(w.GPUs)
		for i := range w.GPUs {
			w.GPUs[i].Models = []string{} // they change with every load of weights
		}
		r.waiting[w.ID] = &w
	}
	r.begin(start)
}

func (r *records) remove(id string, start func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting[id] = nil
	r.begin(start)
}

// begin starts the writing unless it is under way. The caller holds the lock.
func (r *records) begin(start func()) {
	if !r.writing && len(r.waiting) > 0 {
		r.writing = true
		start()
	}
}

// next takes out what waits; after it returned nothing, nobody writes any more.
func (r *records) next() map[string]*protocol.WorkerState {
	r.mu.Lock()
	defer r.mu.Unlock()
	waiting := r.waiting
	r.waiting = map[string]*protocol.WorkerState{}
	r.writing = len(waiting) > 0
	return waiting
}

// writeRecords writes what waits until nothing does.
func (l *leader) writeRecords(ctx context.Context) {
	for waiting := l.records.next(); len(waiting) > 0; waiting = l.records.next() {
		for _, id := range slices.Sorted(maps.Keys(waiting)) {
			var err error
			if w := waiting[id]; w != nil {
				err = l.writer.PutWorker(ctx, *w)
			} else {
				err = l.writer.DropWorker(ctx, id)
			}
			l.logged("worker "+id, err)
			l.fenced(ctx, err)
		}
	}
}
