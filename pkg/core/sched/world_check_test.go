package sched

import (
	"cmp"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// The world keeps its own books of what is open, in the plainest way: an
// action is open from its Step until its result reaches the core, until the
// core is told that its worker is lost, or until it is overdue.

// due is when the core gives an action up.
func (w *world) due(a protocol.Action) protocol.Time {
	end := a.Latest.Add(a.Expected).Add(w.config.Lag)
	if a.Kind == protocol.Infer {
		return max(end, w.silentFrom(a))
	}
	return end.Add(w.resultTakes[a.ID])
}

// silentFrom is when the core takes the GPU of an Infer for stalled.
func (w *world) silentFrom(a protocol.Action) protocol.Time {
	return a.Latest.Add(a.Expected).Add(stallAfter + w.resultTakes[a.ID])
}

func (w *world) close(id protocol.ActionID) {
	a := w.open[id]
	delete(w.open, id)
	delete(w.openAt, id)
	delete(w.sentAt, id)
	delete(w.resultTakes, id)
	for _, r := range a.Requests {
		w.requests[r.ID].action = 0
	}
}

func (w *world) overdue() {
	for _, id := range w.inOrder() {
		if a := w.open[id]; w.due(a) <= w.now {
			w.counted.Lost++
			w.unanswered = append(w.unanswered, Unanswered{id, false})
			w.lostAction(w.openAt[id], a)
			w.laneEnded(w.openAt[id], a, w.now)
			w.close(id)
			w.orphaned(a)
		}
	}
}

// orphaned ends requests that failed and that nobody waits for.
func (w *world) orphaned(a protocol.Action) {
	for _, ref := range a.Requests {
		if r := w.requests[ref.ID]; r.orphan && !r.ended {
			r.ended = true
			w.counted.Forgotten++
		}
	}
}

// before writes down what an event means.
func (w *world) before(e Event) {
	switch e := e.(type) {
	case *Result:
		a, open := w.open[e.Action]
		if !open {
			w.counted.Strays++
			return
		}
		w.timed(e)
		if e.Code == protocol.TooLate || e.Code == protocol.InputMissing {
			w.tooLate += len(a.Requests)
		}
		w.resultOf(e, a)
		w.laneEnded(e.Worker, a, e.End)
		w.close(e.Action)
		for _, ref := range a.Requests {
			if r := w.requests[ref.ID]; e.Code == protocol.OK && !r.ended {
				if w.endOf(e) > r.deadline {
					w.late[ref.ID] = w.beginOf(e).Add(a.Expected) <= r.deadline
				}
				r.ended = true
				w.counted.Succeeded++
				if !r.orphan {
					w.wayEnded(&r.submission, e.End)
				}
			}
		}
		w.orphaned(a)
		if e.Code == protocol.StaleIncarnation && w.known[e.Worker] == a.Incarnation {
			w.forget(e.Worker)
		}
	case *WorkerJoined:
		if w.known[e.State.ID] != e.State.Incarnation {
			w.forget(e.State.ID)
		}
		w.known[e.State.ID] = e.State.Incarnation
	case *GPUHealth:
		w.healthOf(e)
	case *Answered:
		w.wayClaimed(e)
	case *WorkerLost:
		if w.known[e.ID] == e.Incarnation {
			w.forget(e.ID)
		}
	}
}

func (w *world) forget(worker string) {
	delete(w.known, worker)
	once := map[protocol.ActionID]bool{}
	for id, a := range w.open {
		once[id] = w.openAt[id] == worker && w.diedOnce(worker, a)
	}
	w.blame.forget(worker)
	delete(w.delays, worker)
	defer w.forgetSilence(worker)
	for _, id := range w.inOrder() {
		if a := w.open[id]; w.openAt[id] == worker {
			if !once[id] {
				w.crash(a, false)
			}
			w.unanswered = append(w.unanswered, Unanswered{id, true})
			w.laneEnded(worker, a, w.now)
			w.close(id)
			w.orphaned(a)
		}
	}
}

// endOf and beginOf are when a result says that the execution ended and began.
func (w *world) endOf(e *Result) protocol.Time {
	if e.End == 0 {
		return w.now
	}
	return e.End
}

func (w *world) beginOf(e *Result) protocol.Time {
	if e.End == 0 {
		return w.now
	}
	return e.Begin
}

// checkEnds: the core says of which actions it awaits no result, and which requests are done
// late and why.
func (w *world) checkEnds(out Output) {
	said := slices.Clone(out.Unanswered)
	byAction := func(a, b Unanswered) int { return cmp.Compare(a.Action, b.Action) }
	slices.SortFunc(said, byAction)
	slices.SortFunc(w.unanswered, byAction)
	if !slices.Equal(said, w.unanswered) {
		w.fail("awaits no result of %v, the world says %v", said, w.unanswered)
	}
	for _, l := range out.Late {
		slow, late := w.late[l.ID]
		if !late || slow != (l.Why == WhySlow) {
			w.fail("%v is late for reason %d; late %v, slow %v", l.ID, l.Why, late, slow)
		}
		delete(w.late, l.ID)
	}
	if len(w.late) > 0 {
		w.fail("nothing says that %v are late", w.late)
	}
	w.unanswered = w.unanswered[:0]
}

// forgetSilence: a worker that joins again is another life.
func (w *world) forgetSilence(worker string) {
	for _, r := range w.requests {
		if r.silentAt == worker {
			r.silentAt = ""
		}
	}
}

func (w *world) checkOutput(out Output) {
	if out.Wake <= w.now {
		w.fail("wake at %v, which is not later", out.Wake)
	}
	sent := map[protocol.RequestID]string{}
	for _, o := range out.Actions {
		w.checkAction(o)
		for _, r := range o.Action.Requests {
			sent[r.ID] = o.Worker
		}
	}
	for _, d := range out.Dispatches {
		if d.Kind != protocol.ToWorker || sent[d.ID] != d.Worker || d.Crashes != w.requests[d.ID].strikes {
			w.fail("dispatch %+v without its action", d)
		}
		delete(sent, d.ID)
	}
	if len(sent) > 0 {
		w.fail("the door does not learn where to send %v", sent)
	}
	for _, d := range out.Refusals {
		r := w.requests[d.ID]
		if r == nil || r.ended || r.orphan || r.action != 0 {
			w.fail("refusal %v of a request that is %+v", d.Refusal, r)
		}
		if d.Kind != protocol.Refuse || d.Refusal == nil || !d.Refusal.Code.Known() {
			w.fail("refusal %+v", d)
		}
		if d.Refusal.Code == protocol.Internal {
			w.fail("refusal %v", d.Refusal)
		}
		w.checkRefusal(r, d.Refusal)
		r.ended = true
		if d.Refusal.Code == protocol.Cancelled {
			w.counted.Withdrawn++
		} else {
			w.counted.Refused++
		}
		if d.Refusal.Code == protocol.Cancelled && !r.withdrawn {
			w.fail("%v of %v, whose client is there", d.Refusal, d.ID)
		}
	}
}

func (w *world) checkAction(o Addressed) {
	w.actions++
	a := o.Action
	switch {
	case a.Latest < w.now || a.Earliest > a.Latest:
		w.fail("%v %s in %v to %v", a.ID, a.Kind, a.Earliest, a.Latest)
	case w.known[o.Worker] != a.Incarnation:
		w.fail("%s %d is for life %d of %s, known is %d", a.Kind, a.ID, a.Incarnation, o.Worker, w.known[o.Worker])
	case w.open[a.ID].ID != 0:
		w.fail("action %d was sent twice", a.ID)
	}
	infers, loads := 0, 0
	for id, b := range w.open {
		if w.openAt[id] != o.Worker || b.GPU != a.GPU {
			continue
		}
		switch {
		case b.Kind == protocol.Infer:
			infers++
		case b.Kind == protocol.LoadWeights:
			loads++
		}
		if a.Model == b.Model && (laneOf(a.Kind) == 0 || laneOf(b.Kind) == 0) && w.open[id].Incarnation == a.Incarnation {
			if !(a.Kind == protocol.LoadWeights && b.Kind == protocol.Infer) { // left over from a copy that went missing
				w.fail("%s %d of %s while %s %d is open", a.Kind, a.ID, a.Model, b.Kind, b.ID)
			}
		}
	}
	if a.Kind == protocol.Infer && w.policy == "simple" && infers >= w.config.Outstanding || a.Kind == protocol.LoadWeights && loads > 0 {
		w.fail("%s %d beside %d inferences and %d loads", a.Kind, a.ID, infers, loads)
	}
	w.checkBlame(o)
	w.open[a.ID], w.openAt[a.ID] = a, o.Worker
	w.sentAt[a.ID], w.resultTakes[a.ID] = w.now, shortest(w.delay(o.Worker).from)
	w.laneSent(o)
	for _, ref := range a.Requests {
		r := w.requests[ref.ID]
		if r == nil || r.ended || r.orphan || r.withdrawn || r.action != 0 || a.Latest.Add(a.Expected) > r.deadline && w.policy != "aimd" {
			w.fail("action %+v for a request that is %+v", a, r)
		}
		r.action = a.ID
		w.checkWayBack(a, r)
	}
}

func (w *world) checkStats() {
	s := w.core.Stats()
	if s.Submitted != s.Succeeded+s.Refused+s.Answered+s.Withdrawn+s.Forgotten+s.Duplicates+s.Queued+s.InFlight {
		w.fail("the accounts do not close: %+v", s)
	}
	want := w.counted
	want.Replanned = s.Replanned
	w.live = slices.DeleteFunc(w.live, func(r *asked) bool { return r.ended && r.action == 0 })
	for _, r := range w.live {
		switch {
		case r.action != 0:
			want.InFlight++
		case r.deadline < w.now:
			w.fail("request %v still waits, its deadline was %v", r.submission.ID, r.deadline)
		default:
			want.Queued++
		}
	}
	if s != want {
		w.fail("the core counts\n%+v, the world\n%+v", s, want)
	}
}

// recount adds up again what the core keeps count of.
func (w *world) recount() {
	c := w.core
	for _, g := range c.gpus {
		allocated, promised, leaving, loading := 0, 0, 0, 0
		for _, r := range g.replicas {
			pages := r.pages()
			switch r.phase {
			case pending:
				promised += pages
				continue
			case loading_:
				loading++
			case draining, evicting:
				leaving += pages
			}
			allocated += pages
		}
		if allocated != g.allocated || promised != g.promised || leaving != g.leaving || (g.loading != nil) != (loading == 1) {
			w.fail("%s gpu %d counts %d allocated, %d promised, %d leaving; there are %d, %d, %d (and %d loading)",
				g.worker.id, g.id, g.allocated, g.promised, g.leaving, allocated, promised, leaving, loading)
		}
		if g.foreign+allocated > g.total || w.policy == "simple" && len(g.infers) > c.config.Outstanding {
			w.fail("%s gpu %d: %d foreign and %d allocated of %d pages, %d inferences", g.worker.id, g.id, g.foreign, allocated, g.total, len(g.infers))
		}
	}
	for _, m := range c.models {
		queued, items := 0, 0
		for r := m.head; r != nil; r = r.next {
			items += r.Batch
			if queued++; r.next != nil && r.next.before(r) {
				w.fail("the queue of %s is out of order", m.spec.Name)
			}
		}
		if items != m.items {
			w.fail("%s counts %d items that wait, there are %d", m.spec.Name, m.items, items)
		}
		holders := 0
		for _, r := range m.replicas {
			if r.phase == resident {
				holders++
			}
		}
		if queued != m.queued || holders != len(m.holders) {
			w.fail("%s counts %d queued and %d holders; there are %d and %d", m.spec.Name, m.queued, len(m.holders), queued, holders)
		}
		for kind := range c.kinds {
			capable := 0
			for _, g := range c.gpus {
				if g.kind == kind && c.capable(g, m) {
					capable++
				}
			}
			if capable != m.capable[kind] {
				w.fail("%s counts %d capable GPUs of type %s, there are %d", m.spec.Name, m.capable[kind], c.kinds[kind].name, capable)
			}
		}
	}
}

// checkIdle: no GPU is idle while a request waits that it could run, and no
// model waits for a copy without the promise of one.
func (w *world) checkIdle() {
	c := w.core
	if l, is := c.policy.(*clockworkPolicy); is {
		w.checkLanes(l)
		return
	}
	for _, g := range c.gpus {
		for _, r := range g.replicas {
			if r.phase == resident && r.model.head != nil && c.policy.(*simplePolicy).free(g, r.model.head) && c.policy.(*simplePolicy).meets(r.model.head, r) {
				w.fail("%s gpu %d has a slot free, holds %s, and leaves its requests waiting", g.worker.id, g.id, r.model.spec.Name)
			}
		}
		if len(g.pending) > 0 && g.loading == nil && g.vacant() >= g.pending[0].pages() {
			w.fail("%s gpu %d has pages free for %s and does not load it", g.worker.id, g.id, g.pending[0].model.spec.Name)
		}
	}
	for _, m := range c.models {
		promised := func(r *replica) bool { return r.phase <= resident }
		if m.head == nil || slices.ContainsFunc(m.replicas, promised) {
			continue
		}
		for _, g := range c.gpus {
			if c.capable(g, m) && g.replica(m) == nil {
				w.fail("%s waits, and %s gpu %d could hold it", m.spec.Name, g.worker.id, g.id)
			}
		}
	}
}

// loading_ is the phase loading, beside a variable of that name.
const loading_ = loading

// checkRest: every request has ended, nothing is under way, the mirror shows
// what the workers hold, and the core did not wake for nothing.
func (w *world) checkRest() {
	for id, r := range w.requests {
		if !r.ended {
			w.fail("request %v never ended", id)
		}
	}
	if len(w.happenings) > 0 || w.wake != protocol.Never || len(w.open)+len(w.core.actions)+len(w.core.timers) > 0 {
		w.fail("the world does not come to rest: %d happenings, wake %v, open %v", len(w.happenings), w.wake, w.open)
	}
	// Each tick ends a wait: of a request in the queue, of an action, or for
	// another try at an eviction.
	s := w.core.Stats()
	if most := s.Submitted + s.Replanned + 2*w.actions; w.ticks > most {
		w.fail("%d ticks, expected %d at most", w.ticks, most)
	}
	for _, h := range w.hosts {
		for i, b := range h.books {
			at := slices.IndexFunc(w.core.gpus, func(g *gpu) bool { return g.worker.id == h.ID() && g.id == i })
			if at < 0 || w.core.gpus[at].worker.incarnation != h.Incarnation() {
				w.fail("the core does not know %s", h.ID())
			}
			var mirror []string
			for _, r := range w.core.gpus[at].replicas {
				mirror = append(mirror, r.model.spec.Name)
			}
			slices.Sort(mirror)
			if truth := sortedModels(b.loaded); !slices.Equal(mirror, truth) || w.core.gpus[at].allocated != b.pages() || w.core.gpus[at].foreign != 0 {
				w.fail("%s gpu %d holds %v, the mirror shows %v and %d foreign pages", h.ID(), i, truth, mirror, w.core.gpus[at].foreign)
			}
		}
	}
}

// waitsForTighter reports whether a copy may wait although its GPU has room: the GPU is kept
// free until it is looked at again, for a model with a tighter budget. That was so when the
// GPU was looked at last, at most keptFree ago; budgets may have changed since.
func (p *clockworkPolicy) waitsForTighter(r *replica) bool {
	g := r.gpu
	if !p.Bounded || !g.keptFree || !g.nextSlotTimer.In() {
		return false
	}
	until := p.now.Add(keptFree)
	return g.nextSlotTimer.Key < int64(until) || slices.ContainsFunc(g.tight, func(t *replica) bool { return t.tighter(r) })
}

// hasRoom reports whether a GPU takes more work, however large the next inputs are: by how much
// sooner it takes work for them changes with what is next, and counts when it is looked at.
func (p *clockworkPolicy) hasRoom(g *gpu) bool {
	return p.open(g) && (len(g.infers) == 0 || g.free(p.now) < p.now.Add(p.ahead(g)-p.inputAhead(g)))
}

// checkLanes: no GPU has room while a request waits that it could run, unless
// the policy defers, or keeps the GPU free for tighter models; and the sums of demand are what they should be.
func (w *world) checkLanes(p *clockworkPolicy) {
	listed := map[*model]bool{}
	for _, m := range p.waitingForSlot {
		if listed[m] {
			w.fail("%s is homeless twice", m.spec.Name)
		}
		listed[m] = true
	}
	for _, g := range p.gpus {
		work, demand := time.Duration(0), int64(0)
		for _, a := range g.infers {
			work += a.takes + a.wait
		}
		for _, r := range g.replicas {
			demand += r.share
			m := r.model
			if r.phase == resident && p.Defer == nil && p.hasRoom(g) && !w.outdated(g) && m.head != nil && p.couldRun(r) && !p.waitsForTighter(r) {
				w.fail("%s gpu %d has room, holds %s, and leaves its requests waiting", g.worker.id, g.id, m.spec.Name)
			}
		}
		if work != g.lane.work || demand != g.demand {
			w.fail("%s gpu %d counts %v of work and %d of demand, there are %v and %d", g.worker.id, g.id, g.lane.work, g.demand, work, demand)
		}
	}
	execs, loads := map[*model]int64{}, map[*model]int64{}
	for _, r := range p.known {
		execs[r.model] += r.demand.exec
		if r.demand.listed {
			loads[r.model] += r.demand.load
		}
	}
	for _, m := range p.models {
		exec, load := execs[m], loads[m]
		if exec != m.demand.exec || load != m.demand.load {
			w.fail("%s counts a demand of %d and %d, there are %d and %d", m.spec.Name, m.demand.exec, m.demand.load, exec, load)
		}
		exec1, load1 := p.alone(m)
		for _, g := range p.gpus {
			covered := slices.ContainsFunc(m.replicas, (*replica).serves)
			if p.Worth && len(g.infers) > 0 || w.copies[m.spec.Digest] {
				continue // it may have better to do; or a copy was measured, which nobody told the model
			}
			if idle := g.loading == nil && len(g.pending) == 0 && !g.stalled; m.head != nil && !covered && idle && p.capable(g, m) && g.replica(m) == nil &&
				p.now.Add(load1+exec1) <= m.tail.deadline {
				w.fail("%s waits, no GPU has it, and %s gpu %d has a free transfer lane", m.spec.Name, g.worker.id, g.id)
			}
		}
		if m.demand.queueEntry.In() && m.head == nil && m.rejectedDemandUntil == 0 {
			w.fail("%s wants a copy for nobody", m.spec.Name)
		}
	}
}

// couldRun reports whether a copy could run some request that waits in time.
func (p *clockworkPolicy) couldRun(on *replica) bool {
	for r := on.model.head; r != nil; r = r.next {
		if p.start(on.gpu, r.inputBytes()).Add(on.exec(r.size)) <= r.deadline {
			return true
		}
	}
	return false
}
