package sched

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"clockwork/pkg/protocol"
)

// Some requests of a world are poison: whatever executes them ends, hangs or fails. The
// world keeps its own books of what the core was told of that, and by these says who may
// run where, who is refused, and which models are quarantined.

// poison is what a request does to what executes it.
type poison uint8

const (
	harmless poison = iota
	kills           // the executor, or the worker if it has none
	hangs           // the GPU, until the executor is ended, or for a while
	fails           // the whole batch
	unlucky         // nothing; but its executor is killed from outside when it executes first
)

// drawPoison makes a few requests poison, in worlds with faults.
func (w *world) drawPoison() poison {
	if n := w.poison.IntN(90); !w.healthy && n < 4 {
		return poison(1 + n)
	}
	return harmless
}

// poisoned reports whether a member of an action does this.
func (w *world) poisoned(a protocol.Action, does poison) bool {
	return slices.ContainsFunc(a.Requests, func(ref protocol.RequestRef) bool { return w.requests[ref.ID].poison == does })
}

type poisonFaults struct{ ended, hung, failed, refused, quarantined, down, saved, killed, restarted int }

func (f *poisonFaults) add(g poisonFaults) {
	f.ended, f.hung, f.failed = f.ended+g.ended, f.hung+g.hung, f.failed+g.failed
	f.refused, f.quarantined, f.down, f.saved = f.refused+g.refused, f.quarantined+g.quarantined, f.down+g.down, f.saved+g.saved
	f.killed, f.restarted = f.killed+g.killed, f.restarted+g.restarted
}

// enough says what did not happen often enough.
func (f *poisonFaults) enough(policy string, worlds int) string {
	if f.ended < worlds/4 || f.hung < worlds/4 || f.refused < worlds/8 || f.down < worlds/4 || f.saved == 0 || f.killed < worlds/8 || f.restarted < worlds/4 ||
		policy == "clockwork" && (f.failed < worlds/20 || f.quarantined == 0) {
		return fmt.Sprintf("too little poison, the test proves nothing: %+v", *f)
	}
	return ""
}

// process is what executes for a GPU: of a process of its own, or the worker's.
type process struct {
	ended   uint32              // how many executors have ended
	ready   protocol.Time       // when the present one is
	stalled bool                // the worker has noticed a hang
	at      [2]*protocol.Action // what each lane is at, and since when
	since   [2]protocol.Time
}

// executes says how long an execution takes, and lets poison have its way.
func (h *host) executes(d *device, a protocol.Action, took time.Duration) time.Duration {
	w, ended, life := h.world, d.ended, h.incarnation
	still := func() bool {
		return h.up && h.incarnation == life && d.ended == ended && d.at[1] != nil && d.at[1].ID == a.ID
	}
	switch {
	case w.poisoned(a, kills):
		w.faults.ended++
		w.after(took/2, func() {
			switch {
			case !still():
			case h.executors:
				h.endExecutor(d)
			default:
				h.crash(between(w.poison, 10*time.Millisecond, 400*time.Millisecond), between(w.poison, time.Millisecond, 200*time.Millisecond))
			}
		})
	case h.executors && w.poisoned(a, unlucky) && w.requests[a.Requests[0].ID].strikes == 0:
		w.after(took/2, func() {
			if still() {
				w.faults.killed++
				h.loseExecutor(d, protocol.ExecutorKilled)
			}
		})
	case w.poisoned(a, hangs):
		w.faults.hung++
		w.after(a.Expected+between(w.poison, 100*time.Millisecond, 300*time.Millisecond), func() {
			if still() {
				d.stalled = true
				h.tellHealth()
			}
		})
		if h.executors {
			w.after(a.Expected+between(w.poison, 300*time.Millisecond, 900*time.Millisecond), func() {
				if still() {
					h.endExecutor(d)
				}
			})
		}
		return took + between(w.poison, time.Second, 3*time.Second)
	}
	return took
}

// loads lets an executor be killed from outside during a load, now and then.
func (h *host) loads(d *device, a protocol.Action, took time.Duration) {
	w, ended := h.world, d.ended
	if w.healthy || w.calm || !h.executors || w.poison.IntN(25) > 0 {
		return
	}
	w.after(took/2, func() {
		if h.up && d.ended == ended && d.at[0] != nil && d.at[0].ID == a.ID {
			w.faults.killed++
			h.loseExecutor(d, protocol.ExecutorKilled)
		}
	})
}

