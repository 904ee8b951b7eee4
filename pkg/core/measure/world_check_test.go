package measure

import (
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// checks is what the world remembers of what the machine said.
type checks struct {
	current    uint64             // the job that is at work
	at         map[gpuKey]*atWork // what each GPU was asked for
	cost       map[Key]int        // GPUs that units cost since they were told of
	have       map[Key]bool       // units of the job with a complete profile
	storing    map[Key]bool       // stores without an answer
	stores     map[protocol.ActionID]Key
	done       int
	total      int
	parts      map[Key]protocol.Profile // what is measured of the job's units
	clears     map[gpuKey]int           // ClearCache in a row, of this job
	lastReport *protocol.ProfileReport
}

// atWork is an action that a GPU was asked for, or the store after it.
type atWork struct {
	action protocol.Action
	sent   protocol.Time
	waits  bool // for its result
}

// began forgets what an earlier life of the profiler was told.
func (w *world) began() {
	w.checks = checks{at: map[gpuKey]*atWork{}, cost: map[Key]int{}, have: map[Key]bool{}, parts: map[Key]protocol.Profile{}, clears: map[gpuKey]int{}, storing: map[Key]bool{}, stores: map[protocol.ActionID]Key{}}
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d at %v: "+format, append([]any{w.seed, w.Now}, args...)...)
}

// check looks at one step of the machine.
func (w *world) check(e Event, out Output) {
	w.checkEvent(e)
	w.checkJob(out)
	for _, a := range out.Actions {
		w.checkAction(a)
	}
	for _, s := range out.Store {
		key := Key{s.Profile.Digest, s.Profile.GPUType}
		if w.storing[key] {
			w.fail("two stores of %v are under way", key)
		}
		w.storing[key], w.stores[s.Token], w.parts[key] = true, key, s.Profile
		if s.Profile.Complete(w.modelOf(key)) {
			w.have[key] = true
			delete(w.cost, key)
		}
	}
	if out.Read != nil && len(w.storing) > 0 {
		w.fail("the store is read while %v are being written", w.storing)
	}
	for _, p := range out.Progress {
		if p.Done != w.done+1 || p.Done > p.Total || w.total != 0 && p.Total != w.total {
			w.fail("progress %d of %d follows %d of %d", p.Done, p.Total, w.done, w.total)
		}
		w.done, w.total = p.Done, p.Total
	}
	for _, g := range w.at {
		if w.m.Job() != 0 && g.waits && out.Wake > g.sent.Add(worldTimeout) {
			w.fail("nobody wakes for %+v, sent at %v, but at %v", g.action, g.sent, out.Wake)
		}
	}
	if j := w.m.job; j != nil && slices.ContainsFunc(j.gpus, func(g *gpu) bool { return g.state == paused && !g.timer.In() }) {
		w.fail("nobody wakes for a GPU that is left alone:\n%s", w.m)
	}
	for key, n := range w.cost {
		if n > maxTries+1 {
			w.fail("%v cost %d GPUs", key, n)
		}
	}
	if out.Report != nil {
		w.checkReport(out.Report)
	}
	if out.Report != nil || out.Unfinished != nil {
		clear(w.at)
	}
}

// checkEvent follows what the machine is told.
func (w *world) checkEvent(e Event) {
	if _, is := e.(Abandon); is { // it comes before what else this instant brings
		clear(w.at)
		return
	}
	for key, g := range w.at { // in any order: it counts
		if g.waits && g.sent.Add(worldTimeout) <= w.Now {
			if r, is := e.(ActionResult); !is || r.Result.Action != g.action.ID || r.Result.Issuer != w.issuer {
				w.late++
				w.costs(g)
				delete(w.at, key)
			}
		}
	}
	switch e := e.(type) {
	case ActionResult:
		for key, g := range w.at {
			if g.waits && g.action.ID == e.Result.Action && e.Result.Issuer == w.issuer {
				g.waits = false
				if e.Result.Code == protocol.OK {
					delete(w.clears, key)
				}
				if e.Result.Code == protocol.ShuttingDown || e.Result.Code == protocol.StaleIncarnation {
					w.costs(g)
					delete(w.at, key)
				}
			}
		}
	case WorkerLost:
		for key, g := range w.at {
			if key.worker == e.ID && key.incarnation == e.Incarnation && g.waits {
				w.costs(g)
				delete(w.at, key)
			}
		}
	case ProfilesRead:
		if e.Job == w.current {
			for _, p := range e.Profiles {
				key := Key{p.Digest, p.GPUType}
				w.parts[key], w.have[key] = p, p.Complete(w.modelOf(key))
			}
		}
	case ProfileStored:
		delete(w.storing, w.stores[e.Token])
	}
}

// costs counts a GPU that gave no result. One that was only to be cleared, or to
// drop the weights of what is measured, costs nothing.
func (w *world) costs(g *atWork) {
	if g.action.Kind != protocol.ClearCache && !w.have[w.unitOf(g.action, w.typeOf(g))] {
		w.cost[w.unitOf(g.action, w.typeOf(g))]++
	}
}

func (w *world) typeOf(g *atWork) string {
	for key, o := range w.at {
		if o == g {
			return w.gpuType(key)
		}
	}
	return ""
}

func (w *world) gpuType(key gpuKey) string {
	return w.workerNamed(key.worker).types[key.id]
}

func (w *world) modelOf(key Key) protocol.ModelSpec {
	return w.models[slices.IndexFunc(w.models, func(m protocol.ModelSpec) bool { return m.Digest == key.Digest })]
}

func (w *world) unitOf(a protocol.Action, kind string) Key {
	return Key{w.models[w.modelNamed(a.Model)].Digest, kind}
}

// modelNamed returns the index of a model; "copy" is one of the first.
func (w *world) modelNamed(name string) int {
	return slices.IndexFunc(w.models, func(m protocol.ModelSpec) bool { return m.Name == name || name == "copy" && m.Name == "m0" })
}

// checkJob follows which job is at work, and what of it need not be measured.
func (w *world) checkJob(out Output) {
	job := w.m.Job()
	if job != 0 && job != w.current {
		w.done, w.total, w.have, w.parts, w.clears = 0, 0, map[Key]bool{}, map[Key]protocol.Profile{}, map[gpuKey]int{}
		for key := range w.at {
			if !slices.ContainsFunc(w.job.Workers, func(s protocol.WorkerState) bool { return s.ID == key.worker && s.Incarnation == key.incarnation }) {
				delete(w.at, key)
			}
		}
	}
	w.current = job
	if out.Begun == nil {
		return
	}
	stored := 0
	for _, m := range w.models {
		for _, kind := range w.types() {
			key := Key{m.Digest, kind}
			known := slices.ContainsFunc(w.job.Known, func(p protocol.Profile) bool { return p.Matches(m, kind) && p.Complete(m) })
			if known {
				w.have[key] = true
				stored++
			}
		}
	}
	if out.Begun.Stored < stored {
		w.fail("job %d has %d profiles at the beginning, %d came with it", job, out.Begun.Stored, stored)
	}
}

// types are the types of GPU of the controller's job.
func (w *world) types() []string {
	var list []string
	for _, s := range w.job.Workers {
		for _, g := range s.GPUs {
			list = append(list, g.Type)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// checkAction holds that a GPU is asked for one thing at a time, and for nothing
// that is known.
func (w *world) checkAction(a WorkerAction) {
	key := gpuKey{a.Worker, a.Action.Incarnation, a.Action.GPU}
	if g := w.at[key]; g != nil && g.waits {
		w.fail("%v is asked for %v, and still at %v", key, a.Action, g.action)
	}
	unit := w.unitOf(a.Action, w.gpuType(key))
	if m := w.modelOf(unit); m.Pages > worldPages {
		w.fail("%s has %d pages, and %v %d", m.Name, m.Pages, key, worldPages)
	}
	for other, g := range w.at {
		if g.waits && other != key && w.unitOf(g.action, w.gpuType(other)) == unit {
			w.fail("%v is at work on %v, and is given to %v", other, unit, key)
		}
	}
	if w.have[unit] && (a.Action.Kind == protocol.Infer || a.Action.Kind == protocol.LoadWeights) {
		w.fail("%v is measured again", unit)
	}
	if part := w.parts[unit]; a.Action.Kind == protocol.Infer {
		if at, found := part.At(a.Action.Batch); found && at.Valid() {
			w.fail("batch %d of %v is measured again", a.Action.Batch, unit)
		}
	}
	if a.Action.Latest != protocol.Never || a.Action.Issuer != w.issuer {
		w.fail("action %+v", a.Action)
	}
	w.at[key] = &atWork{action: a.Action, sent: w.Now, waits: true}
	if a.Action.Kind == protocol.ClearCache {
		if w.clears[key]++; w.clears[key] > maxJams*maxFailures {
			w.fail("%v was to be cleared %d times and is not hung", key, w.clears[key])
		}
	}
}

// checkReport holds that each unit has a profile or a verdict, exactly once.
func (w *world) checkReport(r *protocol.ProfileReport) {
	if r.ID != w.job.ID {
		w.fail("a report of job %d, the last one given was %d", r.ID, w.job.ID)
	}
	told := map[Key]int{}
	for _, p := range r.Profiles {
		told[Key{p.Digest, p.GPUType}]++
		i := slices.IndexFunc(w.models, func(m protocol.ModelSpec) bool { return m.Digest == p.Digest })
		if !p.Complete(w.models[i]) || p.LoadWeights.Samples != worldIterations || !slices.IsSortedFunc(p.Infer, func(a, b protocol.BatchMeasurement) int { return a.Batch - b.Batch }) {
			w.fail("a profile that nobody can plan with: %+v", p)
		}
		for _, b := range p.Infer {
			if b.Samples != worldIterations || b.Max > time.Second {
				w.fail("a measurement of %+v", b)
			}
		}
		delete(w.cost, Key{p.Digest, p.GPUType})
	}
	for _, f := range r.Failures {
		told[Key{f.Digest, f.GPUType}]++
		if f.Reason == "" {
			w.fail("a verdict without a reason: %+v", f)
		}
	}
	for _, m := range w.models {
		for _, kind := range w.types() {
			if n := told[Key{m.Digest, kind}]; n != 1 {
				w.fail("%s on %s is told of %d times in %+v", m.Name, kind, n, r)
			}
			delete(told, Key{m.Digest, kind})
		}
	}
	if len(told) > 0 {
		w.fail("the report tells of %v, which the job does not", told)
	}
	for _, f := range r.Failures {
		if w.m.tries[Key{f.Digest, f.GPUType}] == 0 {
			delete(w.cost, Key{f.Digest, f.GPUType})
		}
	}
	w.lastReport = r
}

// checkLast holds that in the last job, which had no faults but the models' own,
// those that behave have a profile and the others a verdict.
func (w *world) checkLast() {
	for _, f := range w.lastReport.Failures {
		if w.manner[f.Digest] == "" {
			w.fail("%s, which does no harm, is not measured on %s: %s", f.Digest, f.GPUType, f.Reason)
		}
	}
	for _, p := range w.lastReport.Profiles {
		if m := w.manner[p.Digest]; m != "" {
			w.fail("%s, which %s, has a profile", p.Digest, m)
		}
	}
}
