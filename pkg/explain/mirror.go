package explain

import (
	"fmt"
	"slices"
	"time"

	"clockwork/pkg/estimate"
	"clockwork/pkg/protocol"
	"clockwork/pkg/replay"
	"clockwork/pkg/sched"
)

// mirror is what can be seen of a core from outside.
type mirror struct {
	policy   string
	config   sched.Config
	now      protocol.Time
	issuer   uint64
	seq      int
	specs    map[string]protocol.ModelSpec
	profiles map[string][]protocol.Profile
	gpus     []*gpu
	lives    map[string]uint64 // incarnations of the workers
	actions  map[protocol.ActionID]*action
	requests map[protocol.RequestID]*request
	waiting  map[string]int // requests by model
	costs    map[costKey]*estimate.Estimator
}

type costKey struct {
	digest, kind string
	batch        int // 0: a transfer
}

// gpu is a GPU that takes part. A lane is the actions sent and not done, in
// order, and the last ones done.
type gpu struct {
	name, worker, kind string
	id, pages          int
	resident           map[string]bool
	execs, transfers   lane
}

type lane struct {
	open  []*action
	done  []*action // the last maxDone
	freed protocol.Time
}

// maxDone bounds what is told of the past of a lane.
const maxDone = 512

// action is one that was sent; the rest is set when its result is there.
type action struct {
	id         protocol.ActionID
	kind       protocol.Kind
	gpu        *gpu
	model      string
	batch      int
	members    []*request
	sent       protocol.Time
	there      protocol.Time // when it reaches its worker
	latest     protocol.Time
	expected   time.Duration
	planned    protocol.Time // when it was to end
	begin, end protocol.Time
	code       protocol.Code
	lost       bool // with its worker
}

// request is one that is open.
type request struct {
	protocol.Submission
	seq      int
	size     int // at which it runs alone
	arrived  protocol.Time
	deadline protocol.Time
	arrival  view
	waits    bool
	tries    []*action
	refusal  *protocol.Error
}

func newMirror(policy string, config sched.Config) *mirror {
	return &mirror{
		policy: policy, config: config,
		specs: map[string]protocol.ModelSpec{}, profiles: map[string][]protocol.Profile{}, lives: map[string]uint64{},
		actions: map[protocol.ActionID]*action{}, requests: map[protocol.RequestID]*request{},
		waiting: map[string]int{}, costs: map[costKey]*estimate.Estimator{},
	}
}

func (m *mirror) add(s *protocol.Submission) *request {
	m.seq++
	spec := m.specs[s.Model]
	r := &request{Submission: *s, seq: m.seq, arrived: m.now, deadline: m.now.Add(s.Budget), waits: true, size: spec.Fits(s.Batch)}
	m.requests[s.ID] = r
	return r
}

// remove takes a request out that has ended.
func (m *mirror) remove(r *request) {
	if r.waits {
		m.waiting[r.Model]--
	}
	delete(m.requests, r.ID)
}

func (m *mirror) event(e sched.Event) {
	switch e := e.(type) {
	case *sched.Activate:
		m.issuer, m.gpus = e.Issuer, nil
		for _, spec := range e.State.Models {
			m.specs[spec.Name] = spec
		}
		m.learn(e.State.Profiles)
		for i := range e.State.Workers {
			m.join(&e.State.Workers[i])
		}
	case *sched.WorkerJoined:
		m.join(&e.State)
	case *sched.WorkerLost:
		m.lose(e.ID, e.Incarnation)
	}
}

func (m *mirror) learn(list []protocol.Profile) {
	for _, p := range list {
		m.profiles[p.Digest] = append(m.profiles[p.Digest], p)
	}
}

func (m *mirror) join(w *protocol.WorkerState) {
	if life, here := m.lives[w.ID]; here && life == w.Incarnation {
		return
	}
	m.lose(w.ID, 0)
	m.lives[w.ID] = w.Incarnation
	m.learn(w.Profiles)
	for _, s := range w.GPUs {
		g := &gpu{name: fmt.Sprintf("%s gpu %d", w.ID, s.ID), worker: w.ID, kind: s.Type, id: s.ID, pages: s.PagesTotal, resident: map[string]bool{}}
		for _, name := range s.Models {
			g.resident[name] = true
		}
		m.gpus = append(m.gpus, g)
	}
	slices.SortFunc(m.gpus, func(a, b *gpu) int {
		if a.worker != b.worker {
			return compare(a.worker < b.worker)
		}
		return a.id - b.id
	})
}

func compare(less bool) int {
	if less {
		return -1
	}
	return 1
}

func (m *mirror) lose(worker string, incarnation uint64) {
	if life, here := m.lives[worker]; !here || incarnation != 0 && life != incarnation {
		return
	}
	delete(m.lives, worker)
	m.gpus = slices.DeleteFunc(m.gpus, func(g *gpu) bool {
		if g.worker != worker {
			return false
		}
		for _, a := range append(slices.Clone(g.execs.open), g.transfers.open...) {
			a.lost, a.end = true, m.now
			delete(m.actions, a.id)
			m.putBack(a)
		}
		return true
	})
}

