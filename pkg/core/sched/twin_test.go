package sched

import (
	"math"
	"slices"
	"time"

	"clockwork/pkg/core/heap"
	"clockwork/pkg/protocol"
)

// The twins are what the engine keeps in heaps, sums and lists, worked out once
// more in the plainest way from what a world saw, or from the whole state, at
// every step of every world.

// plainLane is what is open on a GPU's execution lane, and when the first of it
// is taken to have begun.
type plainLane struct {
	open  []plainOpen
	begun protocol.Time
}

// plainOpen is an action, when its inputs are taken to be in place, 0 for at once, and how long
// the lane is taken to wait for them.
type plainOpen struct {
	protocol.Action
	ready protocol.Time
	wait  time.Duration
}

// free goes through the lane: the first ends now at the earliest, less what its result takes.
func (l *plainLane) free(now protocol.Time, result time.Duration) protocol.Time {
	at := now
	for i, a := range l.open {
		if i == 0 {
			at = max(now.Add(-result), l.begun.Add(a.Expected))
		} else {
			at = at.Add(a.wait + a.Expected)
		}
	}
	return at
}

// place is a GPU of a worker.
type place struct {
	worker string
	gpu    int
}

func (w *world) lane(worker string, gpu int) *plainLane {
	at := place{worker, gpu}
	if w.lanes[at] == nil {
		w.lanes[at] = &plainLane{}
	}
	return w.lanes[at]
}

// laneSent and laneEnded keep the plain lanes; what follows a first action
// begins at its end.
func (w *world) laneSent(o Addressed) {
	if o.Action.Kind != protocol.Infer {
		return
	}
	l := w.lane(o.Worker, o.Action.GPU)
	a := plainOpen{Action: o.Action}
	begins, inputs := w.inferDelay(o.Worker, w.inputBytes(o.Action))
	if inputs >= 0 {
		a.ready = w.now.Add(inputs)
	}
	if len(l.open) == 0 {
		l.begun = w.now.Add(begins)
	} else if free := l.free(w.now, shortest(w.delay(o.Worker).from)); a.ready > free {
		a.wait = a.ready.Sub(free)
		w.waitedForInputs++
	}
	l.open = append(l.open, a)
}

func (w *world) laneEnded(worker string, a protocol.Action, end protocol.Time) {
	if a.Kind != protocol.Infer {
		return
	}
	l := w.lane(worker, a.GPU)
	at := slices.IndexFunc(l.open, func(b plainOpen) bool { return b.ID == a.ID })
	if end == 0 { // the worker does not say
		end = w.now
	}
	if at == 0 {
		l.begun = max(l.begun, min(end, w.now))
	}
	l.open = slices.Delete(l.open, at, at+1)
	if at == 0 && len(l.open) > 0 {
		l.begun = max(l.begun, l.open[0].ready)
		l.open[0].wait = 0
	}
}

func (w *world) checkTwins() {
	w.checkCalendar()
	w.checkDown()
	p, is := w.core.policy.(*clockworkPolicy)
	if !is {
		return
	}
	for _, g := range p.gpus {
		w.checkLane(g)
		w.checkTurns(p, g)
	}
	w.checkWants(p)
}

func (w *world) checkLane(g *gpu) {
	l := w.lane(g.worker.id, g.id)
	free := l.free(w.now, shortest(w.delay(g.worker.id).from))
	if len(l.open) != len(g.infers) || len(l.open) > 0 && l.begun != g.lane.begun || free != g.free(w.now) {
		w.fail("%s gpu %d has %d actions open, the first since %v, and is free at %v; by the twin %d, %v, %v",
			g.worker.id, g.id, len(g.infers), g.lane.begun, g.free(w.now), len(l.open), l.begun, free)
	}
}

