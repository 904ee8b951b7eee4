package startup

import (
	"fmt"
	"iter"
	"slices"
	"time"

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

// task is one LoadModelFromDisk or ClearCache of one worker, from its queueing until
// its result. load, catchup and abandoned may change meanwhile; kind, path and names
// do not.
type task struct {
	// kind is LoadModelFromDisk or ClearCache. names are the models to load from path,
	// or to remove; path is empty for ClearCache.
	kind  protocol.Kind
	path  string
	names []string
	// pinned is what to load from path. compare: nothing is loaded, only what is at path is
	// read.
	pinned  pin
	compare bool
	// load is the load that needs the result. nil for a catch-up, for ClearCache, and
	// for a task whose load is over.
	load *load
	// catchup: the task loads accepted models. If it fails, the worker lacks them. late: the
	// worker lacks them until its result, since it took longer than LoadTimeout, or repeats
	// what failed.
	catchup, late bool
	// abandoned: the load is over; models that still load successfully are removed
	// again.
	abandoned bool
	// id is the action's id, valid once sent. Resending keeps it; a repeated removal
	// gets a new one.
	id protocol.ActionID
	// sent is when the task was first sent under this id. resend is when it is sent
	// again unless its result arrives. pause is the interval that led to resend; it
	// doubles each time, up to LoadTimeout/8.
	sent, resend protocol.Time
	pause        time.Duration
	// notBefore is the earliest time to send the task, 0 for at once. Set after a
	// removal failed.
	notBefore protocol.Time
}

// busy reports whether a worker has a task besides those for what it lacks.
func (w *worker) busy() bool {
	counts := func(t *task) bool { return !t.late }
	return slices.ContainsFunc(w.queue, counts) || slices.ContainsFunc(w.out, counts)
}

// ready reports whether no catch-up of a worker is outstanding.
func (w *worker) ready() bool { return w.answered && w.catchups == 0 }

// shares reports whether two tasks have a name in common; they may not run at the
// same time.
func (t *task) shares(o *task) bool {
	for _, n := range t.names {
		if slices.Contains(o.names, n) {
			return true
		}
	}
	return false
}

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

// parts cuts names into lists that fit into one action.
func (m *Machine) parts(names []string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		first, bytes := 0, 0
		for i, n := range names {
			if size := len(n) + nameOverhead; bytes+size > m.cfg.MaxNames && i > first {
				if !yield(names[first:i:i]) {
					return
				}
				first, bytes = i, 0
			}
			bytes += len(n) + nameOverhead
		}
		if first < len(names) {
			yield(names[first:])
		}
	}
}

// nameOverhead bounds the encoded bytes of a name besides its own.
const nameOverhead = 2

// clear queues the removal of models from host memory.
func (m *Machine) clear(w *worker, names []string) {
	if len(names) == 0 {
		return
	}
	for _, n := range names {
		delete(w.holds, n)
	}
	for part := range m.parts(names) {
		w.queue = append(w.queue, &task{kind: protocol.ClearCache, names: part})
	}
}

// pump sends the queued tasks that may be sent, in queue order.
func (m *Machine) pump(w *worker) {
	if !w.answered {
		return
	}
	var rest []*task
	for i, t := range w.queue {
		if len(w.out) >= m.cfg.PerWorker {
			rest = append(rest, w.queue[i:]...)
			break
		}
		if t.notBefore > m.now || slices.ContainsFunc(w.out, t.shares) || slices.ContainsFunc(rest, t.shares) {
			rest = append(rest, t)
			continue
		}
		t.sent, t.pause = m.now, m.cfg.Resend
		t.id = m.act(w, m.actionOf(t))
		t.resend = m.now.Add(t.pause)
		w.out = append(w.out, t)
	}
	w.queue = rest
}

// resend sends a task without a result again, because the task or its result may
// be lost. The task keeps its id: a worker that has finished the task answers
// the same from memory, and one that is still executing it continues. Resending
// lasts until there is a result, even when the load is over: the names are free
// only once the worker's state is known. A load may take long, so the pauses
// grow.
func (m *Machine) resend(w *worker, t *task) {
	a := m.actionOf(t)
	a.ID = t.id
	m.send(w, a)
	t.pause = max(t.pause, min(2*t.pause, m.cfg.LoadTimeout/8))
	t.resend = m.now.Add(t.pause)
}

// actionOf returns the action that carries out a task, as it is sent now, without its id.
func (m *Machine) actionOf(t *task) protocol.Action {
	if t.kind == protocol.ClearCache {
		return protocol.Action{Kind: t.kind, GPU: -1, Models: t.names}
	}
	load := &protocol.LoadSpec{Path: t.path, Names: t.names, MaxBatch: m.cfg.MaxBatch, MaxExec: m.cfg.MaxExec, Compare: t.compare,
		Within: m.within(t)}
	if t.pinned != (pin{}) { // its sizes are what it was loaded with, not what is loaded with now
		load.Version, load.Digest, load.MaxBatch, load.MaxExec = t.pinned.version, t.pinned.digest, t.pinned.maxBatch, 0
	}
	return protocol.Action{Kind: t.kind, Load: load}
}

