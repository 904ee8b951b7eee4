package sched

import (
	"math/rand/v2"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// plainWay is what is known of the answers of one front door and one class of sizes.
type plainWay struct {
	followed []executed      // executions whose claims are awaited
	took     []time.Duration // by answer
	last     protocol.Time   // when the last one was claimed, or a time forgotten
}

// wayKey is a front door and a class of sizes.
type wayKey struct {
	door uint64
	size int
}

// plainWays is the twin's knowledge of ways back, and what the world draws about them.
type plainWays struct {
	dice    *rand.Rand
	known   map[wayKey]*plainWay
	claimed map[protocol.RequestID]protocol.Time // claims that came before their results
	// bound counts requests for whose answer more was kept than the stated share, early
	// claims that came before their results.
	bound, early int
}

// wayFrom are the least sizes of the classes after the first.
var wayFrom = []int64{16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20}

func (w *world) way(s *protocol.Submission) (wayKey, *plainWay) {
	key := wayKey{door: s.ID.Door}
	bytes := w.spec(s.Model).OutputBytes() * int64(s.Batch)
	for key.size < len(wayFrom) && bytes >= wayFrom[key.size] {
		key.size++
	}
	if w.ways.known[key] == nil {
		w.ways.known[key] = &plainWay{}
	}
	return key, w.ways.known[key]
}

// value is the time that nine of ten of the latest 64 took, 0 if there are less than eight.
func (p *plainWay) value() time.Duration {
	latest := slices.Clone(p.took[max(0, len(p.took)-64):])
	if len(latest) < 8 {
		return 0
	}
	slices.Sort(latest)
	rank := 0.9 * float64(len(latest)-1)
	low := int(rank)
	return latest[low] + time.Duration((rank-float64(low))*float64(latest[min(low+1, len(latest)-1)]-latest[low]))
}

// wayEnded takes the end of a request's execution.
func (w *world) wayEnded(s *protocol.Submission, end protocol.Time) {
	_, of := w.way(s)
	if at, claimed := w.ways.claimed[s.ID]; claimed {
		of.took, of.last = append(of.took, max(0, at.Sub(end))), w.now
		w.ways.early++
		return
	}
	if end == 0 {
		return
	}
	next := executed{s.ID.Seq, end}
	switch at := slices.IndexFunc(of.followed, func(f executed) bool { return f.end == 0 || w.now.Sub(f.end) > time.Second }); {
	case at >= 0:
		of.followed[at] = next
	case len(of.followed) < 8:
		of.followed = append(of.followed, next)
	}
}

// wayClaimed takes claims.
func (w *world) wayClaimed(e *Answered) {
	for _, seq := range e.Seqs {
		s := &w.requests[protocol.RequestID{Door: e.Door, Seq: seq}].submission
		_, of := w.way(s)
		at := slices.IndexFunc(of.followed, func(f executed) bool { return f.end != 0 && f.seq == seq })
		if at >= 0 {
			of.took, of.last = append(of.took, max(0, w.now.Sub(of.followed[at].end))), w.now
			of.followed[at] = executed{}
		} else if !w.requests[s.ID].ended {
			w.ways.claimed[s.ID] = w.now
		}
	}
}

// claim has the front door of each request claim its answer some time after its execution,
// or never, as that of a client of HTTP.
func (w *world) claim(requests []protocol.RequestRef) {
	for _, ref := range requests {
		if w.ways.dice.IntN(8) == 0 {
			continue
		}
		e := &Answered{Door: ref.ID.Door, Seqs: []uint64{ref.ID.Seq}}
		w.after(between(w.ways.dice, 50*time.Microsecond, time.Duration(e.Door)*4*time.Millisecond), func() { w.step(e) })
	}
}

// checkWays: the core knows what answers take, and forgets the longest only if there is no
// later one.
func (w *world) checkWays() {
	for key, of := range w.ways.known { // map order does not matter
		is, value := time.Duration(0), 0
		if door := w.core.waysBack[key.door]; door != nil && door.bySize[key.size].took != nil {
			value = door.bySize[key.size].took.Samples()
			is = door.bySize[key.size].took.Value()
		}
		if value < 8 {
			is = 0
		}
		if kept := min(len(of.took), 64); value == kept-1 && w.now.Sub(of.last) >= estimateTrust {
			latest := of.took[len(of.took)-kept:]
			at := slices.Index(latest, slices.Max(latest))
			of.took, of.last = append(slices.Clone(latest[:at]), latest[at+1:]...), w.now
		}
		if is != of.value() {
			w.fail("answers of door %d, size %d take %v, by the twin %v of %v", key.door, key.size, is, of.value(), of.took)
		}
	}
}

// checkWayBack: what was sent leaves time for its answer.
func (w *world) checkWayBack(a protocol.Action, r *asked) {
	p, is := w.core.policy.(*clockworkPolicy)
	if !is || !p.WayBack || r.wayBack == 0 {
		return
	}
	way := min(r.wayBack, r.submission.Budget/2)
	if a.Latest.Add(a.Expected) > r.deadline.Add(r.share/2-way) {
		w.fail("action %+v leaves less than the %v that answers take of %+v", a, way, r)
	}
	if way > r.share {
		w.ways.bound++
	}
}
