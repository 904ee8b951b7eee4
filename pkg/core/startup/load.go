package startup

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"clockwork/pkg/protocol"
)

// load is one LoadModelFromDisk of the stack, requested by one or more clients.
//
// A load waits until it may be admitted: stage LOADING, and no name in common
// with a pending load or with models that a failed load left in KV. It is then
// pending until every serving worker holds the models or failed, then it is
// stored, then answered. A load without tokens stores adopted models.
//
// Invariants: a load is in Machine.waiting or in Machine.loads, never in both. No
// two pending loads share a name. path and names never change.
type load struct {
	// tokens name the clients to answer, one Reply each. A later request for the same
	// path and names adds its token to the pending load. Empty for adopted models.
	tokens []uint64
	// path is the model's path on the workers' disks. names are the copies to load
	// from it, at least one.
	path  string
	names []string
	// deadline is when the clients are answered LOAD_TIMEOUT. It does not apply while
	// a Store is outstanding, and is Never for adopted models.
	deadline protocol.Time
	// pinned is what to load: what workers hold of it already, if they agree. fresh: they do
	// not, so that all load it anew.
	pinned pin
	fresh  bool
	// changed says, by worker, what is no more at the path of held models.
	changed []protocol.WorkerError
	// held: no worker was sent a load, because every model was already accepted or in
	// host memory. Reported to the clients.
	held bool
	// failed holds, by worker id, why that worker could not load the models. added
	// holds, by worker id, the names that this load put into its host memory; they are
	// removed again if the load fails. Entries of lost workers are deleted.
	failed map[string]protocol.WorkerError
	added  map[string][]string
	// storing is the token of the outstanding Store, 0 for none. retryAt is when the
	// Store of adopted models is repeated after a failure, 0 if none failed.
	storing uint64
	retryAt protocol.Time
	// specs are the models as the workers read them, in the order of names. Set before
	// the Store is output; accepted when the Store is confirmed.
	specs []protocol.ModelSpec
}

// loadRequested answers a load that can be refused at once and queues any other.
func (m *Machine) loadRequested(e LoadRequested) {
	if m.closed {
		m.refuse(e.Token, protocol.Refusal(protocol.LoadingClosed))
		return
	}
	l, err := m.parse(e.Request)
	if err != nil { // no load activity: the countdown ignores it
		m.refuse(e.Token, err)
		return
	}
	if n := m.unanswered(); n >= m.cfg.MaxLoads {
		err := protocol.Errorf(protocol.Overloaded, "%d loads are not answered yet", n)
		err.Got, err.Limit = int64(n+1), int64(m.cfg.MaxLoads)
		m.touched = true
		m.refuse(e.Token, err)
		return
	}
	l.tokens = []uint64{e.Token}
	m.waiting = append(m.waiting, l)
}

// parse checks everything in a request that needs no worker.
func (m *Machine) parse(r protocol.LoadRequest) (*load, *protocol.Error) {
	if r.Path == "" || len(r.Path) > maxPath {
		return nil, protocol.Errorf(protocol.InvalidModelPath, "expected a path of 1 to %d bytes, got %d", maxPath, len(r.Path))
	}
	if i := strings.IndexByte(r.Path, 0); i >= 0 {
		return nil, protocol.Errorf(protocol.InvalidModelPath, "the path holds a NUL byte at %d; no path can", i)
	}
	copies := 1
	if r.Copies != nil {
		copies = *r.Copies
	}
	if copies < 1 || copies > m.cfg.MaxCopies {
		err := protocol.Errorf(protocol.InvalidInput, "expected 1 to %d copies, got %d", m.cfg.MaxCopies, copies)
		err.Got, err.Limit = int64(copies), int64(m.cfg.MaxCopies)
		return nil, err
	}
	name := r.Name
	if name == "" {
		name = protocol.NameOfPath(r.Path)
	}
	names := protocol.CopyNames(name, copies)
	for _, n := range names {
		if !protocol.ValidName(n) {
			return nil, protocol.Errorf(protocol.InvalidInput, "%.80q is no model name: expected 1 to %d of [a-z0-9_-]", n, protocol.MaxName)
		}
	}
	return &load{path: r.Path, names: names, deadline: m.now.Add(m.cfg.LoadTimeout),
		failed: map[string]protocol.WorkerError{}, added: map[string][]string{}}, nil
}

