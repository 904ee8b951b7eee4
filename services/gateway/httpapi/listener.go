package httpapi

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// listener accepts connections. Beyond as many as may be open, a client is told so, instead of
// waiting for one to end that may stay open for minutes.
type listener struct {
	net.Listener
	tls   *tls.Config   // nil: clients speak without
	open  chan struct{} // of those that are served
	full  chan struct{} // of those that are told that there are too many
	told  []byte        // what they are told
	tell  sync.WaitGroup
	close sync.Once
}

// maxFull bounds the connections that are told at a time that there are too many; those beyond
// end without an answer. fullTime bounds how long telling takes.
const (
	maxFull  = 64
	fullTime = 2 * time.Second
)

func newListener(config *Config) *listener {
	refusal := protocol.Errorf(protocol.Overloaded, "%d connections are open at this gateway", config.Connections)
	refusal.Got, refusal.Limit = int64(config.Connections), int64(config.Connections)
	body := wire.EncodeHTTPError(refusal)
	status := refusal.Code.Row().Number
	return &listener{
		Listener: config.Listener, tls: config.TLS,
		open: make(chan struct{}, config.Connections), full: make(chan struct{}, maxFull),
		told: fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			status, http.StatusText(status), len(body), body),
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.open <- struct{}{}:
			return l.served(c), nil
		default:
			l.turnAway(c)
		}
	}
}

// Close implements net.Listener. It waits for those who are told that there are too many.
func (l *listener) Close() (err error) {
	l.close.Do(func() {
		err = l.Listener.Close()
		l.tell.Wait()
	})
	return err
}

// served is a connection that counts until it is closed.
func (l *listener) served(c net.Conn) net.Conn {
	counted := &openConn{Conn: c, of: l}
	if l.tls == nil {
		return counted
	}
	return tls.Server(counted, l.tls)
}

type openConn struct {
	net.Conn
	of   *listener
	once sync.Once
}

// Close implements net.Conn.
func (c *openConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.of.open })
	return err
}

// turnAway tells a client that there are too many, on a goroutine of its own.
func (l *listener) turnAway(c net.Conn) {
	select {
	case l.full <- struct{}{}:
	default:
		_ = c.Close()
		return
	}
	l.tell.Go(func() {
		l.tellFull(c)
		<-l.full
	})
}

// tellFull answers, and reads what the client may have sent: if it were left unread, the client
// might lose the answer with the connection. Errors mean that the client is gone.
func (l *listener) tellFull(c net.Conn) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(fullTime))
	over := c
	if l.tls != nil {
		config := l.tls.Clone()
		if current := config.GetConfigForClient; current != nil {
			config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				found, err := current(hello)
				if err == nil {
					found = found.Clone()
					found.NextProtos = []string{"http/1.1"}
				}
				return found, err
			}
		}
		over = tls.Server(c, config)
	}
	if _, err := over.Write(l.told); err != nil {
		return
	}
	if half, is := over.(interface{ CloseWrite() error }); is {
		_ = half.CloseWrite()
	}
	_, _ = io.CopyN(io.Discard, over, maxHeader)
}
