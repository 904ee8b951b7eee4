package measure

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"clockwork/pkg/protocol"
)

// job is the current profiling job.
//
// Invariants: queried is set before planned. done <= total; total is fixed by plan.
type job struct {
	// id is never 0.
	id uint64
	// gpus are in the order of the job, without duplicates. Lost and hung ones stay.
	gpus []*gpu
	// units are all units of the job until it is planned, then nil. waiting are the
	// planned units that no GPU has taken, in the order of sortWaiting.
	units, waiting []*unit
	// queried: the Read was output, or was not needed. planned: the stored profiles have
	// arrived, and GPUs may take units.
	planned, queried bool
	// models counts the models as given, copies included.
	models int
	// report collects the profiles and verdicts so far.
	report protocol.ProfileReport
	// done and total count measurements, for the progress events.
	done, total int
}

// give starts a job, which replaces the current one.
func (m *Machine) give(j protocol.ProfileJob) {
	if j.ID == 0 || j.ID == m.Job() || !m.terms.Admit(protocol.Leader{Service: protocol.Controller, Term: j.Term}) {
		return
	}
	m.job = &job{id: j.ID, models: len(j.Models), report: protocol.ProfileReport{ID: j.ID}}
	types := m.takeOver(j.Workers)
	models := slices.Clone(j.Models)
	slices.SortStableFunc(models, func(a, b protocol.ModelSpec) int { return strings.Compare(a.Name, b.Name) })
	seen, digests := map[Key]bool{}, map[string]bool{}
	for _, model := range models {
		digests[model.Digest] = true
		for _, t := range types {
			if key := (Key{model.Digest, t}); !seen[key] && m.job.isHeldOn(model.Name, t) {
				seen[key] = true
				m.job.units = append(m.job.units, newUnit(model, t, j.Known))
			}
		}
	}
	for key := range m.tries { // map order does not matter: only deletes
		if !digests[key.Digest] {
			delete(m.tries, key)
		}
	}
}