// maxPath bounds a model's path, in bytes.
const maxPath = 4096

// unanswered counts the clients that wait for a reply; MaxLoads bounds them.
func (m *Machine) unanswered() int {
	n := 0
	for _, list := range [][]*load{m.loads, m.waiting} {
		for _, l := range list {
			n += len(l.tokens)
		}
	}
	return n
}

// admit starts the waiting loads that may start, in order of arrival.
func (m *Machine) admit() {
	if m.stage != protocol.Loading || m.querying || m.closed {
		return
	}
	var rest []*load
	for _, l := range m.waiting {
		if !m.admitOne(l, rest) {
			rest = append(rest, l)
		}
	}
	m.waiting = rest
}

// admitOne starts, merges or refuses a load. It returns false if the load must
// wait for an overlapping load or for a removal from KV. It is not merged with one that is
// being stored: that store may have been confirmed before this request came.
func (m *Machine) admitOne(l *load, before []*load) bool {
	for _, p := range m.loads {
		if p.path == l.path && slices.Equal(p.names, l.names) && len(p.tokens) > 0 && p.storing == 0 {
			p.tokens = append(p.tokens, l.tokens...)
			return true
		}
	}
	for _, p := range append(slices.Clone(m.loads), before...) {
		if l.overlaps(p.names) {
			return false
		}
	}
	if m.removing(l) {
		return false
	}
	fresh := 0
	for _, n := range l.names {
		have, ok := m.models[n]
		if ok && have.Path != l.path {
			m.finish(l, nil, protocol.Errorf(protocol.InvalidInput, "the name %s belongs to the model of %.200q", n, have.Path))
			return true
		}
		if !ok {
			fresh++
		}
	}
	if total := len(m.models) + fresh + m.coming(); total > m.cfg.MaxModels {
		err := protocol.Errorf(protocol.ModelTooLarge, "the stack would hold %d models, its limit is %d", total, m.cfg.MaxModels)
		err.Got, err.Limit = int64(total), int64(m.cfg.MaxModels)
		m.finish(l, nil, err)
		return true
	}
	l.held = true
	m.settleHeld(l)
	m.loads = append(m.loads, l)
	for _, w := range m.loaders() {
		m.assign(l, w)
	}
	if l.held {
		for _, w := range m.sorted() {
			if _, holds := w.holds[l.names[0]]; holds && w.answered {
				m.compare(w, l)
			}
		}
	}
	return true
}

// settleHeld decides what of a load's path is to be loaded, by what workers hold of it.
func (m *Machine) settleHeld(l *load) {
	var first *protocol.ModelSpec
	for _, w := range m.loaders() {
		for _, n := range l.names {
			have, holds := w.holds[n]
			if !holds || have.Path != l.path || m.isModel(n) {
				continue
			}
			if first == nil {
				first = &have
			}
			if want := w.state.SpecOf(*first); have.Differs(&want) != "" {
				l.fresh, l.pinned = true, pin{}
				return
			}
			l.pinned = pinOf(first)
		}
	}
}

// loaders returns the workers that a load is judged by, sorted by id: those that lack no
// model, or all if there is none. The others load what was accepted afterwards, so that a
// worker that lacks something holds up no load.
func (m *Machine) loaders() []*worker {
	var whole, all []*worker
	for _, w := range m.sorted() {
		if !w.answered {
			continue
		}
		all = append(all, w)
		if len(w.lacks) == 0 {
			whole = append(whole, w)
		}
	}
	if len(whole) > 0 {
		return whole
	}
	return all
}

