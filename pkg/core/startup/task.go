package startup

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// task is one LoadModelFromDisk, ClearCache or Renew of one worker, from its queueing until
// its result. load, catchup and abandoned may change meanwhile; kind, path and names
// do not.
type task struct {
	// kind is LoadModelFromDisk, ClearCache or Renew, which has no names. names are the models to load from path,
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
	switch t.kind {
	case protocol.ClearCache:
		return protocol.Action{Kind: t.kind, GPU: -1, Models: t.names}
	case protocol.Renew:
		return protocol.Action{Kind: t.kind, GPU: -1}
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
	switch {
	case t.kind == protocol.Renew:
		m.renewed(r)
		return
	case t.kind == protocol.ClearCache && r.Code != protocol.OK && r.Code != protocol.UnknownModel:
		m.again(w, t)
		return
	case t.kind == protocol.ClearCache:
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
