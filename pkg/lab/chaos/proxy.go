package chaos

import (
	"fmt"
	"io"
	"net"
	"sync"
)

// Proxy forwards the connections of one service to the broker. While it is cut,
// the data of both sides waits, as in a network that drops packets: neither side
// sees an error, and TCP delivers everything in the end.
type Proxy struct {
	listener net.Listener
	to       string
	mu       sync.Mutex
	open     *sync.Cond
	cut      bool
	broken   bool
	held     int // how many times data had to wait
	closed   bool
	conns    map[net.Conn]struct{}
	work     sync.WaitGroup
}

// NewProxy returns a proxy to an address, listening on a free loopback port.
func NewProxy(to string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open proxy: %w", err)
	}
	p := &Proxy{listener: l, to: to, conns: map[net.Conn]struct{}{}}
	p.open = sync.NewCond(&p.mu)
	p.work.Go(p.accept)
	return p, nil
}

// Address returns the address on which the proxy listens.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Cut stops all data until Heal.
func (p *Proxy) Cut() { p.set(true) }

// Heal ends a Cut or a Break.
func (p *Proxy) Heal() {
	p.mu.Lock()
	p.broken = false
	p.mu.Unlock()
	p.set(false)
}

// Break closes all connections, and every new one at once, until Heal: both sides see it.
func (p *Proxy) Break() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = true
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *Proxy) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	p.open.Broadcast()
}

// Close closes the proxy and its connections.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	_ = p.listener.Close() // the error has no consequences
	for c := range p.conns {
		_ = c.Close()
	}
	p.open.Broadcast()
	p.mu.Unlock()
	p.work.Wait()
}

func (p *Proxy) accept() {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.work.Go(func() { p.serve(from) })
	}
}

func (p *Proxy) serve(from net.Conn) {
	defer p.forget(from)
	if !p.keep(from) || !p.flows() {
		return
	}
	to, err := net.Dial("tcp", p.to)
	if err != nil {
		return // the broker is down: the client sees a closed connection
	}
	defer p.forget(to)
	if !p.keep(to) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.copy(to, from) })
	both.Go(func() { p.copy(from, to) })
	both.Wait()
}

func (p *Proxy) copy(to, from net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !p.flows() {
				break
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				break
			}
		}
		if err != nil {
			if err != io.EOF {
				break
			}
			p.flows() // delay the end of the connection as well
			break
		}
	}
	_ = to.Close() // when one side ends, close both
	_ = from.Close()
}

// flows waits while the proxy is cut. It returns false when the proxy is closed.
func (p *Proxy) flows() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		p.held++
	}
	for p.cut && !p.closed {
		p.open.Wait()
	}
	return !p.closed
}

// Held returns how many times data had to wait because of a Cut.
func (p *Proxy) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
	return !p.closed && !p.broken
}

func (p *Proxy) forget(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}
