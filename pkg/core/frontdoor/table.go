package frontdoor

import (
	"cmp"
	"container/heap"
	"slices"

	"clockwork/pkg/core/quota"
	"clockwork/pkg/protocol"
)

// table holds the requests without an answer, by number and by deadline. Who takes a
// request out answers it: that makes one answer of several outcomes; what it has of the
// limits is given back then.
type table struct {
	// bySeq and byTime hold the same requests: by RequestID.Seq, and as a heap by deadline.
	bySeq  map[uint64]*Request
	byTime deadlines
	// bytes is the sum of their payloads. maxCount and maxBytes are Config.MaxInFlight and
	// MaxInFlightBytes.
	bytes    int64
	maxCount int
	maxBytes int64
	limits   *quota.Ledger // also of those that are on their way here
	early    slots         // bytes of early outputs
	outputs  outputs
	// held is the room of claims in the startup buffer, which become requests; turn is that
	// of the one whose turn it is, while there is no room for it.
	held, turn room
}

// room is room in the table.
type room struct {
	// count is of requests, bytes of their payloads.
	count int
	bytes int64
}

func (r room) and(o room) room { return room{r.count + o.count, r.bytes + o.bytes} }

// hold takes room for a request that comes later, or returns false. What is larger than the
// table finds room while nothing else is there. What its outputs take is not known yet.
func (t *table) hold(r room) bool {
	taken := room{len(t.bySeq), t.bytes}.and(t.held)
	if taken.count+r.count > t.maxCount || taken.bytes+r.bytes > t.maxBytes && taken.bytes > 0 || t.outputs.bytes >= t.outputs.max {
		return false
	}
	t.held = t.held.and(r)
	return true
}

// release gives back room that was held.
func (t *table) release(r room) { t.held = t.held.and(room{-r.count, -r.bytes}) }

func newTable(config *Config) table {
	return table{bySeq: map[uint64]*Request{}, maxCount: config.MaxInFlight, maxBytes: config.MaxInFlightBytes,
		limits: quota.New(config.Limits), early: newSlots(config.EarlyBytes),
		outputs: outputs{max: config.MaxInFlightOutputs, of: map[string]int64{}}}
}

// add takes a request in, or refuses it with OVERLOADED. One that comes from a client leaves
// those in the startup buffer the room that they wait for: they were let in before.
func (t *table) add(now protocol.Time, r *Request) *protocol.Error {
	taken := room{len(t.bySeq), t.bytes}.and(t.held)
	if r.Buffered == 0 {
		taken = taken.and(t.turn)
	}
	if taken.count >= t.maxCount {
		refusal := protocol.Errorf(protocol.Overloaded, "%d requests are in flight at this front door", taken.count)
		refusal.Got, refusal.Limit = int64(taken.count), int64(t.maxCount)
		return refusal
	}
	if taken.bytes+int64(len(r.Payload)) > t.maxBytes {
		refusal := protocol.Errorf(protocol.Overloaded, "%d bytes of requests are in flight at this front door", taken.bytes)
		refusal.Got, refusal.Limit = taken.bytes, t.maxBytes
		return refusal
	}
	outputs := r.outputBytes()
	if refusal := t.outputs.full(now, r.Tenant, outputs); refusal != nil && r.Buffered == 0 {
		return refusal
	}
	t.bySeq[r.ID.Seq] = r
	t.bytes += int64(len(r.Payload))
	t.outputs.add(r.Tenant, outputs)
	heap.Push(&t.byTime, r)
	return nil
}

// take removes a request; nil when it has its answer already.
func (t *table) take(seq uint64) *Request {
	r := t.bySeq[seq]
	if r == nil {
		return nil
	}
	delete(t.bySeq, seq)
	t.bytes -= int64(len(r.Payload))
	t.outputs.add(r.Tenant, -r.outputBytes())
	t.limits.Return(r.share)
	t.dropEarly(r)
	heap.Remove(&t.byTime, r.place)
	return r
}

// expired takes a request whose deadline has come, nil if there is none.
func (t *table) expired(now protocol.Time) *Request {
	if len(t.byTime) == 0 || now < t.byTime[0].Deadline {
		return nil
	}
	return t.take(t.byTime[0].ID.Seq)
}

// next returns the earliest deadline, Never when nothing waits.
func (t *table) next() protocol.Time {
	if len(t.byTime) == 0 {
		return protocol.Never
	}
	return t.byTime[0].Deadline
}

// all returns every request in the order of their numbers.
func (t *table) all() []*Request {
	all := slices.Clone([]*Request(t.byTime))
	slices.SortFunc(all, byNumber)
	return all
}

func byNumber(a, b *Request) int { return cmp.Compare(a.ID.Seq, b.ID.Seq) }

// deadlines is a heap of requests, earliest deadline first.
type deadlines []*Request

func (d deadlines) Len() int { return len(d) }
func (d deadlines) Less(i, j int) bool {
	if d[i].Deadline == d[j].Deadline {
		return d[i].ID.Seq < d[j].ID.Seq
	}
	return d[i].Deadline < d[j].Deadline
}
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].place, d[j].place = i, j
}

// Push and Pop serve container/heap.
func (d *deadlines) Push(x any) {
	r := x.(*Request)
	r.place = len(*d)
	*d = append(*d, r)
}

// Pop removes the last element.
func (d *deadlines) Pop() any {
	last := len(*d) - 1
	r := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	return r
}
