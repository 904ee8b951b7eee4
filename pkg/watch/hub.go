package watch

import (
	"slices"
	"sync"
	"time"

	"clockwork/pkg/protocol"
)

// Hub passes what the services of a process report to those who listen. The On methods
// are called before the services start; all others from any goroutine, also on a nil Hub.
type Hub struct {
	requests []func(*Request)
	actions  []func(*Action)
	results  []func(*protocol.Result)
	steps    []func(time.Duration)
	losses   []func() Loss
	tracing
	spare sync.Pool // of *Request

	mu      sync.Mutex
	sources []*Source
}

// OnRequest has f hear of every request that a front door of this process answered.
func (h *Hub) OnRequest(f func(*Request)) { h.requests = append(h.requests, f) }

// OnAction has f hear of every action that the scheduler of this process sent, when it
// ended.
func (h *Hub) OnAction(f func(*Action)) { h.actions = append(h.actions, f) }

// OnResult has f hear of every result that a worker of this process gave.
func (h *Hub) OnResult(f func(*protocol.Result)) { h.results = append(h.results, f) }

// OnStep has f hear how long the scheduler of this process took for each event.
func (h *Hub) OnStep(f func(time.Duration)) { h.steps = append(h.steps, f) }

// WantsRequests reports whether anybody listens, so that a Request is worth making.
func (h *Hub) WantsRequests() bool { return h != nil && len(h.requests) > 0 }

// Request tells of an answer.
func (h *Hub) Request(r Request) {
	if !h.WantsRequests() {
		return
	}
	kept, _ := h.spare.Get().(*Request) // one that escapes for each would cost more than all else here
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

// Result tells of a result.
func (h *Hub) Result(r *protocol.Result) {
	if h == nil {
		return
	}
	for _, hear := range h.results {
		hear(r)
	}
}

// Register adds a source; unregister removes it, and waits for those who read it.
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

// Gauges reads every source, in the order of their registration.
func (h *Hub) Gauges() []Gauges {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Gauges, 0, len(h.sources))
	for _, s := range h.sources {
		list = append(list, s.read())
	}
	return list
}
