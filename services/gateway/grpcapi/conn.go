package grpcapi

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/peer"

	"clockwork/pkg/protocol"
)

// conn is a client's connection, and what is held for it: messages that are not whole, and
// answers that it has not read.
type conn struct {
	net.Conn
	of *listener

	mu     sync.Mutex // guards what is below
	meter  meter
	closed bool
	unread int64     // bytes of answers
	read   time.Time // when the client read one whole last, or had none to read
}

// errHeld ends a connection that holds more than it may.
var errHeld = errors.New("the connection holds more bytes of messages than may be held")

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n == 0 {
		return n, err
	}
	c.mu.Lock()
	var fault *protocol.Error
	if !c.closed {
		fault = c.meter.feed(p[:n], time.Now())
	}
	c.mu.Unlock()
	if fault != nil {
		c.giveUp(fault.Message)
		return 0, errHeld
	}
	return n, err
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.meter.end()
	c.of.unread.Add(-c.unread)
	c.unread = 0
	c.mu.Unlock()
	if first {
		c.of.forget(c)
	}
	return c.Conn.Close()
}

// giveUp ends the connection of a client that holds too much or takes too long.
func (c *conn) giveUp(why string) {
	c.of.log.Debug("connection ended", "client", c.Conn.RemoteAddr().String(), "why", why)
	_ = c.Close() // the library sees that it ended
}

// RemoteAddr implements net.Conn: by it the calls of a connection find it.
func (c *conn) RemoteAddr() net.Addr { return &address{c.Conn.RemoteAddr(), c} }

type address struct {
	net.Addr
	conn *conn
}

// connOf is the connection of a call.
func connOf(ctx context.Context) *conn {
	p, _ := peer.FromContext(ctx)
	return p.Addr.(*address).conn
}

// send counts an answer that is given to the library, until sent is called for it.
func (c *conn) send(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if c.unread == 0 {
		c.read = time.Now()
	}
	c.unread += bytes
	c.of.unread.Add(bytes)
}

// sent is called when the client has taken an answer, or never will.
func (c *conn) sent(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.read = time.Now()
	c.unread -= bytes
	c.of.unread.Add(-bytes)
}

// check ends the connection if its client takes too long.
func (c *conn) check(now time.Time) {
	c.mu.Lock()
	began, unread, read := c.meter.oldest(), c.unread, c.read
	c.mu.Unlock()
	switch {
	case !began.IsZero() && now.Sub(began) > c.of.config.MessageTime:
		c.giveUp("a message did not come in time")
	case unread > 0 && now.Sub(read) > c.of.config.AnswerTime:
		c.giveUp("an answer was not read in time")
	}
}

// listener accepts connections, and ends those whose clients take too long.
type listener struct {
	net.Listener
	config Config
	meter  func() meter
	log    *slog.Logger
	unread atomic.Int64 // of all connections

	mu    sync.Mutex
	conns map[*conn]struct{}
	quit  chan struct{} // closed by stop
	ended chan struct{} // closed when nothing is watched any more
	once  sync.Once
}

func newListener(of net.Listener, config Config, newMeter func() meter, log *slog.Logger) *listener {
	l := &listener{Listener: of, config: config, meter: newMeter, log: log, conns: map[*conn]struct{}{}, quit: make(chan struct{}), ended: make(chan struct{})}
	go l.watch()
	return l
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, of: l, meter: l.meter()}
	l.mu.Lock()
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	return c, nil
}

// forget leaves out a connection that is closed.
func (l *listener) forget(c *conn) {
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

// watch looks at all connections from time to time.
func (l *listener) watch() {
	defer close(l.ended)
	every := time.NewTicker(min(l.config.MessageTime, l.config.AnswerTime) / 8)
	defer every.Stop()
	for {
		select {
		case <-l.quit:
			return
		case now := <-every.C:
			for _, c := range l.open() {
				c.check(now)
			}
		}
	}
}

func (l *listener) open() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		list = append(list, c)
	}
	return list
}

// stop ends the watch; the connections are closed by then.
func (l *listener) stop() {
	l.once.Do(func() { close(l.quit) })
	<-l.ended
}
