package metrics

import (
	"net"
	"sync"
)

// crowd is a listener that takes only so many connections at a time. More wait with
// the kernel, so that they cost the process no file descriptors.
type crowd struct {
	net.Listener
	room   chan struct{}
	closed chan struct{}
	close  func()
}

func newCrowd(l net.Listener, most int) *crowd {
	closed := make(chan struct{})
	return &crowd{Listener: l, room: make(chan struct{}, most), closed: closed, close: sync.OnceFunc(func() { close(closed) })}
}

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	select {
	case c.room <- struct{}{}:
	case <-c.closed:
		return nil, net.ErrClosed
	}
	conn, err := c.Listener.Accept()
	if err != nil {
		<-c.room
		return nil, err
	}
	return &guest{Conn: conn, leave: sync.OnceFunc(func() { <-c.room })}, nil
}

// Close implements net.Listener.
func (c *crowd) Close() error {
	c.close()
	return c.Listener.Close()
}

// guest is one of its connections.
type guest struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (g *guest) Close() error {
	defer g.leave()
	return g.Conn.Close()
}
