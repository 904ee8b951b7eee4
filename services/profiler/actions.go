package profiler

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/bus"
	"clockwork/pkg/protocol"
)

// actions sends actions to workers and waits for their results.
type actions struct {
	bus     *bus.Bus
	issuer  uint64
	timeout time.Duration

	mu      sync.Mutex
	next    protocol.ActionID
	waiting map[protocol.ActionID]waiter
}

type waiter struct {
	worker string
	result chan protocol.Result // of capacity one
}

func newActions(b *bus.Bus, issuer uint64, timeout time.Duration) *actions {
	return &actions{bus: b, issuer: issuer, timeout: timeout, waiting: map[protocol.ActionID]waiter{}}
}

// do sends an action and returns its result. The error says that none came.
func (a *actions) do(ctx context.Context, worker string, action protocol.Action) (protocol.Result, error) {
	result := make(chan protocol.Result, 1)
	a.mu.Lock()
	a.next++
	action.ID, action.Issuer = a.next, a.issuer
	a.waiting[action.ID] = waiter{worker, result}
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.waiting, action.ID)
		a.mu.Unlock()
	}()
	if err := a.bus.Control.Publish(a.bus.Subjects.Action(worker), bus.Action.Encode(&action)); err != nil {
		return protocol.Result{}, fmt.Errorf("send %s to %s: %w", action.Kind, worker, err)
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	select {
	case r := <-result:
		return r, nil
	case <-ctx.Done():
		return protocol.Result{}, fmt.Errorf("%s on %s: no result within %v", action.Kind, worker, a.timeout)
	}
}

func (a *actions) onResult(m *nats.Msg) {
	r, fault := bus.Result.Decode(m.Data)
	if fault != nil {
		a.bus.Log.Warn("bad result", "subject", m.Subject, "error", fault)
		return
	}
	if r.Issuer != a.issuer {
		return
	}
	a.mu.Lock()
	w, known := a.waiting[r.Action]
	delete(a.waiting, r.Action)
	a.mu.Unlock()
	if known && w.worker == a.bus.Subjects.Token(m.Subject, 1) {
		w.result <- r
	}
}
