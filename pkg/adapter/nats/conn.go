package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"clockwork/pkg/adapter/local"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// Config says how a service connects to the broker.
type Config struct {
	// URL of the broker; ignored with InProcess.
	URL string
	// InProcess is an embedded server to connect to without a socket.
	InProcess *server.Server
	// Local carries payloads between the services that share it, nil for none.
	Local *local.Exchange
	// Credentials are not used with InProcess.
	Credentials Credentials
	// Bound: only clockwork init may create streams and buckets; this process waits
	// until they exist.
	Bound bool
	// Prefix of all subjects.
	Prefix string
	// Name is shown in the broker's connection list.
	Name string
	// Identity is whose key the process needs.
	Identity Identity
	// Replicas is how many of the broker's servers store each stream; 0 means one on a
	// single server, and three on a cluster.
	Replicas int
	Log      *slog.Logger
}

// Bus is a service's connections: one for small control messages and one for payloads,
// since on a shared one small messages wait behind large ones. Its methods may be called
// from any goroutine.
type Bus struct {
	Control  *nats.Conn
	Payload  *nats.Conn
	Local    *local.Exchange // Config.Local
	Subjects protocol.Subjects
	JS       jetstream.JetStream
	Log      *slog.Logger

	config Config
	store  store // for small values
	opened []*nats.Conn
	links  []*link // of opened, in the same order

	opening sync.Mutex // guards buffer
	buffer  store      // for the startup buffer, once it is opened
	dropped atomic.Int64
	closed  chan struct{} // one value per connection that ended
	health  storeHealth
	notices notices
}

// maxConnections bounds the connections of a Bus: Control, Payload, and two to JetStream.
const maxConnections = 4

// Open connects. It waits for the broker until ctx ends, so that services may start in
// any order.
func Open(ctx context.Context, c Config) (*Bus, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if err := protocol.CheckPrefix(c.Prefix); err != nil {
		return nil, err
	}
	if err := c.Identity.check(c.Credentials); err != nil {
		return nil, err
	}
	b := &Bus{
		Local:    c.Local,
		Subjects: protocol.Subjects{Prefix: c.Prefix},
		Log:      c.Log.With("service", c.Name),
		config:   c,
		closed:   make(chan struct{}, maxConnections),
	}
	if err := b.open(ctx); err != nil {
		b.Close()
		return nil, err
	}
	if err := b.checkBroker(ctx); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (b *Bus) open(ctx context.Context) error {
	inbox, err := b.config.Credentials.inbox()
	if err != nil {
		return err
	}
	b.Subjects.Roles = b.config.InProcess == nil && protocol.RoleOf(inbox) != ""
	if b.Control, err = b.connect(ctx, b.config.Name, b.config.Credentials.Options); err != nil {
		return err
	}
	if b.Payload, err = b.connect(ctx, b.config.Name+" payload", b.config.Credentials.Options); err != nil {
		return err
	}
	if b.store, err = b.openStore(ctx, "store", b.Control); err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}
	b.JS = b.store.js
	return nil
}

// connect opens a connection, as the user that the function says, which Close closes.
func (b *Bus) connect(ctx context.Context, name string, as func() ([]nats.Option, error)) (*nats.Conn, error) {
	of := newLink()
	nc, err := b.dial(ctx, of, name, as, nats.ClosedHandler(func(*nats.Conn) { b.closed <- struct{}{} }))
	if err != nil {
		return nil, err
	}
	b.opened, b.links = append(b.opened, nc), append(b.links, of)
	return nc, nil
}