// putBack has the members of an action wait again.
func (m *mirror) putBack(a *action) {
	for _, r := range a.members {
		if m.requests[r.ID] == r && !r.waits {
			r.waits = true
			m.waiting[r.Model]++
		}
	}
}

func (m *mirror) find(worker string, id int) *gpu {
	for _, g := range m.gpus {
		if g.worker == worker && g.id == id {
			return g
		}
	}
	return nil
}

func (g *gpu) lane(k protocol.Kind) *lane {
	if k == protocol.Infer {
		return &g.execs
	}
	return &g.transfers
}

func (m *mirror) send(to *sched.Addressed) {
	g := m.find(to.Worker, to.Action.GPU)
	if g == nil {
		return
	}
	a := &action{
		id: to.Action.ID, kind: to.Action.Kind, gpu: g, model: to.Action.Model, batch: to.Action.Batch,
		sent: m.now, there: m.now.Add(m.config.Future), latest: to.Action.Latest, expected: to.Action.Expected,
	}
	for _, ref := range to.Action.Requests {
		if r := m.requests[ref.ID]; r != nil {
			a.members = append(a.members, r)
			r.tries = append(r.tries, a)
			r.waits = false
			m.waiting[r.Model]--
		}
	}
	l := g.lane(a.kind)
	a.planned = max(l.free(m.now), m.now.Add(m.config.Future)).Add(a.expected)
	l.open = append(l.open, a)
	m.actions[a.id] = a
	if a.kind == protocol.EvictWeights {
		delete(g.resident, a.model)
	}
}

// close takes an action out that has its result; nil for none that is known.
func (m *mirror) close(res *protocol.Result) *action {
	a := m.actions[res.Action]
	if a == nil || res.Issuer != m.issuer || a.gpu.worker != res.Worker {
		return nil
	}
	delete(m.actions, a.id)
	a.begin, a.end, a.code = res.Begin, res.End, res.Code
	if a.end == 0 {
		a.begin, a.end = m.now, m.now
	}
	l, g := a.gpu.lane(a.kind), a.gpu
	l.open = slices.DeleteFunc(l.open, func(o *action) bool { return o == a })
	l.freed = max(l.freed, a.end)
	if l.done = append(l.done, a); len(l.done) > 2*maxDone {
		l.done = append(l.done[:0], l.done[maxDone:]...)
	}
	ok := res.Code == protocol.OK
	took := a.end.Sub(a.begin)
	switch {
	case a.kind == protocol.Infer && ok && took > 0:
		m.cost(a.model, g.kind, a.batch).Add(took)
	case a.kind == protocol.LoadWeights && (ok || res.Code == protocol.AlreadyLoaded):
		g.resident[a.model] = true
		if ok && took > 0 {
			m.cost(a.model, g.kind, 0).Add(took)
		}
	case res.Code == protocol.WeightsMissing:
		delete(g.resident, a.model)
	case res.Code == protocol.StaleIncarnation, res.Code == protocol.ShuttingDown:
		m.lose(g.worker, 0)
	}
	return a
}

// cost is the estimate of a batch size, or of a transfer, seeded by the profile.
func (m *mirror) cost(model, kind string, batch int) *estimate.Estimator {
	digest := m.specs[model].Digest
	key := costKey{digest, kind, batch}
	e := m.costs[key]
	if e == nil {
		e = estimate.New(m.config.Estimate, m.seed(digest, kind, batch))
		m.costs[key] = e
	}
	return e
}

func (m *mirror) seed(digest, kind string, batch int) time.Duration {
	var best *protocol.Profile
	for i := range m.profiles[digest] {
		if p := &m.profiles[digest][i]; best == nil || p.GPUType == kind {
			best = p
		}
	}
	switch {
	case best == nil:
		return 0
	case batch == 0:
		return best.LoadWeights.P99
	}
	return replay.Profiled(best, batch, func(m protocol.Measurement) time.Duration { return m.P99 })
}

// free is when a lane has done what it was sent, as seen now.
func (l *lane) free(now protocol.Time) protocol.Time {
	at := l.freed
	for i, a := range l.open {
		at = max(at, a.there).Add(a.expected)
		if i == 0 {
			at = max(at, now)
		}
	}
	return max(at, now)
}

// forget drops actions whose results are overdue; the core has given them up.
func (m *mirror) forget() {
	for _, g := range m.gpus {
		for _, l := range []*lane{&g.execs, &g.transfers} {
			l.open = slices.DeleteFunc(l.open, func(a *action) bool {
				gone := a.latest != protocol.Never && a.latest.Add(a.expected).Add(m.config.Lag) < m.now
				if gone {
					delete(m.actions, a.id)
					m.putBack(a)
				}
				return gone
			})
		}
	}
}
