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

// stored returns a worker's record: what does not change by itself, and as much of what it
// lacks as an answer names. A value is a message.
func stored(w protocol.WorkerState) *protocol.WorkerState {
	w.Lacks = slices.Clone(w.Lacks[:min(len(w.Lacks), protocol.MaxWorkerErrors)])
	for i := range w.Lacks {
		w.Lacks[i].Message = protocol.ShortText(w.Lacks[i].Message, protocol.MaxWorkerText)
	}
	w.GPUs = slices.Clone(w.GPUs)
	for i := range w.GPUs {
		g := &w.GPUs[i]
		g.Models, g.Moving, g.PagesUsed, g.Stalled, g.Executor, g.Processor = []string{}, nil, 0, "", 0, ""
	}
	return &w
}

// put has the records of workers written, remove has one removed.
func (r *records) put(workers []protocol.WorkerState, start func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range withoutModels(workers) {
		r.waiting[w.ID] = stored(w)
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