// takeOver makes the workers' GPUs those of the job. A GPU that was already in
// the last job finishes its action first and is then free. takeOver returns the
// GPU types, sorted.
func (m *Machine) takeOver(workers []protocol.WorkerState) (types []string) {
	before := m.gpus
	m.gpus = map[gpuKey]*gpu{}
	for i := range workers {
		w := &workers[i]
		for _, s := range w.GPUs {
			key := gpuKey{w.ID, w.Incarnation, s.ID}
			if m.gpus[key] != nil {
				continue
			}
			g := before[key]
			if g == nil {
				g = newGPU(key)
			}
			delete(before, key)
			g.epoch, g.kind, g.pages, g.pageSize, g.lacks = w.Epoch, s.Type, s.PagesTotal, w.PageSize, w.Lacks
			m.reuse(g)
			m.gpus[key] = g
			m.job.gpus = append(m.job.gpus, g)
			types = append(types, s.Type)
		}
	}
	for _, g := range before { // map order does not matter: only counters change, nothing is output
		m.leave(g)
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// newUnit returns a unit with the profile that the job already knows, if any.
func newUnit(model protocol.ModelSpec, gpuType string, known []protocol.Profile) *unit {
	for _, p := range known {
		if p.Matches(model, gpuType) && p.Complete(model) {
			return &unit{model: model, gpuType: gpuType, known: p}
		}
	}
	return &unit{model: model, gpuType: gpuType, known: protocol.Profile{
		Digest: model.Digest, Backend: model.Backend, BackendVersion: model.BackendVersion, GPUType: gpuType}}
}

// isHeldOn reports whether a GPU of a type is a worker's that holds the model. What no worker
// of a type holds is not measured there, and that is no failure.
func (j *job) isHeldOn(model, gpuType string) bool {
	return slices.ContainsFunc(j.gpus, func(g *gpu) bool { return g.kind == gpuType && !g.isLacking(model) })
}

// ask requests the stored profiles that the job lacks. It waits until the stores
// of earlier jobs have ended.
func (m *Machine) ask() {
	j := m.job
	if j.queried || m.storing > 0 {
		return
	}
	j.queried = true
	read := &Read{Job: j.id}
	for _, u := range j.units {
		if !u.complete() {
			read.Keys = append(read.Keys, Wanted{u.key(), u.model.Backend, u.model.BackendVersion})
		}
	}
	if len(read.Keys) == 0 {
		m.plan(nil)
		return
	}
	m.out.Read = read
}

// profilesRead plans the job with the answer to its Read. Answers for earlier jobs are
// ignored.
func (m *Machine) profilesRead(e ProfilesRead) {
	if j := m.job; j != nil && j.queried && !j.planned && e.Job == j.id {
		m.plan(e.Profiles)
	}
}

// plan decides which units must be measured, given the stored profiles.
func (m *Machine) plan(stored []protocol.Profile) {
	j := m.job
	found := map[Key]*protocol.Profile{}
	for i := range stored {
		found[Key{stored[i].Digest, stored[i].GPUType}] = &stored[i]
	}
	j.planned = true
	for _, u := range j.units {
		if p := found[u.key()]; p != nil && !u.complete() && p.Matches(u.model, u.gpuType) {
			u.known = *p
		}
		switch {
		case u.complete():
			j.report.Profiles = append(j.report.Profiles, u.known)
		case m.tries[u.key()] > maxTries:
			m.verdict(u, givenUp())
		default:
			j.waiting = append(j.waiting, u)
			j.total += u.measurements()
		}
	}
	m.sortWaiting()
	m.out.Begun = &Begun{Job: j.id, Models: j.models, Units: len(j.waiting), Stored: len(j.report.Profiles)}
	j.units = nil
}

// givenUp returns the verdict on a unit that has cost too many GPUs.
func givenUp() string {
	return fmt.Sprintf("%d GPUs in a row were lost or gave no result while they measured it", maxTries+1)
}

// sortWaiting sorts the waiting units by tries, model name and GPU type. Units
// that cost GPUs come last, so that the others are measured and stored first.
func (m *Machine) sortWaiting() {
	slices.SortStableFunc(m.job.waiting, func(a, b *unit) int {
		return cmp.Or(m.tries[a.key()]-m.tries[b.key()], strings.Compare(a.model.Name, b.model.Name), strings.Compare(a.gpuType, b.gpuType))
	})
}

// giveBack returns a unit to the waiting units.
func (m *Machine) giveBack(u *unit) {
	m.job.waiting = append(m.job.waiting, u)
	m.sortWaiting()
}

// verdict reports a unit as not measurable.
func (m *Machine) verdict(u *unit, reason string) {
	m.job.report.Failures = append(m.job.report.Failures,
		protocol.ProfileFailure{Digest: u.model.Digest, GPUType: u.gpuType, Reason: reason})
}

// settle gives each free GPU a unit, and ends the job when no GPU can do any of
// the remaining work.
func (m *Machine) settle() {
	if m.job == nil {
		return
	}
	m.ask()
	if !m.job.planned {
		return
	}
	for _, g := range m.job.gpus {
		if g.state == idle && len(m.job.waiting) > 0 {
			m.take(g)
		}
	}
	for _, g := range m.job.gpus {
		if g.state == working || (g.state == paused || g.state == leaving) && m.job.hasFor(g) {
			return
		}
	}
	m.finish()
}

// take gives a free GPU the first unit that fits. A unit that another GPU is
// still finishing from the last job is skipped until that GPU is done.
func (m *Machine) take(g *gpu) {
	for i, u := range m.job.waiting {
		if u.fits(g) && !m.job.isHeld(u.key()) {
			m.job.waiting = slices.Delete(m.job.waiting, i, i+1)
			m.begin(g, u)
			return
		}
	}
}

// isHeld reports whether a GPU is still finishing an action of an earlier job for the
// unit with this key.
func (j *job) isHeld(key Key) bool {
	return slices.ContainsFunc(j.gpus, func(g *gpu) bool { return g.state == leaving && g.unit.key() == key })
}

// hasFor reports whether a waiting unit could be measured on the GPU.
func (j *job) hasFor(g *gpu) bool {
	return slices.ContainsFunc(j.waiting, func(u *unit) bool { return u.fits(g) })
}

// finish ends the job with a report, or unfinished if lost GPUs are still
// needed.
func (m *Machine) finish() {
	j := m.job
	m.job = nil
	m.forgetActions()
	for _, g := range j.gpus {
		if g.state == lost && j.hasFor(g) {
			m.out.Unfinished = &Unfinished{Job: j.id, Units: len(j.waiting)}
			return
		}
	}
	for _, f := range j.report.Failures {
		delete(m.tries, Key{f.Digest, f.GPUType})
	}
	for _, u := range j.waiting { // these keep their tries, because nothing was measured
		j.report.Failures = append(j.report.Failures,
			protocol.ProfileFailure{Digest: u.model.Digest, GPUType: u.gpuType, Reason: j.whyLeft(u)})
	}
	m.out.Report = &j.report
}

// whyLeft returns why a unit was not measured although no GPU that could measure
// it was lost.
func (j *job) whyLeft(u *unit) string {
	for _, g := range j.gpus {
		if g.state == hung && u.fits(g) {
			return g.flaw()
		}
	}
	return "no GPU of this type could hold it"
}

// progress reports a finished measurement, unless an earlier try of the unit
// reported it.
func (m *Machine) progress(g *gpu, words string) {
	u := g.unit
	if g.passed++; g.passed <= u.shown {
		return
	}
	u.shown = g.passed
	m.job.done++
	m.out.Progress = append(m.out.Progress, protocol.Event{Kind: protocol.EventProfile, Model: u.model.Name, Worker: g.key.worker,
		Done: m.job.done, Total: m.job.total, Message: words})
}
