package startup

import (
	"fmt"
	"slices"

	"clockwork/pkg/protocol"
)

// worker is one incarnation of a worker. Another incarnation gets a new record.
//
// Invariants: before `answered`, only GetWorkerState is sent. At most PerWorker
// tasks are out. No two tasks in out share a name, and tasks that share a name
// are sent in queue order. A name in lacks is an accepted model.
type worker struct {
	id          string
	incarnation uint64
	// state is the last answer to GetWorkerState. Only the first one has Models, the start
	// of holds, which later results keep current.
	state protocol.WorkerState
	// answered: state is set. A worker that has not answered gets no task.
	answered bool
	// queriedAt is when GetWorkerState was last sent; valid while waiting. waiting:
	// its answer is outstanding. late: QueryTimeout has passed without the answer;
	// the answer clears it.
	queriedAt     protocol.Time
	waiting, late bool
	// lacks are the accepted models that this incarnation could not load, or not as they
	// were loaded first, and those that could not be measured on it. It serves the others.
	lacks map[string]protocol.WorkerError
	// retry is how the loads of what it lacks are repeated.
	retry retry
	// unmeasured: among what it lacks there may be models that it holds, and that were not
	// measured on it before a scheduler used it.
	unmeasured bool
	// joined: the worker was in the last Activate or in JoinWorkers. found: the worker
	// answered the query with which this machine started in ACTIVE, so a scheduler of
	// an earlier controller may be using it.
	joined, found bool
	// foundUntil is when a found worker that obeys no scheduler is asked once more: one that
	// does not then either is nobody's. Never if it is not found, or was asked.
	foundUntil protocol.Time
	announced  announcement
	// kept is the reported reason why the worker does not join, "" for none.
	kept string
	// holds are the models in the worker's host memory by name, as far as answers and
	// results have shown. A name leaves when its removal is queued.
	holds map[string]protocol.ModelSpec
	// queue are the tasks to send, in order; out are the tasks sent without a result.
	queue []*task
	out   []*task
	// catchups counts the tasks in queue and out with catchup set, late ones excepted. Once
	// the query at the start has ended, 0 means that the worker holds every accepted model
	// that it does not lack.
	catchups int
}

// pin is what of a path is to be loaded: what an accepted model was when it was loaded, or
// what other workers hold. The zero value is whatever is at the path.
type pin struct {
	version  int
	digest   string
	maxBatch int
}

// pinOf returns the pin of a model that was loaded.
func pinOf(s *protocol.ModelSpec) pin { return pin{s.Version, s.Digest, s.MaxBatch()} }

// busy reports whether a worker has a task besides those for what it lacks.
func (w *worker) busy() bool {
	counts := func(t *task) bool { return !t.late }
	return slices.ContainsFunc(w.queue, counts) || slices.ContainsFunc(w.out, counts)
}

// ready reports whether no catch-up of a worker is outstanding.
func (w *worker) ready() bool { return w.answered && w.catchups == 0 }

// workerSeen adds a worker, in place of its earlier incarnation if there is one, and
// queries it. Workers beyond MaxWorkers are ignored until another is lost.
func (m *Machine) workerSeen(e WorkerSeen) {
	if !protocol.ValidName(e.ID) {
		return
	}
	if w := m.workers[e.ID]; w != nil {
		if w.incarnation == e.Incarnation {
			return
		}
		m.lose(w)
	}
	if len(m.workers) >= m.cfg.MaxWorkers {
		return
	}
	w := &worker{id: e.ID, incarnation: e.Incarnation, holds: map[string]protocol.ModelSpec{}, lacks: map[string]protocol.WorkerError{},
		retry: retry{at: protocol.Never}, foundUntil: protocol.Never}
	m.workers[e.ID] = w
	if m.started {
		m.query(w)
	}
}

// workerLost removes a worker, unless a later incarnation has replaced it.
func (m *Machine) workerLost(e WorkerLost) {
	if w := m.workers[e.ID]; w != nil && w.incarnation == e.Incarnation {
		m.lose(w)
	}
}

// lose removes a worker and reports the loss to the scheduler if the worker had joined.
// Pending loads continue with the other workers.
func (m *Machine) lose(w *worker) {
	delete(m.workers, w.id)
	m.event(protocol.Event{Kind: protocol.EventWorkerLost, Worker: w.id})
	if w.joined {
		m.out.DropWorkers = append(m.out.DropWorkers, w.id)
	}
	m.forget(w)
}

// forget removes a worker's results from the pending loads.
func (m *Machine) forget(w *worker) {
	for _, l := range m.loads {
		delete(l.failed, w.id)
		delete(l.added, w.id)
		for _, other := range m.loaders() { // which lack a model, if w was the last that lacked none
			if _, failed := l.failed[other.id]; !failed && !other.works(l) {
				m.assign(l, other)
			}
		}
	}
}

