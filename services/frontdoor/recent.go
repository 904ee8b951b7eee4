package frontdoor

import (
	"sync"
	"time"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
)

// These are the numbers of remembered requests, served and not served.
const (
	keptServed = 1 << 14
	keptMissed = 1 << 13
)

// recent remembers the latest answered requests. Any goroutine may use it.
type recent struct {
	mu             sync.Mutex
	served, missed ring
}

// ring is a ring buffer of the latest requests.
type ring struct {
	list []answered
	next int // index of the oldest entry, once the ring is full
	size int
}

// answered describes an answered request.
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

// newRing allocates the whole ring at once: growing would copy its content
// repeatedly.
func newRing(size int) ring { return ring{list: make([]answered, 0, size), size: size} }

// ofRequest returns the description of a request; ended is zero while the
// request is open.
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

// latest appends at most `most` requests for which meant is true, the latest
// first.
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

// find returns the latest requests for which meant is true.
func (k *recent) find(meant func(*answered) bool) []answered {
	k.mu.Lock()
	defer k.mu.Unlock()
	found := k.missed.latest(nil, protocol.MaxAlike, meant)
	return k.served.latest(found, protocol.MaxAlike, meant)
}

// record converts a to the protocol's form.
func (a *answered) record(door uint64) protocol.DoorRequest {
	o := &a.outcome
	d := protocol.DoorRequest{
		ClientID: a.client, Model: a.model, Code: o.code, Why: protocol.ShortText(o.why, protocol.MaxText), Arrived: a.arrived,
		SLOMS: protocol.Milliseconds(a.slo), LatencyMS: protocol.Milliseconds(a.ended), BufferedMS: protocol.Milliseconds(a.waited),
		SchedulerMS: protocol.Milliseconds(a.dispatched),
		QueueMS:     protocol.Milliseconds(o.queue), InputMS: protocol.Milliseconds(o.input), ExecMS: protocol.Milliseconds(o.exec), OutputMS: protocol.Milliseconds(o.output),
		Items: a.items, Batch: o.batch, Worker: a.worker, Cold: a.cold,
	}
	if a.seq != 0 {
		d.ID = protocol.RequestID{Door: door, Seq: a.seq}.String()
	}
	// The rest: messages, the front door, and the whole latency of a refused
	// request.
	d.ReplyMS = max(0, protocol.Milliseconds(a.ended-a.dispatched-o.queue-o.input-o.exec-o.output))
	return d
}
