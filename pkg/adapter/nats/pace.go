package bus

import (
	"net"
	"sync"
	"time"
)

// How fast lanes are read, in bytes per second: each may have laneRate, whatever the others
// do; what it reads beyond that, it takes from sharedRate, which all of a front door's lanes
// share. So one client alone is nearly as fast as the front door, and no flood keeps a lane
// from its own rate, nor the front door from its other work.
const (
	laneRate   = 64 << 20
	sharedRate = 1 << 30
	// burst is how long either rate may be saved up.
	burst = 50 * time.Millisecond
	// messageCost is what taking a message costs beside its bytes, in bytes: some ten
	// microseconds, however small it is, in which a processor reads so much.
	messageCost = 16 << 10
)

// rate is a token bucket of bytes, which may be overdrawn: what a message costs is known once
// it was read. The zero value is a new, full one.
type rate struct {
	tokens float64
	at     time.Time
}

// fill adds what came since the last call.
func (r *rate) fill(perSecond float64, now time.Time) {
	most := perSecond * burst.Seconds()
	if r.at.IsZero() {
		r.tokens = most
	} else {
		r.tokens = min(most, r.tokens+perSecond*now.Sub(r.at).Seconds())
	}
	r.at = now
}

// sharedPace is what the paces of one front door share.
type sharedPace struct {
	mu   sync.Mutex
	rate rate
	now  func() time.Time
}

// readPace is how fast one lane is read. Its methods may be called from any goroutine; a nil one
// bounds nothing.
type readPace struct {
	shared *sharedPace
	own    rate // guarded by shared.mu
}

// wait returns for how long the lane must not be read: until what it overdrew is paid, if
// nobody else takes from the shared rate.
func (p *readPace) wait() time.Duration {
	if p == nil {
		return 0
	}
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	p.spendNow(0)
	if p.own.tokens >= 0 {
		return 0
	}
	return time.Duration(-p.own.tokens/(laneRate+sharedRate)*float64(time.Second)) + time.Microsecond
}

// spend takes bytes from the lane's own rate, and what that does not have from the shared one.
// What neither has, the lane owes.
func (p *readPace) spend(bytes int) {
	if p == nil {
		return
	}
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	p.spendNow(bytes)
}

func (p *readPace) spendNow(bytes int) {
	now := p.shared.now()
	p.own.fill(laneRate, now)
	p.shared.rate.fill(sharedRate, now)
	p.own.tokens -= float64(bytes)
	if lent := min(-p.own.tokens, p.shared.rate.tokens); lent > 0 {
		p.own.tokens += lent
		p.shared.rate.tokens -= lent
	}
}

// pacedConn is read at a pace: while it is not, the system has the broker send no more, and
// what the broker then drops is of this lane alone.
type pacedConn struct {
	net.Conn
	pace  *readPace
	close sync.Once
	ended chan struct{} // closed by Close
}

func (c *pacedConn) Read(b []byte) (int, error) {
	for nap := c.pace.wait(); nap > 0; nap = c.pace.wait() {
		select {
		case <-time.After(nap):
		case <-c.ended:
			return 0, net.ErrClosed
		}
	}
	n, err := c.Conn.Read(b)
	c.pace.spend(n)
	return n, err
}

func (c *pacedConn) Close() error {
	c.close.Do(func() { close(c.ended) })
	return c.Conn.Close()
}