// coming counts the new models of pending loads.
func (m *Machine) coming() int {
	n := 0
	for _, l := range m.loads {
		for _, name := range l.names {
			if _, ok := m.models[name]; !ok {
				n++
			}
		}
	}
	return n
}

// assign queues the new models of a load that a worker lacks.
func (m *Machine) assign(l *load, w *worker) {
	var missing []string
	its := func(t *task) bool { return t.load == l && !t.compare }
	for _, n := range l.names {
		if fresh := l.fresh && !slices.Contains(l.added[w.id], n); !m.isModel(n) && (fresh || w.holds[n].Path != l.path) && !w.isAskedFor(n, its) {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		l.held = false
		m.fetch(w, l, l.path, missing, l.pinned)
	}
}

// resolve stores or answers the loads that every serving worker has finished. It
// returns true if a load ended, so that others may be admitted.
func (m *Machine) resolve() bool {
	over := false
	for _, l := range slices.Clone(m.loads) {
		if l.storing != 0 || l.retryAt > m.now || m.removing(l) || !m.settled(l) {
			continue
		}
		if err := m.verdict(l); err != nil {
			m.rollback(l)
			m.finish(l, nil, err)
			over = true
			continue
		}
		m.store(l, slices.DeleteFunc(slices.Clone(l.specs), func(s protocol.ModelSpec) bool { return m.isModel(s.Name) }))
	}
	return over
}

// settled reports whether there is a loader, each one holds every model of l that it does
// not lack or failed to load it, and all comparisons are done.
func (m *Machine) settled(l *load) bool {
	loaders := m.loaders()
	for _, w := range loaders {
		if _, failed := l.failed[w.id]; failed {
			continue
		}
		for _, n := range l.names {
			if w.holds[n].Path != l.path && w.serves(n) {
				return false
			}
		}
	}
	compares := func(t *task) bool { return t.load == l && t.compare }
	for _, w := range m.workers {
		if slices.ContainsFunc(w.queue, compares) || slices.ContainsFunc(w.out, compares) {
			return false
		}
	}
	return len(loaders) > 0
}

// works reports whether a worker has a task of the load.
func (w *worker) works(l *load) bool {
	of := func(t *task) bool { return t.load == l }
	return slices.ContainsFunc(w.queue, of) || slices.ContainsFunc(w.out, of)
}

// verdict returns why a settled load fails. It returns nil, and sets l.specs, if
// the load succeeded.
func (m *Machine) verdict(l *load) *protocol.Error {
	var errs, lacks []protocol.WorkerError // of loaders that failed, and of those that lack one of the models
	var codes []protocol.Code
	var specs []protocol.ModelSpec
	agree := true
	loaders := m.loaders()
	digests := []protocol.WorkerError{}
	for _, w := range loaders {
		if failure, ok := l.failed[w.id]; ok {
			errs = append(errs, failure)
			codes = append(codes, failure.Code)
			continue
		}
		if at := slices.IndexFunc(l.names, func(n string) bool { return !w.serves(n) }); at >= 0 {
			lacks = append(lacks, w.lacks[l.names[at]])
			continue
		}
		mine := make([]protocol.ModelSpec, len(l.names))
		difference := ""
		for i, n := range l.names {
			mine[i] = w.holds[n]
			difference = cmp.Or(difference, mine[i].Differs(&mine[0]))
			if specs != nil {
				want := w.state.SpecOf(specs[i])
				difference = cmp.Or(difference, mine[i].Differs(&want))
			}
		}
		agree = agree && difference == ""
		digests = append(digests, protocol.WorkerError{Worker: w.id, Code: protocol.PartialLoad, Message: cmp.Or(difference, "digest "+mine[0].Digest)})
		if specs == nil {
			specs = mine
		}
	}
	switch {
	case len(errs) > 0 && len(errs) == len(loaders) && len(slices.Compact(codes)) == 1:
		return workersError(errs[0].Code, errs[0].Message, errs)
	case len(errs) > 0:
		return workersError(protocol.PartialLoad, protocol.PartialLoad.Row().Sentence, errs)
	case !agree: // it is unknown which one is wrong, so none may stay
		for _, w := range loaders {
			l.added[w.id] = slices.DeleteFunc(slices.Clone(l.names), m.isModel)
		}
		return workersError(protocol.PartialLoad, "the workers read different models at this path", digests)
	case specs == nil && !m.accepted(l): // nobody can say what the new copies are copies of
		return workersError(lacks[0].Code, lacks[0].Message, lacks)
	}
	if refused := m.describable(specs); refused != nil {
		return refused
	}
	l.specs = specs
	return nil
}

// workersError replaces codes that clients may not see with INTERNAL.
func workersError(code protocol.Code, message string, workers []protocol.WorkerError) *protocol.Error {
	if !code.Known() || code.Row().Audience&protocol.ForClients == 0 {
		message, code = string(code)+": "+message, protocol.Internal
	}
	if message == "" {
		message = code.Row().Sentence
	}
	err := protocol.Errorf(code, "%s", message)
	err.Workers = workers
	return err
}

// accepted reports whether all models of l are accepted.
func (m *Machine) accepted(l *load) bool {
	for _, n := range l.names {
		if !m.isModel(n) {
			return false
		}
	}
	return true
}

// store has the new models of l stored, before it is answered OK; without any, it asks
// whether this controller leads.
func (m *Machine) store(l *load, fresh []protocol.ModelSpec) {
	m.token++
	l.storing = m.token
	m.out.Store = append(m.out.Store, Store{Token: l.storing, Models: fresh})
}

// reply describes the accepted models of l. The copies differ in name alone.
func (m *Machine) reply(l *load) *protocol.LoadReply {
	s := m.models[l.names[0]]
	return &protocol.LoadReply{Models: l.names, Copies: len(l.names), Inputs: s.Inputs, Outputs: s.Outputs, BatchSizes: s.BatchSizes, Pages: s.Pages, Version: s.Version, Held: l.held, Changed: l.changed}
}

// rollback removes a load's new models from the workers, including those still
// being loaded.
func (m *Machine) rollback(l *load) {
	for _, w := range m.sorted() {
		w.queue = slices.DeleteFunc(w.queue, func(t *task) bool { return t.load == l })
		for _, t := range w.out {
			if t.load == l {
				t.abandoned, t.load = true, nil
			}
		}
		m.clear(w, l.added[w.id])
	}
}

// finish answers every client that requested l and removes l.
func (m *Machine) finish(l *load, reply *protocol.LoadReply, err *protocol.Error) {
	for _, token := range l.tokens {
		m.out.Replies = append(m.out.Replies, Reply{Token: token, Reply: reply, Error: err})
	}
	m.loads = slices.DeleteFunc(m.loads, func(o *load) bool { return o == l })
	m.touched = m.touched || err == nil || !argumentsAtFault(err.Code)
	e := protocol.Event{Kind: protocol.EventLoad, Model: l.names[0], Path: l.path, Total: len(l.names), Code: protocol.OK}
	if err != nil {
		e.Code, e.Message = err.Code, err.Message
	} else {
		e.Done = len(l.names)
		if len(reply.Changed) > 0 {
			w := reply.Changed[0]
			e.Message = fmt.Sprintf("at %s: %s %s", w.Worker, w.Code, w.Message)
		}
	}
	m.event(e)
}

// argumentsAtFault reports whether a load was refused for its arguments, by the
// controller or by the workers, before any file was read. Such a load is no load
// activity; otherwise a client that keeps sending it would keep loading open for
// ever.
func argumentsAtFault(code protocol.Code) bool {
	return code == protocol.InvalidInput || code == protocol.InvalidModelPath
}

// refuse answers one client with an error.
func (m *Machine) refuse(token uint64, err *protocol.Error) {
	m.out.Replies = append(m.out.Replies, Reply{Token: token, Error: err})
}

// stored accepts the models of a load. A worker that joined during the store has
// them queued as part of the load; from now on those tasks are its catch-up.
func (m *Machine) stored(token uint64) {
	l := m.storing(token)
	if l == nil {
		return
	}
	for _, s := range l.specs {
		m.accept(s)
	}
	for _, w := range m.sorted() {
		for _, t := range append(slices.Clone(w.queue), w.out...) {
			if t.load == l {
				t.load, t.catchup = nil, true
				w.catchups++
			}
		}
		if failure, ok := l.failed[w.id]; ok {
			m.lack(w, l.names, &failure)
		}
	}
	m.finish(l, m.reply(l), nil)
	for _, w := range m.sorted() {
		m.catchUp(w, l)
	}
}

// catchUp queues the models of a stored load for a worker that the load was not judged by.
func (m *Machine) catchUp(w *worker, l *load) {
	if !w.answered {
		return
	}
	missing := slices.DeleteFunc(slices.Clone(l.names), func(n string) bool {
		return w.holds[n].Path == l.path || !w.serves(n) || w.isAskedFor(n, func(t *task) bool { return t.catchup })
	})
	if len(missing) > 0 {
		m.fetch(w, nil, l.path, missing, pinOf(&l.specs[0]))
	}
}

// storeFailed repeats the Store of adopted models after a pause. Any other load is
// refused, and its models are removed from the workers and from KV.
func (m *Machine) storeFailed(token uint64) {
	l := m.storing(token)
	switch {
	case l == nil:
	case len(l.tokens) == 0:
		l.storing, l.retryAt = 0, m.now.Add(m.cfg.Resend)
	default:
		m.rollback(l)
		m.unstore(slices.DeleteFunc(slices.Clone(l.names), m.isModel))
		m.finish(l, nil, protocol.Refusal(protocol.StateUnavailable))
	}
}

// unstore removes models that were not accepted from KV, which may hold some of
// them.
func (m *Machine) unstore(names []string) {
	if len(names) == 0 {
		return
	}
	m.token++
	m.unstoring[m.token] = names
	m.out.Unstore = append(m.out.Unstore, Unstore{Token: m.token, Names: names})
}

// removing reports whether a model of l is being removed from KV.
func (m *Machine) removing(l *load) bool {
	for _, names := range m.unstoring {
		if l.overlaps(names) {
			return true
		}
	}
	return false
}

// overlaps reports whether l names one of names.
func (l *load) overlaps(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(l.names, n) })
}