// unhang ends a hang; the next heartbeat says so.
func (h *host) unhang(d *device) {
	if d.stalled {
		d.stalled = false
		h.world.after(between(h.world.poison, 0, 100*time.Millisecond), h.tellHealth)
	}
}

// endExecutor ends the process of a GPU by what it executes.
func (h *host) endExecutor(d *device) { h.loseExecutor(d, protocol.ExecutorLost) }

// loseExecutor ends the process of a GPU with what it executes and copies, and all weights.
func (h *host) loseExecutor(d *device, how protocol.Code) {
	w := h.world
	infer, transfer := d.at[1], d.at[0]
	d.ended++
	d.ready, d.stalled, h.doubtful = w.now.Add(between(w.poison, 10*time.Millisecond, 200*time.Millisecond)), false, true
	d.at, d.busy = [2]*protocol.Action{}, [2]bool{}
	d.loaded, d.in = map[string]bool{}, map[string]int{}
	if infer != nil {
		h.answer(*infer, how, max(1, w.now.Sub(d.since[1])))
	}
	if transfer != nil {
		code := how
		if transfer.Kind == protocol.EvictWeights {
			code = protocol.OK
		}
		h.answer(*transfer, code, max(1, w.now.Sub(d.since[0])))
	}
	life := h.incarnation
	w.after(between(w.poison, 0, 100*time.Millisecond), h.tellHealth)
	w.after(d.ready.Sub(w.now)+between(w.poison, 0, 100*time.Millisecond), func() {
		if h.incarnation == life {
			h.tellHealth()
		}
	})
	h.run(d, 0)
	h.run(d, 1)
}

// tellHealth is a heartbeat that arrives: of a worker that the core knows.
func (h *host) tellHealth() {
	w := h.world
	if !h.up || h.cut || w.known[h.id] != h.incarnation {
		return
	}
	e := &GPUHealth{ID: h.id, Incarnation: h.incarnation}
	for _, d := range h.devices {
		e.GPUs = append(e.GPUs, protocol.GPUBeat{Stalled: d.stalled || w.now < d.ready, Restarting: w.now < d.ready, Executor: d.ended})
	}
	w.step(e)
}

// secret is in the message of a failed action, and may be seen by its only member alone.
func secret(id protocol.ActionID) string { return fmt.Sprintf("secret-%d-", id) }

// blamed is what the core was told of a request.
type blamed struct {
	poison  poison
	strikes uint8
	alone   bool // a batch with it failed
	final   bool // it must be refused
	last    protocol.ActionID
	// silentAt is the worker for whose silence it was blamed last, since when.
	silentAt    string
	silentSince protocol.Time
}

// blameBooks are what the core was told of GPUs and models.
type blameBooks struct {
	seen        map[place]protocol.Time    // the last result that shows that it executes
	ended       map[place]protocol.Time    // when the end of an executor was told last
	down        map[place]bool             // as the worker says
	hung        map[protocol.ActionID]bool // first of a GPU when that was said to be down
	count       map[protocol.ActionID]int  // members when it was sent
	suspect     map[protocol.ActionID]bool // its member had been blamed before
	restarting  map[place]protocol.Time    // since when, as the worker says
	restart     map[place]time.Duration    // how long it took the last time
	crashes     map[string][]protocol.Time // by model
	quarantined map[string]protocol.Time   // until when
}

func newBlameBooks() blameBooks {
	return blameBooks{seen: map[place]protocol.Time{}, ended: map[place]protocol.Time{}, down: map[place]bool{}, hung: map[protocol.ActionID]bool{}, count: map[protocol.ActionID]int{},
		restarting: map[place]protocol.Time{}, restart: map[place]time.Duration{},
		suspect: map[protocol.ActionID]bool{}, crashes: map[string][]protocol.Time{}, quarantined: map[string]protocol.Time{}}
}

func (b *blameBooks) forget(worker string) {
	maps.DeleteFunc(b.seen, func(p place, _ protocol.Time) bool { return p.worker == worker })
	maps.DeleteFunc(b.ended, func(p place, _ protocol.Time) bool { return p.worker == worker })
	maps.DeleteFunc(b.down, func(p place, _ bool) bool { return p.worker == worker })
	maps.DeleteFunc(b.restarting, func(p place, _ protocol.Time) bool { return p.worker == worker })
	maps.DeleteFunc(b.restart, func(p place, _ time.Duration) bool { return p.worker == worker })
}

// inOrder returns the open actions in the order in which they were sent.
func (w *world) inOrder() []protocol.ActionID { return slices.Sorted(maps.Keys(w.open)) }

