package frontdoor

import (
	"sync"
	"time"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
)

// How many of the latest requests a front door remembers, of those that it served and
// of those that it did not.
const (
	keptServed = 1 << 14
	keptMissed = 1 << 13
)

// recent is what a door remembers of the latest requests that it answered. Any
// goroutine may use it.
type recent struct {
	mu             sync.Mutex
	served, missed ring
}

// ring holds the latest.
type ring struct {
	list []answered
	next int // where the next one goes, once the ring is full
	size int
}

// answered is a request that has its answer.
type answered struct {
	seq           uint64 // 0: it never became a request
	client, model string
	worker        string
	outcome       outcome
	arrived       time.Time
	slo           time.Duration
	waited        time.Duration // for activation
	dispatched    time.Duration // after arrival, 0 for never
	ended         time.Duration // after arrival
	items         int
	cold          bool
}

func newRecent() *recent {
	return &recent{served: newRing(keptServed), missed: newRing(keptMissed)}
}

// newRing has its room at once: to grow would copy all of it, time and again.
func newRing(size int) ring { return ring{list: make([]answered, 0, size), size: size} }

// ofRequest is what is remembered of a request; ended is zero while it is open.
func ofRequest(r *frontdoor.Request, ended time.Time) answered {
	a := answered{
		seq: r.ID.Seq, client: r.ClientID, model: r.Model.Name, worker: r.Worker, outcome: clientOf(r).outcome,
		arrived: wall(r.Arrived), slo: r.Deadline.Sub(r.Arrived), waited: r.Waited, items: r.Batch, cold: r.Cold,
	}
	if r.Dispatched != 0 {
		a.dispatched = r.Dispatched.Sub(r.Arrived)
	}
	if !ended.IsZero() && r.Arrived != 0 {
		a.ended = ended.Sub(a.arrived)
	}
	return a
}

func (k *recent) add(a answered) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a.outcome.code == protocol.OK {
		k.served.put(a)
	} else {
		k.missed.put(a)
	}
}

func (r *ring) put(a answered) {
	if len(r.list) < r.size {
		r.list = append(r.list, a)
		return
	}
	r.list[r.next] = a
	r.next = (r.next + 1) % r.size
}

// latest appends the latest that are meant, at most so many, the latest first.
func (r *ring) latest(found []answered, most int, meant func(*answered) bool) []answered {
	for i := range r.list {
		at := (r.next - 1 - i + 2*len(r.list)) % len(r.list)
		if most > 0 && meant(&r.list[at]) {
			most--
			found = append(found, r.list[at])
		}
	}
	return found
}

// find returns the latest that are meant.
func (k *recent) find(meant func(*answered) bool) []answered {
	k.mu.Lock()
	defer k.mu.Unlock()
	found := k.missed.latest(nil, protocol.MaxAlike, meant)
	return k.served.latest(found, protocol.MaxAlike, meant)
}

// record is how it is told.
func (a *answered) record(door uint64) protocol.DoorRequest {
	o := &a.outcome
	d := protocol.DoorRequest{
		ClientID: a.client, Model: a.model, Code: o.code, Why: o.why, Arrived: a.arrived,
		SLOMS: protocol.Milliseconds(a.slo), LatencyMS: protocol.Milliseconds(a.ended), BufferedMS: protocol.Milliseconds(a.waited),
		SchedulerMS: protocol.Milliseconds(a.dispatched),
		QueueMS:     protocol.Milliseconds(o.queue), InputMS: protocol.Milliseconds(o.input), ExecMS: protocol.Milliseconds(o.exec), OutputMS: protocol.Milliseconds(o.output),
		Items: a.items, Batch: o.batch, Worker: a.worker, Cold: a.cold,
	}
	if a.seq != 0 {
		d.ID = protocol.RequestID{Door: door, Seq: a.seq}.String()
	}
	// What is left: messages, the door, and all of the way of one that was refused.
	d.ReplyMS = max(0, protocol.Milliseconds(a.ended-a.dispatched-o.queue-o.input-o.exec-o.output))
	return d
}
