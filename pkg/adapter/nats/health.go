package bus

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// HostName returns this host's name, valid as a token of a subject and as a worker's
// name.
func HostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "host"
	}
	return protocol.Name(name)
}

// maxHealthQueries is how many health queries may wait; further ones are not answered.
const maxHealthQueries = 16

// serveHealth forwards health queries for an instance on this host to asked, until quiet
// is called.
func (b *Bus) serveHealth(kind protocol.ServiceKind, id string, asked chan<- *nats.Msg) (quiet func()) {
	handle := func(m *nats.Msg) {
		if len(m.Data) > 0 && string(m.Data) != id {
			return // for another instance
		}
		if !b.MayAnswer(m) {
			return
		}
		select {
		case asked <- m:
		default:
		}
	}
	var subs []*nats.Subscription
	quiet = func() {
		for _, sub := range subs {
			_ = sub.Unsubscribe() // the subscription ends with the connection at the latest
		}
	}
	for _, subject := range b.healthSubjects(kind) {
		sub, err := b.Subscribe(b.Control, subject, handle)
		if err != nil {
			b.Log.Warn("health queries are not answered", "error", err)
			break
		}
		subs = append(subs, sub)
	}
	return quiet
}

// healthSubjects returns where those ask whom this user may answer. Of two workers on one
// host, each has its own key ask.
func (b *Bus) healthSubjects(kind protocol.ServiceKind) []string {
	at := b.Subjects.Health(kind, HostName())
	if !b.Subjects.Roles {
		return []string{at, at + ".*.*"}
	}
	subjects := []string{b.Subjects.HealthBy(kind, HostName(), b.Control.NewInbox())}
	askers := []string{"operator", "health"}
	if kind == protocol.FrontDoor {
		askers = append(askers, "controller") // which has a front door too
	}
	for _, asker := range askers {
		if by := b.Subjects.HealthBy(kind, HostName(), protocol.InboxPrefix(asker, "")+"."); by != subjects[0] {
			subjects = append(subjects, by)
		}
	}
	return subjects
}

// QueryHealth queries the services of one kind on this host, over any connection, and
// returns the first answer. id is the instance, "" for any. Until ctx ends it tries
// again if there is no subscriber: a service may be changing its role.
func QueryHealth(ctx context.Context, nc *nats.Conn, subjects protocol.Subjects, kind protocol.ServiceKind, id string) (protocol.Heartbeat, error) {
	var nobody error
	for {
		m, err := requestAt(ctx, nc, subjects.HealthBy(kind, HostName(), nc.NewInbox()), protocol.HealthInbox(nc.NewInbox()), []byte(id))
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

// requestAt is a request whose answer comes to this inbox.
func requestAt(ctx context.Context, nc *nats.Conn, subject, inbox string, body []byte) (*nats.Msg, error) {
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }() // it ends with the connection at the latest
	if err := nc.PublishRequest(subject, inbox, body); err != nil {
		return nil, err
	}
	return sub.NextMsgWithContext(ctx)
}