// checkTurns: each copy of a model that waits has its turn, at the place that
// the queue gives it now, or was parked; and who is first is first. A GPU that
// has room has nobody's turn; one that has none is woken when it has. Where a
// GPU has become slow, or fast again, or a copy of the model under another name
// was measured, the turns keep their places until their queues change.
func (w *world) checkTurns(p *clockworkPolicy, g *gpu) {
	if g.slowdown.slow() {
		w.slowed[g] = true
	}
	var first *replica
	count := 0
	for _, r := range g.replicas {
		waits := r.phase == resident && r.model.head != nil
		if waits && !r.queueEntry.In() && !slices.Contains(g.blocked, r) {
			w.fail("%s gpu %d: it is never the turn of %s", g.worker.id, g.id, r.model.spec.Name)
		}
		if !r.queueEntry.In() {
			continue
		}
		count++
		if key := p.plainTurn(r); waits && p.Defer == nil && !w.slowed[g] && !w.copies[r.model.spec.Digest] && key != r.queueEntry.Key {
			w.fail("%s gpu %d: the turn of %s is at %v, by the twin at %v", g.worker.id, g.id, r.model.spec.Name, protocol.Time(r.queueEntry.Key), protocol.Time(key))
		}
		if r.phase != resident {
			w.fail("%s gpu %d: it is the turn of %s, which is %s", g.worker.id, g.id, r.model.spec.Name, phaseNames[r.phase])
		}
		if first == nil || r.queueEntry.Key < first.queueEntry.Key || r.queueEntry.Key == first.queueEntry.Key && r.model.index < first.model.index {
			first = r
		}
	}
	if count != len(g.runQueue) || count > 0 && g.runQueue.First().Of != first {
		w.fail("%s gpu %d: %d turns, by the twin %d, or another is first", g.worker.id, g.id, len(g.runQueue), count)
	}
	if w.outdated(g) {
		return
	}
	w.looks[g] = w.lookAt(g)
	if count == 0 || p.Defer != nil || g.keptFree {
		return
	}
	if p.hasRoom(g) {
		w.fail("%s gpu %d has room, and it is the turn of %s", g.worker.id, g.id, first.model.spec.Name)
	}
	if !p.takesMore(g) {
		return // the next result, or its worker's word, makes room
	}
	begins, _ := w.inferDelay(g.worker.id, 0)
	at := g.free(w.now).Add(1 - (w.config.Ahead + begins - w.config.Future))
	timer := protocol.Time(g.nextSlotTimer.Key)
	// Earlier for large inputs: by as much as they took when the GPU was looked at.
	right := timer == at || timer < at && w.delay(g.worker.id).inputs != nil
	if g.late(w.now) == 0 && (!g.nextSlotTimer.In() || !right) {
		w.fail("%s gpu %d has room at %v and is looked at then: %v, at %v", g.worker.id, g.id, at, g.nextSlotTimer.In(), protocol.Time(g.nextSlotTimer.Key))
	}
}

// look is a GPU's lane and when it is looked at again, and what its worker's messages took
// when that was right.
type look struct {
	lane     lane
	count    int
	timer    int64 // 0 for never
	to, from time.Duration
	inputs   int // samples
}

func (w *world) lookAt(g *gpu) look {
	d := w.delay(g.worker.id)
	l := look{lane: g.lane, count: len(g.infers), to: shortest(d.to), from: shortest(d.from), inputs: len(d.inputs)}
	if g.nextSlotTimer.In() {
		l.timer = g.nextSlotTimer.Key
	}
	return l
}

// outdated reports whether nothing happened to a GPU since it was looked at, but its worker's
// messages were seen to take another time: that counts from the next time on.
func (w *world) outdated(g *gpu) bool {
	was, is := w.looks[g], w.lookAt(g)
	if was.to == is.to && was.from == is.from && was.inputs == is.inputs {
		return false
	}
	is.to, is.from, is.inputs = was.to, was.from, was.inputs
	return was == is
}

// plainTurn is the key of a copy's turn: when the batch of what waits must
// begin, or who came first.
func (p *clockworkPolicy) plainTurn(r *replica) int64 {
	m := r.model
	if m.head == nil {
		return 0
	}
	if !p.Urgent {
		return int64(m.head.seq)
	}
	items := 0
	for q := m.head; q != nil; q = q.next {
		items += q.Batch
	}
	size := m.spec.Fits(min(items, p.most(r, items)))
	return int64(m.head.deadline.Add(-r.exec(max(size, m.head.size))))
}

// checkWants: the first of those that want a copy has the highest priority of
// those noted; and the priorities, which are worked out in integers, are what
// the formula gives in floating point.
func (w *world) checkWants(p *clockworkPolicy) {
	var first *model
	count := 0
	for _, m := range p.models {
		w.checkPriority(p, m)
		if !m.demand.queueEntry.In() {
			continue
		}
		count++
		key, least := m.demand.queueEntry.Key, int64(0)
		if first != nil {
			least = first.demand.queueEntry.Key
		}
		if first == nil || key < least || key == least && m.index < first.index {
			first = m
		}
	}
	if count != len(p.loadQueue) || count > 0 && p.loadQueue.First().Of != first {
		w.fail("%d models want a copy, by the twin %d, or another is first", len(p.loadQueue), count)
	}
}

