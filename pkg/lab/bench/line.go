package bench

import (
	"time"

	"clockwork/pkg/client"
)

// Line is a connection to the measured server: a client's (Lines), or one that speaks
// another server's protocol.
type Line interface {
	// Open is called once, before the first request. The line calls answered at most once
	// for each request, with its token, from any goroutine. A code of another server is the
	// one of Clockwork's that says the same.
	Open(answered func(token uint64, o client.Outcome)) error
	// Send sends a request and does not wait for its answer. Only the sender calls it. within
	// is the time that the request has left.
	Send(token uint64, model string, in *Inputs, within time.Duration) error
}

// Lines returns lines to a Clockwork stack.
func Lines(clients ...*client.Client) (lines []Line) {
	for _, c := range clients {
		lines = append(lines, &clientLine{client: c, subjects: map[string]string{}})
	}
	return lines
}

// clientLine is the line of a client. Only the sender uses subjects, which holds those of
// the models that were asked.
type clientLine struct {
	client   *client.Client
	async    *client.Async
	subjects map[string]string
}

func (l *clientLine) Open(answered func(token uint64, o client.Outcome)) (err error) {
	l.async, err = l.client.Async(answered)
	return err
}

func (l *clientLine) Send(token uint64, model string, in *Inputs, within time.Duration) error {
	subject, asked := l.subjects[model]
	if !asked {
		subject = l.async.Subject(model)
		l.subjects[model] = subject
	}
	return l.async.Send(subject, token, in.within(within))
}
