package startup

import (
	"slices"

	"clockwork/pkg/protocol"
)

// profiling is the state of the profiling jobs, of which at most one is running.
type profiling struct {
	// job numbers the jobs of this machine from 1; 0 before the first job. A report
	// for another job is ignored.
	job uint64
	// running: the report of job is outstanding. A job that lost a worker is no longer
	// running.
	running bool
	// sent is when order was last output. A profiler gets Resend to take up the job
	// before it is output again.
	sent protocol.Time
	// retryAt is the earliest time of the next job after one that left no model to
	// serve; 0 if that never happened.
	retryAt protocol.Time
	// order is the last job, as it was first output. Valid from the first job on.
	order ProfilingJob
	// measured are the kinds of GPUs that the jobs of this round of PROFILING had, bad why
	// they could not measure a model, by name. Empty at the begin of a round.
	measured map[kind]bool
	bad      map[string]string
	// profiler is the incarnation in the profiler's last heartbeat, 0 before the first, and
	// heard when that came, at first the time of Started.
	profiler uint64
	heard    protocol.Time
}

// activation is the state of the hand-over to the scheduler. The machine first
// queries the workers' state, because the profiler or an earlier scheduler
// changed the GPUs. Apart from seen, nothing here changes before the stage is ACTIVE.
type activation struct {
	// needed: a scheduler must be activated. running: the query before the
	// activation is outstanding. done: a scheduler has received the state; from then
	// on workers join it one by one.
	needed, running, done bool
	// until is when the query before the activation ends, even if workers have not
	// answered; valid while running.
	until protocol.Time
	// seen is the time of the last heartbeat of an active scheduler, at first the time
	// of Started. sent is the time of the last Activate, 0 before the first.
	seen, sent protocol.Time
	// epoch is the highest scheduler epoch that needed an activation.
	epoch uint64
	// active is the highest epoch of a scheduler that was seen active.
	active uint64
	// kinds are those of the GPUs in this machine's last Activate, which included all
	// their profiles. nil before the first Activate.
	kinds map[kind]bool
	// fresh are the profiles that came after that, or after the start in ACTIVE.
	fresh map[protocol.ProfileKey]bool
}

// kind is what profiles are measured for: a GPU type, under one version of a worker's
// backend.
type kind struct{ gpuType, backend, version string }

// profile issues a job when none is running and there are GPUs to measure: in
// PROFILING the GPUs of all ready workers, in ACTIVE those of latecomers. A job
// that lost a worker is replaced by a job without that worker, because the
// profiler cannot tell what only the lost GPUs could have measured. Finished
// measurements are in KV, so the replacement costs little. There are at most as
// many replacements as losses: a worker that returns is not part of the running
// job.
func (m *Machine) profile() {
	p := &m.profiling
	if p.running && slices.ContainsFunc(p.order.Workers, m.isGone) {
		p.running = false
	}
	if p.running || m.querying || m.pendingStage != 0 || m.retryStage != 0 || m.now < p.retryAt {
		return
	}
	workers := m.toProfile()
	if len(workers) == 0 {
		return // return early: there may be thousands of models
	}
	models := m.served()
	if m.stage == protocol.Profiling { // including those that the last job could not measure
		models = m.pick(func(string) bool { return true })
	}
	known := m.known(models, workers)
	for i := range models {
		models[i] = workers[0].SpecOf(models[i])
	}
	p.job++
	p.running, p.order = true, ProfilingJob{Job: p.job, Models: models, Workers: workers, Known: known}
	m.sendJob()
}

// toProfile returns the workers that have something to measure in the current stage, all
// with the same version of the backend, which is what a job measures.
func (m *Machine) toProfile() []protocol.WorkerState {
	workers, first := []protocol.WorkerState(nil), 0
	switch m.stage {
	case protocol.Profiling:
		workers = m.present(false)
		first = slices.IndexFunc(workers, func(w protocol.WorkerState) bool {
			return slices.ContainsFunc(kindsOf([]protocol.WorkerState{w}), func(k kind) bool { return !m.profiling.measured[k] })
		})
	case protocol.Active:
		workers = m.latecomers()
	}
	if first < 0 || len(workers) == 0 {
		return nil
	}
	one := workers[first]
	return slices.DeleteFunc(workers, func(w protocol.WorkerState) bool {
		return w.Backend != one.Backend || w.BackendVersion != one.BackendVersion
	})
}

// isGone reports whether this incarnation of a worker is lost or out of service.
func (m *Machine) isGone(o protocol.WorkerState) bool {
	w := m.workers[o.ID]
	return w == nil || w.incarnation != o.Incarnation || !w.ready()
}

// sendJob outputs the current job, for the first time or again.
func (m *Machine) sendJob() {
	m.profiling.sent = m.now
	order := m.profiling.order
	m.out.StartProfiling = &order
}

