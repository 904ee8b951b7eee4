package bus

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// HostName is this host's name, as a token of a subject and as a worker may
// bear it.
func HostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "host"
	}
	return protocol.Name(name)
}

// maxAsked is how many questions about health may wait; more go unanswered.
const maxHealthQueries = 16

// tellHealth hands on who asks for the health of an instance on this host,
// until it is told to be quiet.
func (b *Bus) serveHealth(kind protocol.ServiceKind, id string, asked chan<- *nats.Msg) (quiet func()) {
	sub, err := b.Subscribe(b.Control, b.Subjects.Health(kind, HostName()), func(m *nats.Msg) {
		if len(m.Data) > 0 && string(m.Data) != id {
			return // another one is meant
		}
		if strings.HasPrefix(m.Reply, "$") || strings.HasPrefix(m.Reply, b.Subjects.Prefix+".") {
			return // those are not a client's
		}
		select {
		case asked <- m:
		default:
		}
	})
	if err != nil {
		b.Log.Warn("health queries are not answered", "error", err)
		return func() {}
	}
	return func() { _ = sub.Unsubscribe() }
}

// AskHealth asks the services of one kind on this host, over any connection,
// and returns the first answer. id is the one that is meant, "" for any. Until
// ctx ends it asks again where nobody listens: a service may be between two
// roles.
func QueryHealth(ctx context.Context, nc *nats.Conn, subjects protocol.Subjects, kind protocol.ServiceKind, id string) (protocol.Heartbeat, error) {
	var nobody error
	for {
		m, err := nc.RequestWithContext(ctx, subjects.Health(kind, HostName()), []byte(id))
		if err == nil {
			h, fault := wire.Heartbeat.Decode(m.Data)
			if fault != nil {
				return h, fault
			}
			return h, nil
		}
		if errors.Is(err, nats.ErrNoResponders) {
			nobody = err
		} else if nobody == nil || ctx.Err() == nil {
			return protocol.Heartbeat{}, err
		}
		select {
		case <-ctx.Done():
			return protocol.Heartbeat{}, nobody
		case <-time.After(protocol.HeartbeatEvery):
		}
	}
}
