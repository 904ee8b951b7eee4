package startup

import (
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// worker is one life of a worker.
//
// Invariants: nothing but GetWorkerState is sent before answered; at most
// PerWorker tasks are out; no two tasks that are out share a name, and tasks
// that share one are sent in the order of the queue.
type worker struct {
	id          string
	incarnation uint64
	state       protocol.WorkerState
	answered    bool
	// asked is when GetWorkerState was last sent, waiting whether its answer
	// is outstanding, late whether one was not answered in time.
	asked         protocol.Time
	waiting, late bool
	// dropped: a catch-up failed; this life is out of service.
	dropped bool
	// joined: the scheduler has it; found: it stood there when this machine
	// began in ACTIVE.
	joined, found bool
	// unfit says why its GPUs cannot be measured in this life; kept is the
	// reason last told why it does not join.
	unfit, kept string
	// holds are the models in its host memory as far as results told.
	holds map[string]protocol.ModelSpec
	queue []*task
	out   []*task
	// catchups counts the tasks of queue and out that an accepted model waits
	// for; with none the worker is ready.
	catchups int
}

// task is one LoadModelFromDisk or ClearCache of one worker.
type task struct {
	kind    protocol.Kind
	path    string
	names   []string
	load    *load // nil for a catch-up and for ClearCache
	catchup bool
	// abandoned: the load is over; an OK is taken back.
	abandoned bool
	id        protocol.ActionID
	// sent is when it was first sent, resend when it is sent again unless its
	// result comes, pause how long it waits for that.
	sent, resend protocol.Time
	pause        time.Duration
	notBefore    protocol.Time
}

func (w *worker) serving() bool { return w.answered && !w.dropped }
func (w *worker) ready() bool   { return w.serving() && w.catchups == 0 }

func (t *task) shares(o *task) bool {
	for _, n := range t.names {
		if slices.Contains(o.names, n) {
			return true
		}
	}
	return false
}

func (w *worker) snapshot(keep func(string) bool) protocol.WorkerState {
	s := w.state
	s.Models = nil
	for _, name := range sortedKeys(w.holds) {
		if keep(name) {
			s.Models = append(s.Models, w.holds[name])
		}
	}
	return s
}

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
	w := &worker{id: e.ID, incarnation: e.Incarnation, holds: map[string]protocol.ModelSpec{}}
	m.workers[e.ID] = w
	if m.started {
		m.query(w)
	}
}

func (m *Machine) workerLost(e WorkerLost) {
	if w := m.workers[e.ID]; w != nil && w.incarnation == e.Incarnation {
		m.lose(w)
	}
}

// lose forgets a worker; loads go on with the others.
func (m *Machine) lose(w *worker) {
	delete(m.workers, w.id)
	m.event(protocol.Event{Kind: protocol.EventWorkerLost, Worker: w.id})
	if w.joined {
		m.out.DropWorkers = append(m.out.DropWorkers, w.id)
	}
	m.forget(w)
}

// forget takes a worker's part out of the pending loads.
func (m *Machine) forget(w *worker) {
	for _, l := range m.loads {
		delete(l.failed, w.id)
		delete(l.added, w.id)
	}
}

// query sends GetWorkerState.
func (m *Machine) query(w *worker) {
	w.asked, w.waiting = m.now, true
	m.act(w, protocol.Action{Kind: protocol.GetWorkerState})
}

func (m *Machine) workerAnswered(s protocol.WorkerState) {
	w := m.workers[s.ID]
	if w == nil || w.incarnation != s.Incarnation || !w.waiting || w.dropped {
		return
	}
	first := !w.answered
	w.state, w.answered, w.waiting, w.late = s, true, false, false
	w.found = w.found || m.querying && m.stage == protocol.Active
	if len(w.queue)+len(w.out) == 0 {
		w.holds = map[string]protocol.ModelSpec{}
		for _, model := range s.Models {
			w.holds[model.Name] = model
		}
	}
	if first {
		m.event(protocol.Event{Kind: protocol.EventWorkerJoined, Worker: w.id})
	}
	if !m.querying {
		m.reconcile(w)
	}
}

// reconcile gives a worker what the others have: accepted models as catch-up,
// pending loads as part of them. Once loading is closed it also takes away
// what nobody asked for, but not from under a scheduler.
func (m *Machine) reconcile(w *worker) {
	if len(w.queue)+len(w.out) > 0 {
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
	byPath := map[string][]string{}
	for _, name := range sortedKeys(m.models) {
		want, have := m.models[name], w.holds[name]
		if have.Digest != want.Digest || have.Path != want.Path {
			byPath[want.Path] = append(byPath[want.Path], name)
		}
	}
	for _, path := range sortedKeys(byPath) {
		m.fetch(w, nil, path, byPath[path])
	}
	for _, l := range m.loads {
		m.assign(l, w)
	}
}

// fetch queues the load of names from path, after clearing other models that
// stand in their place.
func (m *Machine) fetch(w *worker, l *load, path string, names []string) {
	var wrong []string
	for _, n := range names {
		if _, ok := w.holds[n]; ok {
			wrong = append(wrong, n)
		}
	}
	m.clear(w, wrong)
	t := &task{kind: protocol.LoadModelFromDisk, path: path, names: names, load: l, catchup: l == nil}
	if t.catchup {
		w.catchups++
	}
	w.queue = append(w.queue, t)
}

// clear queues the removal of models from host memory.
func (m *Machine) clear(w *worker, names []string) {
	if len(names) == 0 {
		return
	}
	for _, n := range names {
		delete(w.holds, n)
	}
	w.queue = append(w.queue, &task{kind: protocol.ClearCache, names: names})
}

// pump sends what may be sent, in the order of the queue.
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
		t.id = m.act(w, t.action(m.cfg))
		t.sent, t.pause = m.now, m.cfg.Resend
		t.resend = m.now.Add(t.pause)
		w.out = append(w.out, t)
	}
	w.queue = rest
}