// storing returns the pending load whose Store has this token, nil for none.
func (m *Machine) storing(token uint64) *load {
	i := slices.IndexFunc(m.loads, func(l *load) bool { return token != 0 && l.storing == token })
	if i < 0 {
		return nil
	}
	return m.loads[i]
}

// expireLoads answers loads that passed their deadline. A load that is being
// stored has no deadline: the result of its store decides.
func (m *Machine) expireLoads() {
	for _, l := range slices.Clone(m.waiting) {
		if m.now >= l.deadline {
			m.waiting = slices.DeleteFunc(m.waiting, func(o *load) bool { return o == l })
			m.finish(l, nil, protocol.Refusal(protocol.LoadTimeout))
		}
	}
	for _, l := range slices.Clone(m.loads) {
		if l.storing != 0 || len(l.tokens) == 0 || m.now < l.deadline {
			continue
		}
		var slow []protocol.WorkerError
		for _, w := range m.sorted() {
			if w.works(l) {
				slow = append(slow, protocol.WorkerError{Worker: w.id, Code: protocol.LoadTimeout, Message: "not done"})
			} else if failure, ok := l.failed[w.id]; ok {
				slow = append(slow, failure)
			}
		}
		m.rollback(l)
		if l.held && m.accepted(l) { // only what is at the path now is not known
			l.changed = append(l.changed, slow...)
			m.store(l, nil)
			continue
		}
		m.finish(l, nil, workersError(protocol.LoadTimeout, "", slow))
	}
}
