package client

import (
	"errors"
	"strings"

	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
)

// The broker refuses what a key may not do in a message of its own, beside the request,
// which gets no answer. A client therefore ends its requests on a refused subject itself.

// watchPermissions ends the requests that the broker refuses.
func (c *Client) watchPermissions() {
	next := c.nc.ErrorHandler()
	c.nc.SetErrorHandler(func(nc *nats.Conn, sub *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			c.onDenied(err)
		}
		if next != nil {
			next(nc, sub, err)
		}
	})
}

// onDenied ends the requests that wait on a refused subject; without the subscription to
// replies, all of them.
func (c *Client) onDenied(err error) {
	verb, subject := deniedSubject(err)
	if subject == "" {
		return
	}
	subject, _ = c.subjects.Asked(subject) // the broker names the lane that it is in
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused.Store(true)
	c.denied[subject] = c.denial(verb, subject)
	c.lastDenied = c.denied[subject]
	for seq, w := range c.waiting {
		if w.subject == subject || subject == c.inbox+".*" {
			delete(c.waiting, seq)
			w.reply <- answer{refusal: c.denied[subject]}
		}
	}
}

// Denied returns the error for a subject that the broker has refused to this client, nil
// for any other.
func (c *Client) Denied(subject string) *protocol.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.denied[subject]
}

// LastDenied returns the error for what the broker refused to this client last, nil if it
// has refused nothing.
func (c *Client) LastDenied() *protocol.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastDenied
}

// denial says what the key may not do, and whose it is.
func (c *Client) denial(verb, subject string) *protocol.Error {
	return protocol.Errorf(protocol.PermissionDenied, "%s may not %s %s", bus.KeyText(c.inbox), verb, subject)
}

// deniedSubject returns what a permission error is about: publish on or subscribe to, and
// the subject.
func deniedSubject(err error) (verb, subject string) {
	text := err.Error()
	verb = "publish on"
	if strings.Contains(strings.ToLower(text), "for subscription to") {
		verb = "subscribe to"
	}
	_, rest, found := strings.Cut(text, `"`)
	subject, _, closed := strings.Cut(rest, `"`)
	if !found || !closed {
		return verb, ""
	}
	return verb, subject
}

// allowed returns once the broker has seen what was published and subscribed to before,
// with its error if it refused the subject.
func (c *Client) allowed(subject string) *protocol.Error {
	if err := c.nc.FlushTimeout(controlWait); err != nil {
		return protocol.Errorf(protocol.StateUnavailable, "the broker does not answer: %v", err)
	}
	// The connection knows the latest refusal before the flush is answered; the handler
	// may still have to be called.
	if err := c.nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		c.onDenied(err)
	}
	return c.Denied(subject)
}