// resend sends a task again that has no result yet, since it or its result may
// be lost. It has the id that it had: a worker that has ended it answers the
// same from memory, and one that is at it goes on. So it goes on until there is
// a result, also when the load is over: its names are free again only once it
// is known what the worker holds. A load may take long, so the pauses grow.
func (m *Machine) resend(w *worker, t *task) {
	a := t.action(m.cfg)
	a.ID = t.id
	m.send(w, a)
	t.pause = max(t.pause, min(2*t.pause, m.cfg.LoadTimeout/8))
	t.resend = m.now.Add(t.pause)
}

func (t *task) action(c Config) protocol.Action {
	if t.kind == protocol.ClearCache {
		return protocol.Action{Kind: t.kind, GPU: -1, Models: t.names}
	}
	return protocol.Action{Kind: t.kind, Load: &protocol.LoadSpec{Path: t.path, Names: t.names, MaxBatch: c.MaxBatch, MaxExec: c.MaxExec}}
}

// result takes a worker's answer to a task.
func (m *Machine) result(r protocol.Result) {
	w := m.workers[r.Worker]
	if w == nil || r.Issuer != m.cfg.Issuer {
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

// again puts a removal that failed back, before everything that waits for it.
// It gets another id, since under this one it has failed.
func (m *Machine) again(w *worker, t *task) {
	t.notBefore = m.now.Add(m.cfg.Resend)
	w.queue = append([]*task{t}, w.queue...)
}

// loaded takes the result of LoadModelFromDisk.
func (m *Machine) loaded(w *worker, t *task, r protocol.Result) {
	failure := m.check(t, r)
	if failure == nil {
		for _, spec := range r.Loaded {
			if slices.Contains(t.names, spec.Name) {
				w.holds[spec.Name] = spec
			}
		}
	}
	m.addProfiles(r.Profiles)
	switch {
	case t.abandoned && failure == nil:
		m.clear(w, t.names)
		last := len(w.queue) - 1 // before whatever loads the same names again
		w.queue = slices.Insert(w.queue[:last:last], 0, w.queue[last])
	case t.abandoned:
	case t.catchup && failure == nil:
		w.catchups--
	case t.catchup:
		m.drop(w, failure)
	case failure != nil:
		t.load.failed[w.id] = *failure
	default:
		t.load.added[w.id] = append(t.load.added[w.id], t.names...)
	}
}

// check returns what is wrong with a load's result, nil for nothing.
func (m *Machine) check(t *task, r protocol.Result) *protocol.WorkerError {
	if r.Code != protocol.OK {
		return &protocol.WorkerError{Worker: r.Worker, Code: r.Code, Message: r.Message}
	}
	for _, name := range t.names {
		i := slices.IndexFunc(r.Loaded, func(s protocol.ModelSpec) bool { return s.Name == name })
		if i < 0 || r.Loaded[i].Path != t.path {
			return &protocol.WorkerError{Worker: r.Worker, Code: protocol.Internal, Message: "answered OK without model " + name}
		}
		if want, ok := m.models[name]; ok && want.Digest != r.Loaded[i].Digest {
			return &protocol.WorkerError{Worker: r.Worker, Code: protocol.Internal, Message: "its " + name + " has another digest"}
		}
	}
	return nil
}

// drop takes a worker out of service for the rest of its life.
func (m *Machine) drop(w *worker, why *protocol.WorkerError) {
	w.dropped, w.queue, w.out = true, nil, nil
	m.event(protocol.Event{Kind: protocol.EventWorkerLost, Worker: w.id, Code: why.Code, Message: "out of service: " + why.Message})
	if w.joined {
		w.joined = false
		m.out.DropWorkers = append(m.out.DropWorkers, w.id)
	}
	m.forget(w)
}

// expireWorkers asks again whom time ran out for, and drops those whose
// catch-up takes too long.
func (m *Machine) expireWorkers() {
	for _, w := range m.sorted() {
		if w.waiting && !w.dropped && m.now >= w.asked.Add(m.cfg.QueryTimeout) {
			w.late = true
			m.query(w)
		}
		for _, t := range slices.Clone(w.out) {
			switch {
			case w.dropped:
			case t.catchup && m.now >= t.sent.Add(m.cfg.LoadTimeout):
				m.drop(w, &protocol.WorkerError{Worker: w.id, Code: protocol.LoadTimeout, Message: "the load of " + t.path + " is not done"})
			case m.now >= t.resend:
				m.resend(w, t)
			}
		}
	}
}
