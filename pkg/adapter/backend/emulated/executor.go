package emulated

import (
	"sync"
	"sync/atomic"
	"time"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/protocol"
)

// restart is how long an emulated executor takes to begin again: as long as a real one.
const restart = 100 * time.Millisecond

// executor emulates what computes on one GPU: it ends like a process, all weights with
// it, and then begins again.
type executor struct {
	backend *Backend
	index   int
	doing   atomic.Pointer[string] // the path of the model that executes

	mu      sync.Mutex
	current *life
}

// life is an executor from its beginning to its end.
type life struct {
	number uint32
	begun  chan struct{} // closed when it is ready
	ended  chan struct{} // closed when it has ended
	how    string        // valid when it has ended
}

func (e *executor) begin(b *Backend, index int) {
	e.backend, e.index, e.current = b, index, &life{begun: make(chan struct{}), ended: make(chan struct{})}
	close(e.current.begun)
}

// ready waits until the executor is ready, or the backend is being closed.
func (e *executor) ready() *life {
	e.mu.Lock()
	l := e.current
	e.mu.Unlock()
	select {
	case <-l.begun:
	case <-e.backend.closing:
	}
	return l
}

// end ends the present executor; the next one begins after its end was reported. It does
// not wait.
func (e *executor) end(n backend.Notice) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.current
	select {
	case <-l.begun:
	default:
		return // it is not there, for it was ended just now
	}
	if path := e.doing.Swap(nil); path != nil {
		n.Models = []string{*path}
	}
	n.Kind, n.Device, n.Executor = backend.ExecutorLost, e.index, l.number
	next := &life{number: l.number + 1, begun: make(chan struct{}), ended: make(chan struct{})}
	e.current, l.how = next, n.Text
	close(l.ended)
	e.backend.work.Go(func() {
		e.backend.notify(n)
		select {
		case <-time.After(restart):
		case <-e.backend.closing:
			return
		}
		close(next.begun)
		e.backend.notify(backend.Notice{Kind: backend.ExecutorReady, Device: e.index, Executor: next.number})
	})
}

func (l *life) over() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// lost is the error of a call during which the executor ended.
func (l *life) lost() error {
	return protocol.Errorf(protocol.ExecutorLost, "the emulated executor ended: %s", l.how)
}
