// Package client is the Go client library of Clockwork. It needs only a broker's
// address; everything it does, any NATS client can do too.
//
// A Client may be used from any goroutine; Close does not wait for open requests. A
// Client does not retry: the answer's Retryable says whether that may help.
package client

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// Client talks to one stack.
type Client struct {
	nc       *nats.Conn
	subjects protocol.Subjects
	inbox    string
	asker    string // by its credentials, see protocol.Asker
	seq      atomic.Uint64
	refused  atomic.Bool // whether denied holds anything

	mu      sync.Mutex
	waiting map[uint64]waiter
	denied  map[string]*protocol.Error // by the subject that the broker refused

	lastDenied *protocol.Error
}

// waiter is a request without an answer.
type waiter struct {
	subject string
	reply   chan answer // of capacity one, and gets one value
}

// answer is a message, or why none will come.
type answer struct {
	msg     *nats.Msg
	refusal *protocol.Error
}

// grace is how long after a request's deadline the client still waits, so that the stack
// can report the missed deadline itself.
const grace = 100 * time.Millisecond

// controlWait bounds a page of ls or state; a load may take as long as its context allows.
const controlWait = 5 * time.Second

// Connect connects to a stack through its broker. prefix is "" for the default.
func Connect(url, prefix string, options ...nats.Option) (*Client, error) {
	nc, err := bus.Connect(url, append([]nats.Option{nats.Name("clockwork client"), nats.ErrorHandler(quiet)}, options...)...)
	if err != nil {
		return nil, err
	}
	c, err := New(nc, prefix)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return c, nil
}

// quiet takes the place of a handler that writes to the standard error: what concerns a
// request is in its error.
func quiet(*nats.Conn, *nats.Subscription, error) {}

// New returns a client on a connection that the caller opened.
func New(nc *nats.Conn, prefix string) (*Client, error) {
	if prefix == "" {
		prefix = protocol.DefaultPrefix
	}
	if err := protocol.CheckPrefix(prefix); err != nil {
		return nil, err
	}
	c := &Client{
		nc:       nc,
		subjects: protocol.Subjects{Prefix: prefix},
		inbox:    nc.NewInbox(),
		waiting:  map[uint64]waiter{},
		denied:   map[string]*protocol.Error{},
	}
	c.watchPermissions()
	c.asker = protocol.Asker(c.inbox)
	// One subscription for all replies: a subscription per request costs four times as
	// much.
	sub, err := nc.Subscribe(c.inbox+".*", c.onReply)
	if err == nil {
		err = sub.SetPendingLimits(1<<20, 512<<20)
	}
	if err != nil {
		return nil, fmt.Errorf("subscribe to replies: %w", err)
	}
	return c, nil
}

// Close closes the connection.
func (c *Client) Close() { c.nc.Close() }

// Conn returns the connection, for the caller's own subjects and headers.
func (c *Client) Conn() *nats.Conn { return c.nc }

func (c *Client) onReply(m *nats.Msg) {
	seq, err := strconv.ParseUint(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], 36, 64)
	if err != nil {
		return
	}
	c.mu.Lock()
	w := c.waiting[seq]
	delete(c.waiting, seq)
	c.mu.Unlock()
	if w.reply != nil {
		w.reply <- answer{msg: m}
	}
}

// request publishes a message and waits for its one reply.
func (c *Client) request(ctx context.Context, subject string, body []byte) (*nats.Msg, *protocol.Error) {
	m, refusal := c.exchange(ctx, subject, body)
	if refusal == nil && nobody(m) {
		return nil, protocol.Errorf(protocol.StateUnavailable, "nobody listens on %s; is the controller running?", subject)
	}
	return m, refusal
}

// nobody reports whether a reply is the broker's, for a subject without subscribers.
func nobody(m *nats.Msg) bool { return len(m.Data) == 0 && m.Header.Get("Status") == "503" }

