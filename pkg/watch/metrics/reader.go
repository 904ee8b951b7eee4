package metrics

import (
	"sync"
	"time"

	"clockwork/pkg/watch"
)

// reader reads a hub. If a service never returns its gauges, because its lock is held
// for ever, only one goroutine waits for them, however many scrapes arrive.
type reader struct {
	hub    *watch.Hub
	within time.Duration // readWait

	mu      sync.Mutex
	present *gaugeRound // the one in progress
}

type gaugeRound struct {
	done chan struct{}
	list []watch.Gauges
}

// readWait is how long reading all services may take. A broker that does not answer
// costs each service 250 ms.
const readWait = 5 * time.Second

// read returns the services' gauges, or false if they did not arrive in time. Concurrent
// callers share one reading.
func (r *reader) read() ([]watch.Gauges, bool) {
	at := r.begin()
	limit := time.NewTimer(r.within)
	defer limit.Stop()
	select {
	case <-at.done:
		return at.list, true
	case <-limit.C:
		return nil, false
	}
}

func (r *reader) begin() *gaugeRound {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.present == nil {
		r.present = &gaugeRound{done: make(chan struct{})}
		go r.work(r.present) // ends when the services can be read
	}
	return r.present
}

func (r *reader) work(at *gaugeRound) {
	at.list = r.hub.Gauges()
	r.mu.Lock()
	r.present = nil
	r.mu.Unlock()
	close(at.done)
}

// settle waits for the reading in progress, for at most r.within.
func (r *reader) settle() {
	r.mu.Lock()
	at := r.present
	r.mu.Unlock()
	if at == nil {
		return
	}
	select {
	case <-at.done:
	case <-time.After(r.within):
	}
}
