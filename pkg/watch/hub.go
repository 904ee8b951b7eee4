package watch

import (
	"slices"
	"sync"
	"time"

	"clockwork/pkg/protocol"
)

// Hub passes what the services of a process report to the listeners. Call the On methods
// before the services start; all other methods may be called from any goroutine, also on
// a nil Hub.
type Hub struct {
	requests []func(*Request)
	actions  []func(*Action)
	results  []func(*protocol.Result)
	steps    []func(time.Duration)
	losses   []func() Loss
	tracing
	spare sync.Pool // of *Request

	mu       sync.Mutex // guards the fields below
	sources  []*Source
	stopping bool
}

// OnRequest registers f, which is called for each request that a front door of this
// process answered.
func (h *Hub) OnRequest(f func(*Request)) { h.requests = append(h.requests, f) }

// OnAction registers f, which is called for each action of this process' scheduler when
// the action has ended.
func (h *Hub) OnAction(f func(*Action)) { h.actions = append(h.actions, f) }

// OnResult registers f, which is called for each result of a worker of this process.
func (h *Hub) OnResult(f func(*protocol.Result)) { h.results = append(h.results, f) }

// OnStep registers f, which is called with the duration of each step of this process'
// scheduler.
func (h *Hub) OnStep(f func(time.Duration)) { h.steps = append(h.steps, f) }

// WantsRequests reports whether there is a listener, so that callers build a Request
// only if one is needed.
func (h *Hub) WantsRequests() bool { return h != nil && len(h.requests) > 0 }

// Request reports an answered request.
func (h *Hub) Request(r Request) {
	if !h.WantsRequests() {
		return
	}
	// Pooled: a Request that escapes to the heap for each call would cost more than the
	// rest of this method.
	kept, _ := h.spare.Get().(*Request)
	if kept == nil {
		kept = new(Request)
	}
	*kept = r
	for _, hear := range h.requests {
		hear(kept)
	}
	*kept = Request{}
	h.spare.Put(kept)
}

// Result reports a worker's result.
func (h *Hub) Result(r *protocol.Result) {
	if h == nil {
		return
	}
	for _, hear := range h.results {
		hear(r)
	}
}

// Register adds a source; the returned function removes the source, and waits for a
// reading in progress.
func (h *Hub) Register(s Source) (take func()) {
	if h == nil {
		return func() {}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	lent := &s
	h.sources = append(h.sources, lent)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.sources = slices.DeleteFunc(h.sources, func(s *Source) bool { return s == lent })
	}
}

// Starting registers a service that is not ready yet: it waits for the broker, or for what
// it keeps there. The returned function removes it.
func (h *Hub) Starting(kind protocol.ServiceKind, name string) (started func()) {
	return h.Register(Source{Service: kind, Name: name, Ready: func() string {
		return "it has not started yet: it waits for the broker, or for what it keeps there; its log says more"
	}})
}

// Stopping makes every source unready: the process stops soon, and requests should go
// elsewhere.
func (h *Hub) Stopping() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopping = true
}

// IsStopping reports whether the process stops soon.
func (h *Hub) IsStopping() bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stopping
}

// Gauges reads every source, in the order of registration.
func (h *Hub) Gauges() []Gauges {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Gauges, 0, len(h.sources))
	for _, s := range h.sources {
		r := s.read()
		if h.stopping {
			r.Unready = "the process stops"
		}
		list = append(list, r)
	}
	return list
}