// dial opens a connection, as the user that the function says.
func (b *Bus) dial(ctx context.Context, of *link, name string, as func() ([]nats.Option, error), more ...nats.Option) (*nats.Conn, error) {
	c := b.config
	options := []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond),
		// A stale action after a reconnect is worse than an error now.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.ErrorHandler(b.onError),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.Log.Warn("lost the broker", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { b.Log.Info("reached the broker again", "url", Redacted(nc.ConnectedUrl())) }),
		// A broker that reloads its users may not know a user for a moment.
		nats.IgnoreAuthErrorAbort(),
	}
	options = append(options, more...)
	url := c.URL
	if c.InProcess != nil {
		options = append(options, nats.InProcessServer(inProcess{of, c.InProcess}))
		url = ""
	} else {
		who, err := as()
		if err != nil {
			return nil, err
		}
		options = append(append(options, who...), nats.SetCustomDialer(of))
	}
	var last error
	var complaint Complaint
	for {
		nc, err := Connect(url, options...)
		if err == nil {
			of.nc = nc
			return nc, nil
		}
		if b.Payload != nil && errors.Is(err, nats.ErrAuthorization) { // the first user was let in
			err = fmt.Errorf("%w: the broker does not know this key's user for JetStream; run clockwork keys again, then send SIGHUP to the broker", err)
		}
		switch {
		case refused(err):
			complaint.Warn(b.Log, time.Now(), "waiting for the broker, which refuses this process", err)
		case last == nil:
			b.Log.Info("waiting for the broker", "error", err)
		}
		last = err
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w; %w", last, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// copies returns how many servers are to store each stream.
func (b *Bus) copies() int {
	switch {
	case b.config.Replicas > 0:
		return b.config.Replicas
	case b.Control.ConnectedClusterName() == "":
		return 1
	}
	return clusterCopies
}

// clusterCopies is the least number that survives the loss of a server.
const clusterCopies = 3

func (b *Bus) onError(_ *nats.Conn, sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrSlowConsumer) {
		b.dropped.Add(1)
	}
	if errors.Is(err, nats.ErrPermissionViolation) || errors.Is(err, nats.ErrAuthorization) {
		b.Notice(slog.LevelError, "permission denied by the broker", "", "error", err)
		return
	}
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	b.Notice(slog.LevelError, "broker reports", subject, "subject", subject, "error", err)
}

// Dropped returns how often a subscription overflowed and lost messages.
func (b *Bus) Dropped() int64 { return b.dropped.Load() }

// ours are the links of Control and Payload, which are opened first.
func (b *Bus) ours() []*link { return b.links[:2] }

// Reconnects returns how often Control or Payload was connected again. It is incremented
// before any message passes through the new connection. Like Connected it waits for nobody.
func (b *Bus) Reconnects() (sum uint64) {
	for _, l := range b.ours() {
		sum += l.again()
	}
	return sum
}

// Connected reports whether messages pass through Control and Payload.
func (b *Bus) Connected() bool { return b.ours()[0].up() && b.ours()[1].up() }

// Limits of a subscription's queue inside the process.
const (
	pendingMessages = 1 << 20
	pendingBytes    = MaxPending
)

// Subscribe calls handle, from one goroutine, for every message of a subject.
func (b *Bus) Subscribe(nc *nats.Conn, subject string, handle nats.MsgHandler) (*nats.Subscription, error) {
	return b.QueueSubscribe(nc, subject, "", handle)
}

// QueueSubscribe is Subscribe as a member of a queue group. Messages that JetStream sent
// do not reach handle.
func (b *Bus) QueueSubscribe(nc *nats.Conn, subject, group string, handle nats.MsgHandler) (*nats.Subscription, error) {
	sub, err := nc.QueueSubscribe(subject, group, func(m *nats.Msg) {
		if b.fromJetStream(m) {
			return
		}
		handle(m)
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	if err := sub.SetPendingLimits(pendingMessages, pendingBytes); err != nil {
		return nil, fmt.Errorf("limit %s: %w", subject, err)
	}
	return sub, nil
}

// Event publishes an event for people and tools. Losing one is not an error.
func (b *Bus) Event(e protocol.Event) {
	e.At, e.Message = time.Now().UTC(), protocol.ShortText(e.Message, protocol.MaxText)
	if err := b.Control.Publish(b.Subjects.Event(e.Kind), wire.EncodeBody(protocol.JSON, e)); err != nil {
		b.Log.Debug("event not published", "kind", e.Kind, "error", err)
	}
}

// Close sends queued messages, closes the connections and waits until every callback has
// returned.
func (b *Bus) Close() {
	for _, nc := range b.opened {
		if err := nc.Drain(); err != nil {
			nc.Close()
		}
	}
	for range b.opened {
		<-b.closed
	}
}