// profilerSeen outputs the job again if the profiler does not work on it: at once if
// the profiler restarted, otherwise after Resend.
func (m *Machine) profilerSeen(h *protocol.Heartbeat) {
	p := &m.profiling
	p.heard = m.now
	reborn := p.profiler != 0 && p.profiler != h.Incarnation
	p.profiler = h.Incarnation
	if p.running && h.Job != p.job && (reborn || m.now.Sub(p.sent) > m.cfg.Resend) {
		m.sendJob()
	}
}

// profilingDone adds the profiles of a job and quarantines the models that
// cannot be planned. If a new GPU type appeared during the job, the next job
// measures that type first.
func (m *Machine) profilingDone(e ProfilingDone) {
	p := &m.profiling
	if !p.running || e.Job != p.job {
		return
	}
	p.running = false
	m.addProfiles(e.Profiles)
	if m.stage == protocol.Active {
		m.latecomersMeasured(e.Quarantined)
		m.regainMeasured()
		return
	}
	if p.measured == nil {
		p.measured, p.bad = map[kind]bool{}, map[string]string{}
	}
	for _, k := range kindsOf(p.order.Workers) {
		p.measured[k] = true
	}
	for _, s := range p.order.Models {
		if flaw := m.flaw(s, p.order.Workers, e.Quarantined); flaw != "" {
			p.bad[s.Name] = flaw
		}
	}
	if len(m.toProfile()) > 0 {
		return // profile issues the next job, for another kind, in this same step
	}
	bad := p.bad
	p.measured, p.bad = nil, nil
	for _, name := range sortedKeys(bad) {
		m.event(protocol.Event{Kind: protocol.EventQuarantine, Model: name, Message: bad[name]})
	}
	m.quarantined = bad // for display only; the next round tries these models again
	if slices.ContainsFunc(m.ready(), func(s protocol.WorkerState) bool { return !m.plannable(s) }) {
		return // a worker regained a model during the job: profile issues the next one in this same step
	}
	if !slices.ContainsFunc(m.served(), func(s protocol.ModelSpec) bool { return m.servable(s.Name) }) {
		p.retryAt = m.now.Add(m.cfg.ProfileRetry)
		return
	}
	m.setStage(protocol.Active)
}

// servable reports whether a ready worker serves the model.
func (m *Machine) servable(name string) bool {
	for _, w := range m.workers {
		if w.ready() && w.serves(name) {
			return true
		}
	}
	return false
}

// flaw returns why a model cannot be planned on these workers, all with the same version of
// the backend, or "" if it can, on those that do not lack it.
func (m *Machine) flaw(s protocol.ModelSpec, workers []protocol.WorkerState, quarantined []Quarantine) string {
	for _, q := range quarantined {
		if q.Model == s.Name || q.Digest != "" && q.Digest == s.Digest {
			return q.Reason
		}
	}
	holders := slices.DeleteFunc(slices.Clone(workers), func(w protocol.WorkerState) bool { return w.Lacking(s.Name) })
	for _, t := range gpuTypes(holders) {
		if !m.profiled(holders[0].SpecOf(s), t) {
			return "no complete profile on " + t
		}
	}
	return ""
}

// schedulerSeen requests an activation at once for a scheduler that newly got
// the lease, and for any scheduler after Resend without an active one.
func (m *Machine) schedulerSeen(h *protocol.Heartbeat) {
	a := &m.activation
	if m.stage != protocol.Active {
		return
	}
	if h.State == protocol.SchedulerActive {
		a.seen, a.active = m.now, max(a.active, h.Epoch)
		if !a.running {
			a.needed, a.done = false, true
		}
		return
	}
	if h.Epoch > a.epoch {
		a.epoch, a.needed = h.Epoch, true
	} else if m.now.Sub(a.seen) >= m.cfg.Resend && m.now.Sub(a.sent) >= m.cfg.Resend {
		a.needed = true
	}
}

// activate runs a pending activation, then joins workers that became ready after
// it.
func (m *Machine) activate() {
	a := &m.activation
	if m.stage != protocol.Active || m.querying {
		return
	}
	m.askFound()
	m.explain()
	if a.needed && !a.running && len(m.present(false)) > 0 {
		a.needed, a.running, a.until = false, true, m.now.Add(m.cfg.RefreshTimeout)
		for _, w := range m.sorted() {
			if w.ready() {
				m.query(w)
			}
		}
	}
	if a.running {
		outstanding := slices.ContainsFunc(m.sorted(), func(w *worker) bool { return w.ready() && w.waiting })
		if outstanding && m.now < a.until {
			return
		}
		workers := m.present(true)
		if len(workers) == 0 {
			a.needed, a.running = true, len(m.ready()) > 0
			a.until = m.now.Add(m.cfg.RefreshTimeout)
			return
		}
		a.needed, a.running = false, false
		a.done, a.sent = true, m.now
		models := m.served()
		page := workers[0].PageSize
		m.out.Activate = &protocol.ClockworkState{Term: m.cfg.Term, PageSize: page, Models: models, Profiles: m.known(models, workers), Workers: workers}
		a.kinds, a.fresh = map[kind]bool{}, map[protocol.ProfileKey]bool{}
		for _, k := range kindsOf(workers) {
			a.kinds[k] = true
		}
		m.markJoined(workers)
	}
	if !a.done {
		return
	}
	for _, w := range m.sorted() {
		if w.joined || !w.ready() || w.waiting {
			continue
		}
		if state := w.snapshot(); m.plannable(state) {
			state.Profiles = m.unannounced(state)
			m.announce(w, state)
			if w.kept != "" {
				w.kept = ""
				m.event(protocol.Event{Kind: protocol.EventWorkerJoined, Worker: w.id})
			}
		}
	}
}

