package startup

import (
	"cmp"
	"fmt"
	"slices"

	"clockwork/pkg/protocol"
)

// resolve stores or answers the loads that every serving worker has finished. It
// returns true if a load ended, so that others may be admitted.
func (m *Machine) resolve() bool {
	over := false
	for _, l := range slices.Clone(m.loads) {
		if l.storing != 0 || l.retryAt > m.now || m.removing(l) || !m.settled(l) {
			continue
		}
		if refusal := m.verdict(l); refusal != nil {
			m.rollback(l)
			m.finish(l, nil, refusal)
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
	if refusal := m.describable(specs); refusal != nil {
		return refusal
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
	refusal := protocol.Errorf(code, "%s", message)
	refusal.Workers = workers
	return refusal
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
	return &protocol.LoadReply{Models: l.names, Copies: len(l.names), Inputs: s.Inputs, Outputs: s.Outputs, BatchSizes: s.BatchSizes, Pages: s.Pages, Version: s.Version, Held: l.held, Changed: l.changed,
		Notes: s.Notes, NoBatch: s.NoBatch}
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
func (m *Machine) finish(l *load, reply *protocol.LoadReply, refusal *protocol.Error) {
	for _, token := range l.tokens {
		m.out.Replies = append(m.out.Replies, Reply{Token: token, Reply: reply, Error: refusal})
	}
	m.loads = slices.DeleteFunc(m.loads, func(o *load) bool { return o == l })
	m.touched = m.touched || refusal == nil || !argumentsAtFault(refusal.Code)
	e := protocol.Event{Kind: protocol.EventLoad, Model: l.names[0], Path: l.path, Total: len(l.names), Code: protocol.OK}
	if refusal != nil {
		e.Code, e.Message = refusal.Code, refusal.Message
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
func (m *Machine) refuse(token uint64, refusal *protocol.Error) {
	m.out.Replies = append(m.out.Replies, Reply{Token: token, Error: refusal})
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