// query requests the worker's state: at first with its models, later without, since they
// may be tens of thousands and are known.
func (m *Machine) query(w *worker) {
	w.queriedAt, w.waiting = m.now, true
	m.act(w, protocol.Action{Kind: protocol.GetWorkerState, Lean: w.answered})
}

// workerAnswered takes the state of a worker that was queried. The models in it count in
// the first answer; later ones may be older than the results since.
func (m *Machine) workerAnswered(s protocol.WorkerState) {
	w := m.workers[s.ID]
	if w == nil || w.incarnation != s.Incarnation || !w.waiting {
		return
	}
	first := !w.answered
	w.state, w.answered, w.waiting, w.late = s, true, false, false
	m.find(w)
	w.state.Models = nil
	if first {
		for _, model := range s.Models {
			w.holds[model.Name] = model
		}
		m.event(protocol.Event{Kind: protocol.EventWorkerJoined, Worker: w.id})
	}
	if !m.querying {
		m.reconcile(w)
	}
}

// reconcile queues what a worker lacks: accepted models as catch-up, models of
// pending loads as part of those loads. Once loading is closed it also removes
// models that no load named, but not in ACTIVE, where a scheduler may use them. Tasks for
// what the worker lacks change neither.
func (m *Machine) reconcile(w *worker) {
	if w.busy() {
		return
	}
	if m.closed && m.stage < protocol.Active {
		var extra []string
		for _, name := range sortedKeys(w.holds) {
			if _, ok := m.models[name]; !ok {
				extra = append(extra, name)
			}
		}
		m.clear(w, extra)
	}
	for _, g := range m.missing(w, w.serves) {
		m.fetch(w, nil, g.path, g.names, g.pinned)
	}
	if slices.Contains(m.loaders(), w) {
		for _, l := range m.loads {
			m.assign(l, w)
		}
	}
}

// source is accepted models that are loaded together: what of a path, and under which names.
type source struct {
	path   string
	pinned pin
	names  []string
}

// missing returns the accepted models for which want is true and that a worker does not hold
// as they were accepted.
func (m *Machine) missing(w *worker, want func(name string) bool) []source {
	found := map[string]*source{}
	for _, name := range m.modelNames() {
		if !want(name) {
			continue
		}
		accepted, have := w.state.SpecOf(m.models[name]), w.holds[name]
		if have.Differs(&accepted) == "" {
			continue
		}
		pinned := pinOf(&accepted)
		key := fmt.Sprintf("%s\x00%08d %s %04d", accepted.Path, pinned.version, pinned.digest, pinned.maxBatch)
		if found[key] == nil {
			found[key] = &source{path: accepted.Path, pinned: pinned}
		}
		found[key].names = append(found[key].names, name)
	}
	list := make([]source, 0, len(found))
	for _, key := range sortedKeys(found) {
		list = append(list, *found[key])
	}
	return list
}

// fetch queues the load of names from path, in tasks of at most MaxNames bytes of names,
// after the removal of other models with these names.
func (m *Machine) fetch(w *worker, l *load, path string, names []string, pinned pin) {
	m.clear(w, w.holding(names))
	for part := range m.parts(names) {
		t := &task{kind: protocol.LoadModelFromDisk, path: path, names: part, pinned: pinned, load: l, catchup: l == nil}
		if t.catchup {
			w.catchups++
		}
		w.queue = append(w.queue, t)
	}
}

// holding returns those of names under which a worker holds any model.
func (w *worker) holding(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { _, holds := w.holds[n]; return !holds })
}

// isAskedFor reports whether one of a worker's tasks that count, sent or not, is for a model.
func (w *worker) isAskedFor(model string, counts func(*task) bool) bool {
	is := func(t *task) bool { return counts(t) && slices.Contains(t.names, model) }
	return slices.ContainsFunc(w.queue, is) || slices.ContainsFunc(w.out, is)
}

// compare queues a comparison of what is at the path of a load with what the worker holds.
func (m *Machine) compare(w *worker, l *load) {
	w.queue = append(w.queue, &task{kind: protocol.LoadModelFromDisk, path: l.path, names: l.names[:1], load: l, compare: true})
}

// expireWorkers repeats queries that timed out, resends tasks, and no longer waits for
// catch-ups that take too long.
func (m *Machine) expireWorkers() {
	for _, w := range m.sorted() {
		if w.waiting && m.now >= w.queriedAt.Add(m.cfg.QueryTimeout) {
			w.late = true
			m.query(w)
		}
		for _, t := range slices.Clone(w.out) {
			if t.catchup && !t.late && m.now >= t.sent.Add(m.cfg.LoadTimeout) {
				t.late = true
				w.catchups--
				m.lack(w, t.names, &protocol.WorkerError{Worker: w.id, Code: protocol.LoadTimeout, Message: "the load of " + t.path + " is not done"})
			}
			if m.now >= t.resend {
				m.resend(w, t)
			}
		}
	}
}
