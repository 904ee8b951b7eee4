package bench

import (
	"time"

	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// Pool bounds how many requests of its streams are in flight. Those without a place wait in
// the client, in the order in which they were due; the wait counts into their latency. One
// that waited for its SLO and Config.Grace is not sent any more and counts as NoAnswer.
type Pool struct {
	Streams []int
	Places  int
}

// pool is a Pool during a run; only the sender uses it.
type pool struct {
	free    int
	waiting []workload.Arrival
}

// pools returns the pool of each stream, nil for a stream without one.
func pools(of []Pool, streams int) []*pool {
	by := make([]*pool, streams)
	for _, p := range of {
		shared := &pool{free: p.Places}
		for _, s := range p.Streams {
			by[s] = shared
		}
	}
	return by
}

// take returns the requests that now have a place.
func (p *pool) take() (sent []workload.Arrival) {
	n := min(p.free, len(p.waiting))
	sent, p.waiting = p.waiting[:n], p.waiting[n:]
	p.free -= n
	return sent
}

// tooLate takes out the requests that waited too long, of those that came first.
func (p *pool) tooLate(now protocol.Time, expires func(workload.Arrival) protocol.Time) (gone []workload.Arrival) {
	for len(p.waiting) > 0 && expires(p.waiting[0]) <= now {
		gone = append(gone, p.waiting[0])
		p.waiting = p.waiting[1:]
	}
	return gone
}

// leastWithin is what a request is told to have left when it has less: servers refuse a
// deadline that has passed as one that is none.
const leastWithin = time.Millisecond