func (w *world) checkPriority(p *clockworkPolicy, m *model) {
	plain, ease, sum := m.plainPriority(w.config.DefaultSLO)
	before := make([]int64, len(m.replicas))
	for i, r := range m.replicas {
		before[i] = r.share
	}
	got := float64(m.priority(w.config.DefaultSLO, w.now))
	if off := math.Abs(got - plain); off > 2+1e-3*float64(m.demand.load) {
		w.fail("the priority of %s is %v, by the formula %v", m.spec.Name, got, plain)
	}
	for i, r := range m.replicas {
		share := float64(m.demand.exec) * ease[i] / sum
		if off := math.Abs(float64(r.share) - share); r.serves() && off > 2+1e-3*share {
			w.fail("of the demand for %s %s gpu %d is given %d, by the formula %v", m.spec.Name, r.gpu.worker.id, r.gpu.id, r.share, share)
		}
		r.give(before[i])
	}
}

// plainPriority is p = W - sum of W * (x/sum x) * (C/O), with x = C/o, where o is
// the work of other models on the GPU and O that with the model's new share. A
// copy that leaves has an x of 0.
func (m *model) plainPriority(c time.Duration) (p float64, ease []float64, sum float64) {
	at := func(work float64) float64 { return float64(c) / max(work, float64(time.Millisecond)) }
	for _, r := range m.replicas {
		x := 0.0
		if r.serves() {
			x = at(float64(r.gpu.demand - r.share))
		}
		ease, sum = append(ease, x), sum+x
	}
	p = float64(m.demand.load)
	for i, r := range m.replicas {
		if x := ease[i]; x > 0 {
			p -= float64(m.demand.load) * (x / sum) * at(float64(r.gpu.demand-r.share)+float64(m.demand.exec)*x/sum)
		}
	}
	return p, ease, sum
}

// checkCalendar: there is one timer for each request that waits, for each
// action, each eviction to be tried again and each lane that is to have room;
// none else; and the core asks to be woken at the first.
func (w *world) checkCalendar() {
	c := w.core
	count, wake := 0, protocol.Never
	note := func(what string, n *heap.Node[due], must bool) {
		if must && !n.In() {
			w.fail("there is no timer for %s", what)
		}
		if n.In() {
			count++
			wake = min(wake, protocol.Time(n.Key))
		}
	}
	for id, r := range c.known {
		note("a request", &r.timer, r.waiting)
		if r.waiting && protocol.Time(r.timer.Key) > r.deadline+1 {
			w.fail("request %v is looked at at %v, its time is over at %v", id, protocol.Time(r.timer.Key), r.deadline)
		}
	}
	for id, a := range c.actions {
		note("an action", &a.timer, true)
		due := w.due(w.open[id])
		if a.kind == protocol.Infer && !a.overdue {
			due = w.silentFrom(w.open[id])
		}
		if protocol.Time(a.timer.Key) != due {
			w.fail("action %d is looked at at %v, expected %v", id, protocol.Time(a.timer.Key), due)
		}
	}
	for _, of := range c.workers {
		note("missed inputs", &of.inbound.timer, len(of.inbound.missed) > 0)
	}
	serving := 0
	for _, g := range c.gpus {
		if holds := func(m *model) bool { return w.core.capable(g, m) }; !g.stalled && slices.ContainsFunc(w.core.models, holds) {
			serving++
		}
		note("a lane", &g.nextSlotTimer, false)
		if owes := slices.ContainsFunc(g.infers, func(a *action) bool { return a.overdue }); g.stalled && !g.down && !owes {
			w.fail("%s gpu %d is mute, and owes nothing", g.worker.id, g.id)
		}
		for _, r := range g.replicas {
			note("an eviction", &r.retry, r.phase == unknownPhase && r.busy == 0 || r.phase == evicting && r.transfer == nil)
		}
	}
	want := protocol.Capacity{GPUs: serving, Models: len(c.models)}
	for _, m := range c.models {
		if !slices.ContainsFunc(c.gpus, func(g *gpu) bool { return c.capable(g, m) }) {
			want.Unavailable++
		} else if m.quarantined > c.now {
			want.Refused++
		}
	}
	if got := c.Capacity(c.now); got != want {
		w.fail("the capacity is %+v, expected %+v", got, want)
	}
	if count != len(c.timers) || wake != w.wake {
		w.fail("%d timers, the next at %v; by the twin %d and %v", len(c.timers), w.wake, count, wake)
	}
}
