package bus

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// link knows whether a connection is up, and whether it is another one than before,
// without the lock of nats.Conn: that lock is held while a message is written, which
// takes as long as the broker does not take it. Its methods may be called from any
// goroutine.
type link struct {
	nc   *nats.Conn
	dial func(network, address string) (net.Conn, error)
	// made counts the connections to a broker. It is incremented before any message passes
	// through the new one. ended is the number of the last one that has ended, opened that
	// of the last one with which nats.Conn was seen connected.
	made, ended, opened atomic.Uint64
}

// dialTimeout bounds the making of a connection, as in nats.go.
const dialTimeout = 2 * time.Second

func newLink() *link { return &link{dial: (&net.Dialer{Timeout: dialTimeout}).Dial} }

// Dial implements nats.CustomDialer.
func (l *link) Dial(network, address string) (net.Conn, error) {
	return l.number(l.dial(network, address))
}

// inProcess makes connections to a server in this process.
type inProcess struct {
	link   *link
	server nats.InProcessConnProvider
}

// InProcessConn implements nats.InProcessConnProvider.
func (p inProcess) InProcessConn() (net.Conn, error) { return p.link.number(p.server.InProcessConn()) }

// number counts a connection that was made.
func (l *link) number(c net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return &numbered{c, l, l.made.Add(1)}, nil
}

// numbered is one connection of a link.
type numbered struct {
	net.Conn
	link   *link
	number uint64
}

// Close notes that the connection has ended; nats.Conn closes each that fails.
func (c *numbered) Close() error {
	for {
		was := c.link.ended.Load()
		if was >= c.number || c.link.ended.CompareAndSwap(was, c.number) {
			return c.Conn.Close()
		}
	}
}

// up reports whether messages pass: it asks nats.Conn once for each connection, whether the
// broker has let it in.
func (l *link) up() bool {
	n := l.made.Load()
	if l.ended.Load() >= n {
		return false
	}
	if l.opened.Load() == n {
		return true
	}
	if !l.nc.IsConnected() || l.made.Load() != n {
		return false
	}
	l.opened.Store(n)
	return true
}

// again returns how often another connection was made.
func (l *link) again() uint64 { return max(1, l.made.Load()) - 1 }
