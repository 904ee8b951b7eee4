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
// measurements and queries, not for scheduling. Its methods may be called from any
// goroutine.
type Caller struct {
	bus     *Bus
	issuer  uint64
	results *Results
	timeout time.Duration

	mu      sync.Mutex
	next    protocol.ActionID
	waiting map[protocol.ActionID]call
	calls   int                // calls of Do in progress
	sub     *nats.Subscription // only while calls > 0, since there are many results
}

type call struct {
	worker string
	result chan protocol.Result // of capacity one; closed when the worker is lost
}

// NewCaller returns a caller whose actions carry this issuer, a random identity of its
// own. Do waits at most timeout for a result.
func (b *Bus) NewCaller(issuer uint64, timeout time.Duration) *Caller {
	return &Caller{bus: b, issuer: issuer, results: b.NewResults(issuer), timeout: timeout, waiting: map[protocol.ActionID]call{}}
}

// Lose ends the calls that wait for a lost worker.
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

// Do sends an action and returns its result. The error says that there is none.
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

// begin numbers an action and subscribes to results. The broker sees the subscription
// before the action, since both use one connection.
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

// end forgets an action; after the last one the caller unsubscribes.
func (c *Caller) end(id protocol.ActionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
	if c.calls--; c.calls == 0 {
		_ = c.sub.Unsubscribe() // the subscription ends with the connection at the latest
	}
}

func (c *Caller) onResult(m *nats.Msg) {
	results, fault := c.results.Read(m)
	if fault != nil {
		c.bus.BadMessage("bad result", m.Subject, fault)
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

// RandomID returns a random identity, unique among processes; never 0.
func RandomID() uint64 {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // crypto/rand does not fail on a system that boots
	}
	return max(1, binary.BigEndian.Uint64(b[:]))
}
