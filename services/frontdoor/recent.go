package frontdoor

import (
	"sync"
	"time"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/ring"
)

// These are the numbers of remembered requests, served and not served.
const (
	keptServed = 1 << 14
	keptMissed = 1 << 13
)

// recent remembers the latest answered requests. Any goroutine may use it.
type recent struct {
	mu             sync.Mutex
	served, missed ring.Ring[answered]
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
	return &recent{served: ring.New[answered](keptServed), missed: ring.New[answered](keptMissed)}
}

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
		*k.served.Slot() = a
	} else {
		*k.missed.Slot() = a
	}
}

// latest appends at most protocol.MaxAlike requests for which meant is true, the latest
// first.
func latest(of *ring.Ring[answered], found []answered, meant func(*answered) bool) []answered {
	most := len(found) + protocol.MaxAlike
	of.Latest(func(a *answered) bool {
		if meant(a) {
			found = append(found, *a)
		}
		return len(found) < most
	})
	return found
}

// find returns the latest requests for which meant is true.
func (k *recent) find(meant func(*answered) bool) []answered {
	k.mu.Lock()
	defer k.mu.Unlock()
	found := latest(&k.missed, nil, meant)
	return latest(&k.served, found, meant)
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