// exchange is request, except that the reply may be the broker's: nobody.
func (c *Client) exchange(ctx context.Context, subject string, body []byte) (*nats.Msg, *protocol.Error) {
	if limit := c.nc.MaxPayload(); int64(len(body)) > limit {
		refusal := protocol.Errorf(protocol.PayloadTooLarge, "the request of %d bytes is larger than the broker carries (%d)", len(body), limit)
		refusal.Got, refusal.Limit = int64(len(body)), limit
		return nil, refusal
	}
	seq := c.seq.Add(1)
	reply := make(chan answer, 1)
	c.mu.Lock()
	if refusal := c.denied[c.inbox+".*"]; refusal != nil { // no reply would be received
		c.mu.Unlock()
		return nil, refusal
	}
	c.waiting[seq] = waiter{subject, reply}
	c.mu.Unlock()
	err := c.publish(ctx, subject, c.inbox+"."+strconv.FormatUint(seq, 36), body)
	if err == nil {
		select {
		case a := <-reply:
			return a.msg, a.refusal
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	c.mu.Lock()
	delete(c.waiting, seq)
	c.mu.Unlock()
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, protocol.Errorf(protocol.DeadlineExceeded, "no answer on %s", subject)
	}
	return nil, protocol.Errorf(protocol.StateUnavailable, "request on %s: %v", subject, err)
}

// InferSubject returns the subject for this client's requests for a model; the broker
// allows a client with a name to publish on no other.
func (c *Client) InferSubject(model string) string { return c.subjects.InferBy(model, c.asker) }

// Infer sends an inference request and waits for the answer. slo bounds the wait once
// the stack is active; wait is how much longer the caller waits for activation. Without
// inputs the worker generates them, if it is allowed to.
func (c *Client) Infer(ctx context.Context, model string, r *protocol.InferRequest, wait time.Duration) (*protocol.InferResponse, *protocol.Error) {
	slo := 100 * time.Millisecond
	if r.Parameters.SLOMS != nil {
		slo = time.Duration(*r.Parameters.SLOMS * float64(time.Millisecond))
	}
	ctx, cancel := context.WithTimeout(ctx, max(0, slo)+wait+grace)
	defer cancel()
	m, refusal := c.request(ctx, c.InferSubject(model), wire.EncodeInfer(r))
	if refusal != nil {
		return nil, refusal
	}
	var response protocol.InferResponse
	if refusal := readAnswer(c.InferSubject(model), m.Data, &response); refusal != nil {
		return nil, refusal
	}
	if response.ModelName != model {
		return nil, foreign(c.InferSubject(model), "it is of another model")
	}
	return &response, nil
}

// Load sends a load request to the workers, and waits until they have loaded the model
// from disk.
func (c *Client) Load(ctx context.Context, r protocol.LoadRequest) (*protocol.LoadReply, *protocol.Error) {
	var reply protocol.LoadReply
	if refusal := c.control(ctx, c.subjects.Load(), r, &reply); refusal != nil {
		return nil, refusal
	}
	if len(reply.Models) == 1 && reply.Copies > 1 { // the others did not fit
		reply.Models = protocol.CopyNames(strings.TrimSuffix(reply.Models[0], "-1"), reply.Copies)
	}
	return &reply, nil
}

// Models lists the loaded models, from as many pages as there are.
func (c *Client) Models(ctx context.Context) (*protocol.ModelList, *protocol.Error) {
	var all protocol.ModelList
	refusal := pages[protocol.ModelList](ctx, c, c.subjects.Ls(), protocol.PageRequest{}, func(page *protocol.ModelList) (next string) {
		all.Models, all.Total = append(all.Models, page.Models...), page.Total
		return page.Next
	})
	if refusal != nil {
		return nil, refusal
	}
	return &all, nil
}

// State describes the whole stack, from as many pages as there are.
func (c *Client) State(ctx context.Context) (*protocol.StackState, *protocol.Error) {
	return c.state(ctx, protocol.PageRequest{})
}

// Workers is State without the models, which it only counts.
func (c *Client) Workers(ctx context.Context) (*protocol.StackState, *protocol.Error) {
	return c.state(ctx, protocol.PageRequest{NoModels: true})
}

func (c *Client) state(ctx context.Context, q protocol.PageRequest) (*protocol.StackState, *protocol.Error) {
	var all protocol.StackState
	refusal := pages[protocol.StackState](ctx, c, c.subjects.State(), q, func(page *protocol.StackState) (next string) {
		if all.Stage == 0 {
			all = *page
		} else {
			all.Append(page)
		}
		return page.Next
	})
	if refusal != nil {
		return nil, refusal
	}
	return &all, nil
}

// pages asks for one page after the other. add takes a page and returns the key after which
// the next one begins, "" after the last.
func pages[T any](ctx context.Context, c *Client, subject string, q protocol.PageRequest, add func(*T) (next string)) *protocol.Error {
	for after := ""; ; {
		var page T
		q.After = after
		if refusal := c.query(ctx, subject, q, &page); refusal != nil {
			return refusal
		}
		next := add(&page)
		switch {
		case next == "":
			return nil
		case next <= after:
			return foreign(subject, "its pages do not go on")
		}
		after = next
	}
}

// query asks for one page of ls or state.
func (c *Client) query(ctx context.Context, subject string, q protocol.PageRequest, page any) *protocol.Error {
	ctx, cancel := context.WithTimeout(ctx, controlWait)
	defer cancel()
	return c.control(ctx, protocol.By(subject, c.asker), q, page)
}

// Model returns a loaded model, UNKNOWN_MODEL if none has this name.
func (c *Client) Model(ctx context.Context, name string) (*protocol.ModelState, *protocol.Error) {
	var page protocol.ModelList
	if refusal := c.query(ctx, c.subjects.Ls(), protocol.PageRequest{Name: name}, &page); refusal != nil {
		return nil, refusal
	}
	if len(page.Models) == 0 {
		return nil, protocol.Errorf(protocol.UnknownModel, "no model is called %q", name)
	}
	if page.Models[0].Name != name {
		return nil, foreign(c.subjects.Ls(), "it is of another model")
	}
	return &page.Models[0], nil
}

// Brief describes the stack without its workers and models, which it only counts.
func (c *Client) Brief(ctx context.Context) (*protocol.StackState, *protocol.Error) {
	var s protocol.StackState
	if refusal := c.query(ctx, c.subjects.State(), protocol.PageRequest{Brief: true}, &s); refusal != nil {
		return nil, refusal
	}
	return &s, nil
}

func (c *Client) control(ctx context.Context, subject string, body, reply any) *protocol.Error {
	m, refusal := c.request(ctx, subject, wire.EncodeBody(protocol.JSON, body))
	if refusal != nil {
		return refusal
	}
	return readAnswer(subject, m.Data, reply)
}

// Events calls seen, from one goroutine, for every event of the stack until the returned
// function is called.
func (c *Client) Events(seen func(protocol.Event)) (stop func(), err error) {
	sub, err := c.nc.Subscribe(c.subjects.Event("*"), func(m *nats.Msg) {
		var e protocol.Event
		if readAnswer(m.Subject, m.Data, &e) == nil { // of another program nothing is shown
			seen(e)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to events: %w", err)
	}
	return func() { _ = sub.Unsubscribe() }, nil
}