// markJoined sets joined for the workers of an Activate and clears it for all others:
// an Activate replaces the workers that an earlier scheduler had.
func (m *Machine) markJoined(workers []protocol.WorkerState) {
	for _, w := range m.workers {
		w.joined = slices.ContainsFunc(workers, func(s protocol.WorkerState) bool { return s.ID == w.id })
		w.announced = announcement{}
	}
}

// quarantineAgain restores, after a restart in ACTIVE, the quarantined models
// from KV. A model without a complete profile on any GPU type is quarantined in
// any case, because it cannot be served.
func (m *Machine) quarantineAgain(stored []Quarantine) {
	for _, q := range stored {
		if m.isModel(q.Model) {
			m.quarantined[q.Model] = q.Reason
		}
	}
	for name, s := range m.models {
		if m.quarantined[name] != "" {
			continue
		}
		if !slices.ContainsFunc(m.profiles[s.Digest], func(p protocol.Profile) bool { return p.Backend == s.Backend && p.Complete(s) }) {
			m.quarantined[name] = "no complete profile"
		}
	}
}

// ready returns the workers that hold every accepted model, sorted by id.
func (m *Machine) ready() []protocol.WorkerState {
	var list []protocol.WorkerState
	for _, w := range m.sorted() {
		if w.ready() {
			list = append(list, w.snapshot())
		}
	}
	return list
}

// present returns the ready workers. If fresh, it leaves out workers with an
// outstanding state query and workers with a GPU type that lacks a profile of a
// served model.
func (m *Machine) present(fresh bool) []protocol.WorkerState {
	return slices.DeleteFunc(m.ready(), func(s protocol.WorkerState) bool {
		return fresh && (m.workers[s.ID].waiting || !m.plannable(s))
	})
}

func (m *Machine) isModel(name string) bool { _, ok := m.models[name]; return ok }

// served returns the models that are not quarantined, sorted by name.
func (m *Machine) served() []protocol.ModelSpec {
	return m.pick(func(name string) bool { return m.quarantined[name] == "" })
}

// pick returns the accepted models for which want is true, sorted by name.
func (m *Machine) pick(want func(name string) bool) []protocol.ModelSpec {
	var list []protocol.ModelSpec
	for _, name := range m.modelNames() {
		if want(name) {
			list = append(list, m.models[name])
		}
	}
	return list
}

// profiled reports whether the model has a complete profile on a GPU type.
func (m *Machine) profiled(s protocol.ModelSpec, gpu string) bool {
	for i := range m.profiles[s.Digest] {
		if p := &m.profiles[s.Digest][i]; p.Matches(s, gpu) && p.Complete(s) {
			return true
		}
	}
	return false
}

// known returns the profiles of these models as these workers run them, sorted by key.
func (m *Machine) known(models []protocol.ModelSpec, workers []protocol.WorkerState) []protocol.Profile {
	type variant struct{ digest, backend, version string }
	wanted := map[variant]bool{}
	for _, s := range models {
		wanted[variant{s.Digest, s.Backend, s.BackendVersion}] = true
		for i := range workers {
			s := workers[i].SpecOf(s)
			wanted[variant{s.Digest, s.Backend, s.BackendVersion}] = true
		}
	}
	var list []protocol.Profile
	for v := range wanted { // map order does not matter: the list is sorted
		for _, p := range m.profiles[v.digest] {
			if p.Backend == v.backend && p.BackendVersion == v.version {
				list = append(list, p)
			}
		}
	}
	slices.SortFunc(list, func(a, b protocol.Profile) int { return compareKeys(a, b) })
	return list
}

func compareKeys(a, b protocol.Profile) int {
	return slices.Compare([]string{a.Digest, a.Backend, a.BackendVersion, a.GPUType}, []string{b.Digest, b.Backend, b.BackendVersion, b.GPUType})
}

// gpuTypes returns the GPU types of these workers, sorted and without
// duplicates.
func gpuTypes(workers []protocol.WorkerState) []string {
	var types []string
	for _, w := range workers {
		for _, g := range w.GPUs {
			types = append(types, g.Type)
		}
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// kindsOf returns the kinds of the GPUs of these workers, each once.
func kindsOf(workers []protocol.WorkerState) []kind {
	var kinds []kind
	for _, w := range workers {
		for _, g := range w.GPUs {
			if k := (kind{g.Type, w.Backend, w.BackendVersion}); !slices.Contains(kinds, k) {
				kinds = append(kinds, k)
			}
		}
	}
	return kinds
}
