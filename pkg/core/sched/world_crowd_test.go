package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// A crowded world is one of the seeds from crowdedFrom on. There is what the
// others have, drawn the same, and besides: models that run any batch size,
// copies that share their estimates, and crowds, of requests that come together
// and faster than the GPUs can serve them. Its dice are its own, so that the
// other seeds stay what they are.
const crowdedFrom = 1001

// vary makes a model run any batch size, or larger ones, or a copy of the one
// before it.
func (w *world) vary(m *protocol.ModelSpec, p *protocol.Profile, i int) {
	switch w.crowd.IntN(4) {
	case 0:
		m.AnyBatch = true
	case 1:
		m.AnyBatch = true
		exec := p.Infer[0].P99
		*m, *p = spec(m.Name, m.Pages, p.LoadWeights.P99, exec, exec*5/4, exec*7/4, exec*11/4, exec*19/4)
		m.AnyBatch = true
	case 2:
		if i > 0 {
			before := w.specs[i-1]
			m.Digest, m.Pages, m.BatchSizes, m.AnyBatch = before.Digest, before.Pages, before.BatchSizes, before.AnyBatch
			w.copies[m.Digest] = true
		}
	}
}

// planCrowds plans phases of overload: bursts for a few models, all of one
// instant and one budget or each with its own, one burst after the other.
func (w *world) planCrowds() {
	id := uint64(1_000_000)
	for range 1 + w.crowd.IntN(2) {
		from := between(w.crowd, 0, busyFor-500*time.Millisecond)
		length := between(w.crowd, 50*time.Millisecond, 250*time.Millisecond)
		few := 1 + w.crowd.IntN(4)
		budget := between(w.crowd, 10*time.Millisecond, 150*time.Millisecond)
		for at := from; at < from+length; at += between(w.crowd, 100*time.Microsecond, 4*time.Millisecond) {
			for range 1 + w.crowd.IntN(6) {
				id++
				s := protocol.Submission{ID: protocol.RequestID{Door: 1 + id%3, Seq: id}, Batch: 1, Model: w.specs[w.crowd.IntN(min(few, len(w.specs)))].Name, Budget: budget}
				if w.crowd.IntN(3) == 0 {
					s.Budget = between(w.crowd, 5*time.Millisecond, 300*time.Millisecond)
				}
				w.after(at, func() { w.submit(s, harmless) })
			}
		}
	}
}

// twice runs a seed again: the same must be decided, whatever the order in
// which a map was gone through.
func (w *world) twice() {
	if again := runWorld(w.t, w.policy, w.seed); again.hash != w.hash {
		w.t.Fatalf("policy %s, seed %d: two runs differ", w.policy, w.seed)
	}
}