// crash notes that an Infer may have ended or hung what executed it; certain says that it
// was executing.
func (w *world) crash(a protocol.Action, certain bool) {
	if a.Kind != protocol.Infer {
		return
	}
	b := &w.blame
	for _, ref := range a.Requests {
		r := w.requests[ref.ID]
		r.strikes++
		if r.strikes >= 2 || certain && b.count[a.ID] == 1 {
			r.final = true
		}
	}
	if certain || b.suspect[a.ID] {
		w.countCrash(a.Model)
	}
}

func (w *world) countCrash(model string) {
	b := &w.blame
	w.counted.Crashes++
	var recent []protocol.Time
	for _, at := range append(b.crashes[model], w.now) {
		if at > w.now.Add(-w.config.QuarantineWindow) {
			recent = append(recent, at)
		}
	}
	b.crashes[model] = recent
	if len(recent) >= w.config.QuarantineAfter && w.now >= b.quarantined[model] {
		b.quarantined[model] = w.now.Add(w.config.QuarantineFor)
		w.counted.Quarantines++
		w.faults.quarantined++
	}
}

// resultOf takes what a result of an open action says of crashes.
func (w *world) resultOf(e *Result, a protocol.Action) {
	b, at := &w.blame, place{e.Worker, a.GPU}
	if a.Kind == protocol.Infer && (e.Begin != 0 || e.Code == protocol.OK) {
		b.seen[at] = w.now
	}
	switch {
	case a.Kind == protocol.Infer && e.Code == protocol.ExecutorLost:
		b.ended[at] = w.now
		w.crash(a, true)
	case a.Kind == protocol.Infer && e.Code == protocol.ExecutorKilled:
		b.ended[at] = w.now
		w.crash(a, false)
	case a.Kind == protocol.LoadWeights && e.Code == protocol.ExecutorLost:
		if ended, is := b.ended[at]; len(w.lane(e.Worker, a.GPU).open) == 0 && (!is || w.now.Sub(ended) >= w.config.Lag) {
			w.countCrash(a.Model)
		}
	case a.Kind == protocol.Infer && b.count[a.ID] > 1 && failsAlone(e.Code):
		for _, ref := range a.Requests {
			w.requests[ref.ID].alone = true
		}
	case a.Kind == protocol.Infer && e.Code == protocol.OK:
		for _, ref := range a.Requests {
			if r := w.requests[ref.ID]; r.strikes > 0 || r.alone {
				w.faults.saved++
			}
		}
	}
}

// diedOnce reports whether a lost worker had died already when the only member of an action
// was blamed for its silence: nothing was heard of its executions since.
func (w *world) diedOnce(worker string, a protocol.Action) bool {
	if a.Kind != protocol.Infer || len(a.Requests) == 0 {
		return false
	}
	r := w.requests[a.Requests[0].ID]
	if r.silentAt != worker {
		return false
	}
	for at, seen := range w.blame.seen {
		if at.worker == worker && seen >= r.silentSince {
			return false
		}
	}
	return true
}

// lostAction takes that the core gives up an action without a result.
func (w *world) lostAction(worker string, a protocol.Action) {
	b, at := &w.blame, place{worker, a.GPU}
	if a.Kind == protocol.Infer && b.seen[at] < a.Latest.Add(a.Expected) {
		w.crash(a, b.down[at] && b.hung[a.ID])
		for _, ref := range a.Requests {
			r := w.requests[ref.ID]
			r.silentAt, r.silentSince = worker, w.now
		}
	}
}

// healthOf takes what a worker says of its GPUs.
func (w *world) healthOf(e *GPUHealth) {
	for i, g := range e.GPUs {
		at := place{e.ID, i}
		if g.Stalled && !w.blame.down[at] {
			w.faults.down++
			if l := w.lane(e.ID, i); len(l.open) > 0 {
				w.blame.hung[l.open[0].ID] = true
			}
		}
		w.blame.down[at] = g.Stalled
		w.restartOf(at, g)
	}
}

// restartOf takes what a worker says of the restart of a GPU.
func (w *world) restartOf(at place, g protocol.GPUBeat) {
	b := &w.blame
	since, is := b.restarting[at]
	switch {
	case g.Restarting && !is:
		w.faults.restarted++
		b.restarting[at] = w.now
	case !g.Restarting && is:
		delete(b.restarting, at)
		if !g.Stalled {
			b.restart[at] = w.now.Sub(since)
		}
	}
}

