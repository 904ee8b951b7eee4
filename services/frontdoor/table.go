package frontdoor

import (
	"container/heap"
	"slices"
	"time"

	"clockwork/pkg/core/quota"
	"clockwork/pkg/protocol"
)

// table holds the requests without an answer, by number and by deadline. Who
// takes a request out answers it: that is what makes one answer of several
// outcomes; what it has of the limits is given back then. It is not safe for
// several goroutines.
type table struct {
	bySeq    map[uint64]*request
	byTime   deadlines
	bytes    int64
	maxCount int
	maxBytes int64
	limits   *quota.Ledger // also of those that are on their way here
}

func newTable(maxCount int, maxBytes int64, limits quota.Rules) *table {
	return &table{bySeq: map[uint64]*request{}, maxCount: maxCount, maxBytes: maxBytes, limits: quota.New(limits)}
}

// add takes a request in, or refuses it with OVERLOADED.
func (t *table) add(r *request) *protocol.Error {
	if len(t.bySeq) >= t.maxCount {
		refusal := protocol.Errorf(protocol.Overloaded, "%d requests are in flight at this front door", len(t.bySeq))
		refusal.Got, refusal.Limit = int64(len(t.bySeq)), int64(t.maxCount)
		return refusal
	}
	if t.bytes+int64(len(r.payload)) > t.maxBytes {
		refusal := protocol.Errorf(protocol.Overloaded, "%d bytes of requests are in flight at this front door", t.bytes)
		refusal.Got, refusal.Limit = t.bytes, t.maxBytes
		return refusal
	}
	t.bySeq[r.id.Seq] = r
	t.bytes += int64(len(r.payload))
	heap.Push(&t.byTime, r)
	return nil
}

// take removes a request; nil when it has its answer already.
func (t *table) take(seq uint64) *request {
	r := t.bySeq[seq]
	if r == nil {
		return nil
	}
	delete(t.bySeq, seq)
	t.bytes -= int64(len(r.payload))
	t.limits.Return(r.share)
	heap.Remove(&t.byTime, r.place)
	return r
}

// expired takes a request whose deadline has come, nil if there is none.
func (t *table) expired(now time.Time) *request {
	if len(t.byTime) == 0 || now.Before(t.byTime[0].deadline) {
		return nil
	}
	return t.take(t.byTime[0].id.Seq)
}

// next returns the earliest deadline, zero when nothing waits.
func (t *table) next() time.Time {
	if len(t.byTime) == 0 {
		return time.Time{}
	}
	return t.byTime[0].deadline
}

// all returns every request in the order of their numbers.
func (t *table) all() []*request {
	rs := slices.Clone([]*request(t.byTime))
	slices.SortFunc(rs, func(a, b *request) int {
		if a.id.Seq < b.id.Seq {
			return -1
		}
		return 1
	})
	return rs
}

// deadlines is a heap of requests, earliest deadline first.
type deadlines []*request

func (d deadlines) Len() int { return len(d) }
func (d deadlines) Less(i, j int) bool {
	if d[i].deadline.Equal(d[j].deadline) {
		return d[i].id.Seq < d[j].id.Seq
	}
	return d[i].deadline.Before(d[j].deadline)
}
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].place, d[j].place = i, j
}

// Push and Pop serve container/heap.
func (d *deadlines) Push(x any) {
	r := x.(*request)
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
