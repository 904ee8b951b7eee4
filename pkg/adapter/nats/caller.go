package bus

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// Caller sends actions to workers one by one and waits for their results: for
// those who measure or ask, not for those who schedule. Its methods may be
// called from any goroutine.
type Caller struct {
	bus     *Bus
	issuer  uint64
	timeout time.Duration

	mu      sync.Mutex
	next    protocol.ActionID
	waiting map[protocol.ActionID]call
	calls   int                // of Do, in progress
	sub     *nats.Subscription // while there are any: results are many
}

type call struct {
	worker string
	result chan protocol.Result // of capacity one; closed when the worker is lost
}

// NewCaller makes a caller whose actions carry this issuer, a random identity
// of its own. A result is waited for at most timeout.
func (b *Bus) NewCaller(issuer uint64, timeout time.Duration) *Caller {
	return &Caller{bus: b, issuer: issuer, timeout: timeout, waiting: map[protocol.ActionID]call{}}
}

// Lose ends the calls that wait for a worker which is lost.
func (c *Caller) Lose(worker string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, w := range c.waiting {
		if w.worker == worker {
			close(w.result)
			delete(c.waiting, id)
		}
	}
}

// Do sends an action and returns its result. The error says that none came.
func (c *Caller) Do(ctx context.Context, worker string, action protocol.Action) (protocol.Result, error) {
	result := make(chan protocol.Result, 1)
	if err := c.begin(worker, &action, result); err != nil {
		return protocol.Result{}, err
	}
	defer c.end(action.ID)
	if err := c.bus.Control.Publish(c.bus.Subjects.Action(worker), wire.Actions.Encode(&[]protocol.Action{action})); err != nil {
		return protocol.Result{}, fmt.Errorf("send %s to %s: %w", action.Kind, worker, err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	select {
	case r, came := <-result:
		if !came {
			return protocol.Result{}, fmt.Errorf("%s on %s: the worker was lost", action.Kind, worker)
		}
		return r, nil
	case <-ctx.Done():
		return protocol.Result{}, fmt.Errorf("%s on %s: no result within %v", action.Kind, worker, c.timeout)
	}
}

// begin numbers an action and listens. The broker sees the subscription before
// the action, since both go over one connection.
func (c *Caller) begin(worker string, action *protocol.Action, result chan protocol.Result) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls == 0 {
		sub, err := c.bus.Subscribe(c.bus.Control, c.bus.Subjects.Result("*"), c.onResult)
		if err != nil {
			return err
		}
		c.sub = sub
	}
	c.calls++
	c.next++
	action.ID, action.Issuer = c.next, c.issuer
	c.waiting[action.ID] = call{worker, result}
	return nil
}

// end forgets an action; with the last one the caller stops listening.
func (c *Caller) end(id protocol.ActionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
	if c.calls--; c.calls == 0 {
		_ = c.sub.Unsubscribe() // it ends with the connection at the latest
	}
}

func (c *Caller) onResult(m *nats.Msg) {
	results, fault := c.bus.DecodeResults(m, c.issuer)
	if fault != nil {
		c.bus.Log.Warn("bad result", "subject", m.Subject, "error", fault)
		return
	}
	for _, r := range results {
		c.mu.Lock()
		w, known := c.waiting[r.Action]
		known = known && w.worker == r.Worker
		if known {
			delete(c.waiting, r.Action)
		}
		c.mu.Unlock()
		if known {
			w.result <- r
		}
	}
}

// RandomID makes an identity that no other process has; never 0.
func RandomID() uint64 {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // crypto/rand does not fail on a system that boots
	}
	return max(1, binary.BigEndian.Uint64(b[:]))
}