// within returns how long a worker may take for a load that is sent now, until nobody waits
// for it: a worker reads few models at a time.
func (m *Machine) within(t *task) time.Duration {
	until := t.sent.Add(m.cfg.LoadTimeout)
	switch {
	case t.abandoned:
		until = m.now
	case t.load != nil:
		until = min(until, t.load.deadline)
	}
	return max(until.Sub(m.now), time.Millisecond)
}

// result processes a worker's result. Results for another issuer, and for a task that
// is not outstanding, are ignored.
func (m *Machine) result(r protocol.Result) {
	w := m.workers[r.Worker]
	if w == nil || r.Issuer != m.cfg.Issuer {
		return
	}
	if r.Code == protocol.StaleTerm { // the action stays without a result, and is sent again
		m.out.Confirm = true
		return
	}
	if r.Kind == protocol.GetWorkerState {
		if r.State != nil {
			s := *r.State
			s.ID = r.Worker
			m.workerAnswered(s)
		}
		return
	}
	i := slices.IndexFunc(w.out, func(t *task) bool { return t.id == r.Action })
	if i < 0 {
		return
	}
	if r.Code == protocol.StaleIncarnation {
		m.lose(w)
		return
	}
	t := w.out[i]
	w.out = slices.Delete(w.out, i, i+1)
	if t.kind == protocol.ClearCache {
		if r.Code != protocol.OK && r.Code != protocol.UnknownModel {
			m.again(w, t)
		}
		return
	}
	m.loaded(w, t, r)
}

// again puts a failed removal back at the front of the queue. The removal gets a
// new id, because the old id has failed.
func (m *Machine) again(w *worker, t *task) {
	t.notBefore = m.now.Add(m.cfg.Resend)
	w.queue = append([]*task{t}, w.queue...)
}

// loaded processes the result of LoadModelFromDisk: for a load, for a catch-up, or for
// a load that is over, whose models are removed again at once.
func (m *Machine) loaded(w *worker, t *task, r protocol.Result) {
	if t.compare {
		m.compared(w, t, r)
		return
	}
	failure := m.check(w, t, r)
	if r.Code == protocol.OK { // also what is not as it was accepted
		for _, spec := range r.Loaded {
			if slices.Contains(t.names, spec.Name) {
				w.holds[spec.Name] = spec
			}
		}
	}
	m.addProfiles(r.Profiles)
	if t == w.retry.task {
		defer m.retried(w)
	}
	if t.catchup && !t.late {
		w.catchups--
	}
	switch {
	case t.abandoned && failure == nil:
		m.clear(w, t.names)
		last := len(w.queue) - 1 // in front of any task that loads the same names
		w.queue = slices.Insert(w.queue[:last:last], 0, w.queue[last])
	case t.abandoned:
	case t.catchup && failure == nil:
		m.regain(w, t.names)
	case t.catchup:
		m.lack(w, t.names, failure)
	case failure != nil:
		t.load.failed[w.id] = *failure
	default:
		t.load.added[w.id] = append(t.load.added[w.id], t.names...)
	}
}

// compared notes for a load of held models that what is at their path is no more what the
// worker holds.
func (m *Machine) compared(w *worker, t *task, r protocol.Result) {
	if t.load == nil {
		return
	}
	held := w.holds[t.names[0]]
	switch {
	case r.Code != protocol.OK:
		t.load.changed = append(t.load.changed, protocol.WorkerError{Worker: w.id, Code: r.Code, Message: r.Message})
	case len(r.Loaded) != 1:
	case r.Loaded[0].Digest != held.Digest || r.Loaded[0].Version != held.Version && held.Version != 0:
		now, difference := &r.Loaded[0], ""
		if now.Digest != held.Digest {
			difference = ": " + protocol.DigestsDiffer(now.Digest, held.Digest)
		}
		t.load.changed = append(t.load.changed, protocol.WorkerError{Worker: w.id, Code: protocol.ModelChanged,
			Message: fmt.Sprintf("at the path is %s now, loaded was %s%s", now.Files(), held.Files(), difference)})
	}
}

// check returns the error in a load's result, nil for none. A result that is OK must
// name every model of the task, from its path; an accepted model must be what was
// accepted.
func (m *Machine) check(w *worker, t *task, r protocol.Result) *protocol.WorkerError {
	if r.Code != protocol.OK {
		return &protocol.WorkerError{Worker: r.Worker, Code: r.Code, Message: r.Message}
	}
	for _, name := range t.names {
		i := slices.IndexFunc(r.Loaded, func(s protocol.ModelSpec) bool { return s.Name == name })
		if i < 0 || r.Loaded[i].Path != t.path {
			return &protocol.WorkerError{Worker: r.Worker, Code: protocol.Internal, Message: "answered OK without model " + name}
		}
		if accepted, ok := m.models[name]; ok {
			want := w.state.SpecOf(accepted)
			if diff := r.Loaded[i].Differs(&want); diff != "" {
				return &protocol.WorkerError{Worker: r.Worker, Code: protocol.ModelChanged, Message: diff}
			}
		}
	}
	return nil
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