// checkWait: who could wait for a GPU that restarts is not refused since all are stalled. Half
// of its budget may be a reserve, and a load and an execution take less than loadAndRun.
func (w *world) checkWait(r *asked, e *protocol.Error) {
	if e.Code != protocol.DeadlineUnmeetable || !strings.HasPrefix(e.Message, "every GPU") {
		return
	}
	const loadAndRun = 100 * time.Millisecond
	for _, g := range w.core.gpus {
		at := place{g.worker.id, g.id}
		since, is := w.blame.restarting[at]
		if !is || !w.core.suits(g, w.core.names[r.submission.Model]) {
			continue
		}
		takes, known := w.blame.restart[at]
		if !known {
			takes = 250 * time.Millisecond
		}
		back := since.Add(takes)
		if back < w.now {
			back = back.Add(2 * w.now.Sub(back))
		}
		if back.Add(loadAndRun) < w.now.Add(r.submission.Budget/2) {
			w.fail("request %v has %v left and is refused %v; %v restarts until %v", r.submission.ID, r.submission.Budget, e, at, back)
		}
	}
}

// checkBlame: who was blamed runs alone and undisturbed, who is final does not run, a
// quarantined model does not either, and nothing is sent to a GPU that is down.
func (w *world) checkBlame(o Addressed) {
	a, b := &o.Action, &w.blame
	if a.Kind != protocol.EvictWeights && b.down[place{o.Worker, a.GPU}] {
		w.fail("%s %d is sent to %s gpu %d, which is down", a.Kind, a.ID, o.Worker, a.GPU)
	}
	if a.Kind != protocol.Infer {
		return
	}
	if until := b.quarantined[a.Model]; w.now < until {
		w.fail("%s is quarantined until %v, and is run by action %d", a.Model, until, a.ID)
	}
	b.count[a.ID] = len(a.Requests)
	for _, ref := range a.Requests {
		r := w.requests[ref.ID]
		if r.final {
			w.fail("request %v has ended enough, and runs again", ref.ID)
		}
		if (r.alone || r.strikes > 0) && len(a.Requests) > 1 {
			w.fail("request %v must run alone, and runs with %d others: %+v", ref.ID, len(a.Requests)-1, r.blamed)
		}
		b.suspect[a.ID], r.last = r.strikes > 0, a.ID
	}
	for id, other := range w.open {
		if other.Kind != protocol.Infer || w.openAt[id] != o.Worker {
			continue
		}
		if other.GPU == a.GPU && (b.suspect[id] || b.suspect[a.ID]) {
			w.fail("actions %d and %d are on one GPU, and one of them was blamed", id, a.ID)
		}
		if b.suspect[id] && b.suspect[a.ID] {
			w.fail("actions %d and %d are on one worker, and both were blamed", id, a.ID)
		}
	}
}

// checkRefusal: final is final and nothing else is, a quarantine is one, and nobody reads of
// another's input.
func (w *world) checkRefusal(r *asked, e *protocol.Error) {
	w.checkWait(r, e)
	if r.final != (e.Code == protocol.ExecutionCrashed) {
		w.fail("request %v is refused %v, and is %+v", r.submission.ID, e, r.blamed)
	}
	if r.final {
		w.faults.refused++
	}
	if until := w.blame.quarantined[r.submission.Model]; e.Code == protocol.ModelQuarantined && w.now >= until {
		w.fail("%s is not quarantined, and request %v is refused %v", r.submission.Model, r.submission.ID, e)
	}
	if at := strings.Index(e.Message, "secret-"); at >= 0 && e.Code != protocol.WorkerLost && e.Code != protocol.DeadlineExceeded {
		own := w.blame.count[r.last] == 1 && strings.HasPrefix(e.Message[at:], secret(r.last))
		load := strings.Contains(e.Message, protocol.LoadWeights.String())
		if !own && !load {
			w.fail("request %v reads of another: %v", r.submission.ID, e)
		}
	}
}

// checkDown: what a worker says of its GPUs holds until it says otherwise, and a GPU that
// waits for a blamed request to be next has something to wait for.
func (w *world) checkDown() {
	for _, g := range w.core.gpus {
		if down := w.blame.down[place{g.worker.id, g.id}]; g.down != down || down && !g.stalled {
			w.fail("%s gpu %d is down %v and stalled %v, its worker says %v", g.worker.id, g.id, g.down, g.stalled, down)
		}
		busy := slices.ContainsFunc(g.worker.gpus, func(other *gpu) bool { return len(other.infers) > 0 })
		if g.draining && !busy {
			w.fail("%s gpu %d gets no work until it is idle, and it is", g.worker.id, g.id)
		}
	}
}
