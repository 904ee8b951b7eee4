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
)

// Caller sends actions to workers one by one and waits for their results: for
// those who measure or ask, not for those who schedule. Its methods may be
// called from any goroutine.
type Caller struct {
	bus     *Bus
	issuer  uint64
	timeout time.Duration
	sub     *nats.Subscription

	mu      sync.Mutex
	next    protocol.ActionID
	waiting map[protocol.ActionID]call
}

type call struct {
	worker string
	result chan protocol.Result // of capacity one; closed when the worker is lost
}

// NewCaller makes a caller whose actions carry this issuer, a random identity
// of its own. A result is waited for at most timeout.
func (b *Bus) NewCaller(issuer uint64, timeout time.Duration) (*Caller, error) {
	c := &Caller{bus: b, issuer: issuer, timeout: timeout, waiting: map[protocol.ActionID]call{}}
	sub, err := b.Subscribe(b.Control, b.Subjects.Result("*"), c.onResult)
	if err != nil {
		return nil, err
	}
	c.sub = sub
	return c, nil
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

// Stop ends the caller; calls in progress time out.
func (c *Caller) Stop() { _ = c.sub.Unsubscribe() } // it ends with the connection at the latest

// Do sends an action and returns its result. The error says that none came.
func (c *Caller) Do(ctx context.Context, worker string, action protocol.Action) (protocol.Result, error) {
	result := make(chan protocol.Result, 1)
	c.mu.Lock()
	c.next++
	action.ID, action.Issuer = c.next, c.issuer
	c.waiting[action.ID] = call{worker, result}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, action.ID)
		c.mu.Unlock()
	}()
	if err := c.bus.Control.Publish(c.bus.Subjects.Action(worker), Action.Encode(&action)); err != nil {
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

func (c *Caller) onResult(m *nats.Msg) {
	r, fault := c.bus.DecodeResult(m)
	if fault != nil {
		c.bus.Log.Warn("bad result", "subject", m.Subject, "error", fault)
		return
	}
	if r.Issuer != c.issuer {
		return
	}
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

// DecodeResult reads a worker's result. Who the worker is, the subject says.
func (b *Bus) DecodeResult(m *nats.Msg) (protocol.Result, *protocol.Error) {
	r, fault := Result.Decode(m.Data)
	r.Worker = b.Subjects.Token(m.Subject, 1)
	if r.State != nil {
		r.State.ID = r.Worker
	}
	return r, fault
}

// RandomID makes an identity that no other process has; never 0.
func RandomID() uint64 {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // crypto/rand does not fail on a system that boots
	}
	return max(1, binary.BigEndian.Uint64(b[:]))
}
