package metrics

import (
	"sync"
	"time"

	"clockwork/pkg/watch"
)

// reader reads a hub. If a service does not give its numbers, because its lock is
// held for ever, one goroutine waits for them, however many ask.
type reader struct {
	hub    *watch.Hub
	within time.Duration // readWait

	mu      sync.Mutex
	present *gaugeRound // the one at work
}

type gaugeRound struct {
	done chan struct{}
	list []watch.Gauges
}

// readWait is how long the services may take to be read. A broker that does not
// answer costs each of them 250 ms.
const readWait = 5 * time.Second

// read returns what the services say, or false if they did not in time. Who asks while
// another does gets the same answer.
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
		go r.work(r.present) // it ends when the services can be read
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

// settle waits for who reads at the moment, for no longer than that may take.
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
