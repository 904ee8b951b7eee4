package bus

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
)

// Lanes are the connections on which a front door hears requests, apart from those on which
// it hears its workers and the scheduler: what waits in the broker for one connection waits
// for all of it.
type Lanes struct {
	bus     *Bus
	conns   []*nats.Conn
	paces   []*readPace
	closed  sync.WaitGroup // of conns
	mapping mapping
}

// Lane is one connection, and what a front door hears on it.
type Lane struct {
	conn    *nats.Conn
	subject string
	pace    *readPace
}

// laneProtection says in a log line how far a flood of one client delays others.
var laneProtection = map[mapping]string{
	mapped:   "the broker keeps the requests of clients with names apart, in lanes: a flood of one client delays those in its own lane",
	unmapped: "the broker puts requests into no lanes: a flood of one client delays the requests of all",
	denied:   "this key may not use lanes: a flood of one client delays the requests of all; run clockwork keys again, send SIGHUP to the broker, and start this service again",
}

// mapping is what a broker does with a request of a client with a name.
type mapping int

const (
	denied   mapping = iota // this process may not find out
	unmapped                // it keeps its subject
	mapped                  // it is put into a lane
)

// OpenLanes connects once for requests without a name, and where the broker maps those with a
// name to lanes, once for each lane. On a broker with roles, which assures who is in which
// lane, each is read at its pace.
func (b *Bus) OpenLanes(ctx context.Context) (*Lanes, error) {
	found, err := b.findMapping()
	if err != nil {
		return nil, err
	}
	l := &Lanes{bus: b, mapping: found}
	b.Notice(slog.LevelInfo, laneProtection[found], "")
	names := []string{b.config.Name + " requests"}
	for i := range protocol.Lanes {
		if found == mapped {
			names = append(names, b.config.Name+" lane "+strconv.Itoa(i))
		}
	}
	if err := l.open(ctx, names); err != nil {
		l.Close()
		return nil, fmt.Errorf("open lanes: %w", err)
	}
	return l, nil
}

// open connects under each of these names, all at once, since a broker may be far away.
func (l *Lanes) open(ctx context.Context, names []string) error {
	shared := &sharedPace{now: time.Now}
	l.conns, l.paces = make([]*nats.Conn, len(names)), make([]*readPace, len(names))
	failed := make(chan error, len(names))
	for i, name := range names {
		of := newLink()
		if l.bus.Subjects.Roles {
			l.paces[i] = &readPace{shared: shared}
			of.dial = l.paces[i].dialer(of.dial)
		}
		go func() {
			nc, err := l.bus.dial(ctx, of, name, l.bus.config.Credentials.Options, nats.ClosedHandler(func(*nats.Conn) { l.closed.Done() }))
			l.conns[i] = nc
			failed <- err
		}()
	}
	var first error
	for range names {
		if err := <-failed; err != nil {
			first = err
		} else {
			l.closed.Add(1)
		}
	}
	return first
}

// dialer returns a dialer whose connections are read at the pace.
func (p *readPace) dialer(dial func(network, address string) (net.Conn, error)) func(network, address string) (net.Conn, error) {
	return func(network, address string) (net.Conn, error) {
		c, err := dial(network, address)
		if err != nil {
			return nil, err
		}
		return &pacedConn{Conn: c, pace: p, ended: make(chan struct{})}, nil
	}
}

// findMapping sends a request that nobody answers, as a client with a name would, and hears
// where it goes. No client has the name, since it is a role's.
func (b *Bus) findMapping() (mapping, error) {
	const name = frontDoorRole
	model := protocol.DoorName(RandomID())
	where := map[mapping]string{unmapped: b.Subjects.InferBy(model, name), mapped: b.Subjects.LaneBy(model, name)}
	heard := map[mapping]*nats.Subscription{}
	for at, subject := range where {
		sub, err := b.Control.SubscribeSync(subject)
		if err != nil {
			return denied, fmt.Errorf("subscribe to %s: %w", subject, err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		heard[at] = sub
	}
	if err := b.Control.Publish(where[unmapped], nil); err != nil {
		return denied, fmt.Errorf("find out about lanes: %w", err)
	}
	if err := b.Control.Flush(); err != nil { // whatever comes has come before the answer to this
		return denied, fmt.Errorf("find out about lanes: %w", err)
	}
	for at, sub := range heard {
		if n, _, err := sub.Pending(); err == nil && n > 0 {
			return at, nil
		}
	}
	return denied, nil
}

// All returns the lanes: first the one of requests without a name, and of those that the
// broker puts into no lane.
func (l *Lanes) All() []Lane {
	s, all := l.bus.Subjects, []Lane{}
	first := Lane{l.conns[0], s.Infer(">"), l.paces[0]}
	all = append(all, first)
	for i, nc := range l.conns[1:] {
		all = append(all, Lane{nc, s.Lane(i), l.paces[i+1]})
	}
	if l.mapping == unmapped { // nothing is lost where the broker begins to
		all = append(all, Lane{first.conn, s.LaneAll(), first.pace})
	}
	return all
}

// Subscribe is Bus.QueueSubscribe to the requests of a lane.
func (l *Lane) Subscribe(b *Bus, group string, handle nats.MsgHandler) (*nats.Subscription, error) {
	sub, err := b.QueueSubscribe(l.conn, l.subject, group, func(m *nats.Msg) {
		l.pace.spend(messageCost)
		handle(m)
	})
	if err != nil {
		return nil, err
	}
	return sub, l.conn.Flush() // the broker has the subscription now
}

// Close closes the connections, on which nothing is sent, all at once: one that looks for a
// broker that is gone closes only when that has failed, after seconds.
func (l *Lanes) Close() {
	var closing sync.WaitGroup
	for _, nc := range l.conns {
		if nc != nil {
			closing.Go(nc.Close)
		}
	}
	closing.Wait()
	l.closed.Wait()
}
