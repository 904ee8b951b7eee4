package startup

import (
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
	l, refusal := m.parse(e.Request)
	if refusal != nil { // no load activity: the countdown ignores it
		m.refuse(e.Token, refusal)
		return
	}
	if n := m.unanswered(); n >= m.cfg.MaxLoads {
		refusal := protocol.Errorf(protocol.Overloaded, "%d loads are not answered yet", n)
		refusal.Got, refusal.Limit = int64(n+1), int64(m.cfg.MaxLoads)
		m.touched = true
		m.refuse(e.Token, refusal)
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
		refusal := protocol.Errorf(protocol.InvalidInput, "expected 1 to %d copies, got %d", m.cfg.MaxCopies, copies)
		refusal.Got, refusal.Limit = int64(copies), int64(m.cfg.MaxCopies)
		return nil, refusal
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
		refusal := protocol.Errorf(protocol.ModelTooLarge, "the stack would hold %d models, its limit is %d", total, m.cfg.MaxModels)
		refusal.Got, refusal.Limit = int64(total), int64(m.cfg.MaxModels)
		m.finish(l, nil, refusal)
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
