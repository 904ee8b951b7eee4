package sched

import (
	"maps"
	"slices"
	"strings"
	"time"

	"clockwork/pkg/protocol"
)

// The world keeps its own books of what the core was told of ends, hangs and failures, and by
// these says who may run where, who is refused, and which models are quarantined.

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
	for i := range w.host(e.ID).GPUs {
		at, g := place{e.ID, i}, protocol.GPUBeat{}
		if len(e.GPUs) > 0 { // no word is a good word
			g = e.GPUs[i]
		}
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
func (w *world) checkWait(r *asked, refusal *protocol.Error) {
	if refusal.Code != protocol.DeadlineUnmeetable || !strings.HasPrefix(refusal.Message, "every GPU") {
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
			w.fail("request %v has %v left and is refused %v; %v restarts until %v", r.submission.ID, r.submission.Budget, refusal, at, back)
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
func (w *world) checkRefusal(r *asked, refusal *protocol.Error) {
	w.checkWait(r, refusal)
	w.checkRetired(r, refusal)
	if r.final != (refusal.Code == protocol.ExecutionCrashed) {
		w.fail("request %v is refused %v, and is %+v", r.submission.ID, refusal, r.blamed)
	}
	if r.final {
		w.faults.refused++
	}
	if until := w.blame.quarantined[r.submission.Model]; refusal.Code == protocol.ModelQuarantined && w.now >= until {
		w.fail("%s is not quarantined, and request %v is refused %v", r.submission.Model, r.submission.ID, refusal)
	}
	if at := strings.Index(refusal.Message, "secret-"); at >= 0 && refusal.Code != protocol.WorkerLost && refusal.Code != protocol.DeadlineExceeded {
		own := w.blame.count[r.last] == 1 && strings.HasPrefix(refusal.Message[at:], secret(r.last))
		load := strings.Contains(refusal.Message, protocol.LoadWeights.String())
		if !own && !load {
			w.fail("request %v reads of another: %v", r.submission.ID, refusal)
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
