//go:build linux && !static

package onnx

import (
	"cmp"
	"context"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/protocol"
)

// executor keeps a process running that executes on one device: when one ends, the next
// takes its place. One goroutine owns the processes, from newExecutor until close.
type executor struct {
	options *Options
	index   int
	setup   setup
	watcher func(backend.Notice)
	count   uint32 // the present process; only keep's goroutine
	// version is ONNX Runtime's, processor what executions have of theirs, in the first
	// process; they do not change after newExecutor.
	version, processor string

	mu      sync.Mutex
	current *process      // nil while there is none that is ready
	started *process      // nil while there is none that was started and is not ready
	changed chan struct{} // closed and replaced when current changes
	err     error         // why the last start failed
	models  map[*model]struct{}

	stop chan struct{}
	over chan struct{} // closed when the goroutine has ended
}

const (
	// startTime is how long the first executor may take to begin, most of which is making the
	// device's memory resident. How long the later ones may take the worker decides.
	startTime = 2 * time.Minute
	// readyWait is how long a call waits for the next executor.
	readyWait = 10 * time.Second
	// An executor that ends before it has done anything would end again at once. From the
	// second in a row on there is a pause before the next, which doubles up to a limit.
	firstPause = 50 * time.Millisecond
	lastPause  = 5 * time.Second
)

// newExecutor starts the first process and waits until it is ready, or returns why it
// cannot be.
func newExecutor(o *Options, index int, s setup, watcher func(backend.Notice)) (*executor, error) {
	e := &executor{options: o, index: index, setup: s, watcher: watcher, changed: make(chan struct{}),
		models: map[*model]struct{}{}, stop: make(chan struct{}), over: make(chan struct{})}
	first := make(chan error, 1)
	go e.keep(first)
	if err := <-first; err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// close ends the process and waits until it is gone.
func (e *executor) close() {
	close(e.stop)
	<-e.over
}

// keep runs one process after the other. first gets the outcome of the first start.
func (e *executor) keep(first chan<- error) {
	defer close(e.over)
	// The system kills a process when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for pause := time.Duration(0); ; {
		s := e.setup
		s.Lazy = first == nil
		p, err := startProcess(e.options, s, e.stop, e.starts, func(p *process, line string) {
			e.watcher(backend.Notice{Kind: backend.ExecutorSaid, Device: e.index, Models: p.working(), Text: line})
		})
		if err == nil {
			if first != nil {
				e.version, e.processor = p.version, p.processor
			}
			e.publish(p, nil)
		}
		if first != nil { // who waits for it uses the process and its version at once
			first <- err
			if err != nil {
				return
			}
		}
		if err == nil {
			if first == nil {
				e.notify(backend.Notice{Kind: backend.ExecutorReady})
			}
			if stopped := e.watch(p); stopped {
				return
			}
			if p.worked.Load() {
				pause = 0
			}
		} else {
			e.publish(nil, err)
			e.notify(backend.Notice{Kind: backend.ExecutorLost, Text: "it did not start: " + tidy(err.Error())})
		}
		first = nil
		e.count++
		select {
		case <-e.stop:
			return
		case <-time.After(pause):
		}
		pause = min(max(2*pause, firstPause), lastPause)
	}
}

// watch waits for the end of a process, and reports it. It returns true if the executor
// is being closed.
func (e *executor) watch(p *process) (stopped bool) {
	reopened := make(chan struct{})
	go func() { // ends with the process at the latest
		defer close(reopened)
		e.reopen(p)
	}()
	p.wait()
	<-reopened
	e.publish(nil, nil)
	select {
	case <-e.stop:
		return true
	default:
	}
	e.notify(backend.Notice{Kind: backend.ExecutorLost, Models: p.working(), Text: p.how, Overdue: p.ended() != ""})
	return false
}

func (e *executor) notify(n backend.Notice) {
	n.Device, n.Executor = e.index, e.count
	e.watcher(n)
}

// reopen opens all models in a new process, so that none has to wait for it when it is
// needed. A model that is needed sooner is opened sooner.
func (e *executor) reopen(p *process) {
	e.mu.Lock()
	models := slices.Collect(maps.Keys(e.models))
	e.mu.Unlock()
	slices.SortFunc(models, func(a, b *model) int { return cmp.Compare(a.id, b.id) })
	for _, m := range models {
		e.mu.Lock()
		_, there := e.models[m]
		var o *openCall
		var mine bool
		if there { // remove closes it after this
			o, mine = p.claim(m)
		}
		e.mu.Unlock()
		if mine {
			m.opening.Add(1)
			p.carryOut(o, m, false) // who needs the model is told why it cannot be opened
		}
	}
}

// publish sets the process that is ready, nil for none.
func (e *executor) publish(p *process, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.current, e.started, e.err = p, nil, err
	close(e.changed)
	e.changed = make(chan struct{})
}

// starts notes that a process was started.
func (e *executor) starts(p *process) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.started = p
}

// starting returns the process that was started and is not ready, nil for none.
func (e *executor) starting() *process {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.started
}

// now returns the process that is ready, nil for none.
func (e *executor) now() *process {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.current
}

// ready returns the process that is ready, and waits for one if there is none.
func (e *executor) ready(ctx context.Context) (*process, *protocol.Error) {
	timed, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	for {
		e.mu.Lock()
		p, changed, err := e.current, e.changed, e.err
		e.mu.Unlock()
		if p != nil && !p.isLost() {
			return p, nil
		}
		select {
		case <-changed:
		case <-timed.Done():
			return nil, protocol.Errorf(protocol.BackendError, "device %d has no executor at the moment; the last start: %v", e.index, err)
		}
	}
}

// add has a model opened in every later process, and opens it in the present one.
func (e *executor) add(ctx context.Context, m *model) *protocol.Error {
	e.mu.Lock()
	e.models[m] = struct{}{}
	e.mu.Unlock()
	for {
		p, refusal := e.ready(ctx)
		if refusal != nil {
			return refusal
		}
		refusal = p.open(ctx, m, true)
		if refusal == nil || !p.isLost() || refusal.Code == protocol.ExecutorLost || ctx.Err() != nil {
			return refusal
		} // it was killed, or ended before: there is, or will be, another
	}
}

// remove closes a model.
func (e *executor) remove(m *model) {
	e.mu.Lock()
	delete(e.models, m)
	p := e.current
	e.mu.Unlock()
	if p != nil {
		p.closeModel(m)
	}
}
