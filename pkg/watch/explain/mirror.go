package explain

import (
	"fmt"
	"slices"
	"time"

	"clockwork/pkg/core/estimate"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// mirror is what can be seen of a core from outside.
type mirror struct {
	policy    string
	config    sched.Config
	now       protocol.Time
	issuer    uint64
	seq       int
	keep      int           // of a lane's past, at least
	glance    time.Duration // how long a look at many lanes is good for
	models    map[string]*model
	profiles  map[string][]protocol.Profile
	gpus      []*gpu
	crew      int               // counts how often the GPUs were others
	lives     map[string]uint64 // incarnations of the workers
	actions   map[protocol.ActionID]*action
	overdue   protocol.Time // before that, none of them is
	requests  map[protocol.RequestID]*request
	forgotten []*request // to be used again
	costs     map[costKey]*estimate.Estimator
}

type costKey struct {
	digest, kind string
	batch        int // 0: a transfer
}

// model is what concerns one model. Its copies share the costs.
type model struct {
	name    string
	spec    protocol.ModelSpec
	known   bool // spec is set
	waiting int  // requests
	asked   int  // how often, of late
	holders []*gpu
	coming  []*action // loads that are open
	came    []*action // the last loads that went well
	costs   map[costKey]*estimate.Estimator

	seen   busy // the lane that was free first
	seenAt protocol.Time

	crew  int // of which what follows is
	homes int // GPUs that can hold it
	kinds []string
}

// maxCame bounds how many loads of a model are remembered.
const maxCame = 16

// gpu is a GPU that takes part. A lane is the actions sent and not done, in
// order, and the last ones done.
type gpu struct {
	name, worker, kind string
	id, pages, place   int // place: among all of them
	execs, transfers   lane
}

type lane struct {
	open  []*action
	done  []*action
	freed protocol.Time
}

// maxDone bounds what is told of the past of a lane.
const maxDone = 512

// action is one that was sent; the rest is set when its result is there.
type action struct {
	id         protocol.ActionID
	kind       protocol.Kind
	gpu        *gpu
	model      *model
	batch      int
	members    []*request // until it is done
	size       int        // how many they were
	sent       protocol.Time
	there      protocol.Time // when it reaches its worker
	latest     protocol.Time
	expected   time.Duration
	planned    protocol.Time // when it was to end, as far as can be seen from outside
	plan       protocol.Time // as the core says
	took, over time.Duration // of an Infer those of the execution alone; over the core's plan
	begin, end protocol.Time
	closed     protocol.Time // when its result was there
	code       protocol.Code
	lost       bool // with its worker
}

// request is one that is open.
type request struct {
	protocol.Submission
	model    *model
	seq      int
	size     int // at which it runs alone
	arrived  protocol.Time
	deadline protocol.Time
	arrival  view
	waits    bool
	tries    []*action
	refusal  *protocol.Error
}

func newMirror(policy string, config sched.Config, keep int) *mirror {
	return &mirror{
		policy: policy, config: config, keep: keep, overdue: protocol.Never,
		models: map[string]*model{}, profiles: map[string][]protocol.Profile{}, lives: map[string]uint64{},
		actions: map[protocol.ActionID]*action{}, requests: map[protocol.RequestID]*request{},
		costs: map[costKey]*estimate.Estimator{},
	}
}

// model finds a model by its name.
func (m *mirror) model(name string) *model {
	of := m.models[name]
	if of == nil {
		of = &model{name: name, costs: map[costKey]*estimate.Estimator{}}
		m.models[name] = of
	}
	return of
}

func (m *mirror) add(s *protocol.Submission) *request {
	m.seq++
	of := m.models[s.Model]
	if of == nil {
		of = &model{name: s.Model}
	}
	r := m.blank()
	*r = request{Submission: *s, model: of, seq: m.seq, arrived: m.now, deadline: m.now.Add(s.Budget), waits: true, size: of.spec.Fits(s.Batch), tries: r.tries[:0]}
	m.requests[s.ID] = r
	return r
}

// blank returns a request that is to be written over.
func (m *mirror) blank() *request {
	n := len(m.forgotten)
	if n == 0 {
		return new(request)
	}
	r := m.forgotten[n-1]
	m.forgotten = m.forgotten[:n-1]
	clear(r.tries)
	return r
}

// remove takes a request out that has ended.
func (m *mirror) remove(r *request) {
	if r.waits {
		r.model.waiting--
	}
	delete(m.requests, r.ID)
}

// wait has a request wait again.
func (r *request) wait() {
	if !r.waits {
		r.waits = true
		r.model.waiting++
	}
}

func (m *mirror) event(e sched.Event) {
	switch e := e.(type) {
	case *sched.Activate:
		m.issuer, m.gpus = e.Issuer, nil
		for _, of := range m.models {
			of.holders, of.coming = nil, nil
		}
		for _, spec := range e.State.Models {
			of := m.model(spec.Name)
			of.spec, of.known = spec, true
		}
		m.newCrew()
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
		g := &gpu{name: fmt.Sprintf("%s gpu %d", w.ID, s.ID), worker: w.ID, kind: s.Type, id: s.ID, pages: s.PagesTotal}
		for _, name := range s.Models {
			m.model(name).hold(g)
		}
		m.gpus = append(m.gpus, g)
	}
	slices.SortFunc(m.gpus, func(a, b *gpu) int {
		if a.worker != b.worker {
			return compare(a.worker < b.worker)
		}
		return a.id - b.id
	})
	m.newCrew()
}

// newCrew says that the GPUs are others now.
func (m *mirror) newCrew() {
	m.crew++
	for i, g := range m.gpus {
		g.place = i
	}
}

// hold says that a GPU has the weights, release that it does not.
func (of *model) hold(g *gpu) {
	if !slices.Contains(of.holders, g) {
		of.holders = append(of.holders, g)
	}
}

func (of *model) release(g *gpu) {
	of.holders = slices.DeleteFunc(of.holders, func(h *gpu) bool { return h == g })
}

// homesOf counts the GPUs that can hold a model, and collects their kinds.
func (m *mirror) homesOf(of *model) {
	if of.crew == m.crew {
		return
	}
	of.crew, of.homes, of.kinds = m.crew, 0, of.kinds[:0]
	for _, g := range m.gpus {
		if of.spec.Pages > g.pages {
			continue
		}
		of.homes++
		if !slices.Contains(of.kinds, g.kind) {
			of.kinds = append(of.kinds, g.kind)
		}
	}
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
			m.giveUp(a)
		}
		for _, of := range m.models {
			of.release(g)
		}
		return true
	})
	m.newCrew()
}

// giveUp has the members of an action wait again.
func (m *mirror) giveUp(a *action) {
	delete(m.actions, a.id)
	a.model.arrived(a)
	for _, r := range a.members {
		if m.requests[r.ID] == r {
			r.wait()
		}
	}
	a.members = nil
}

// arrived: a load is no longer open.
func (of *model) arrived(a *action) {
	of.coming = slices.DeleteFunc(of.coming, func(c *action) bool { return c == a })
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
		id: to.Action.ID, kind: to.Action.Kind, gpu: g, model: m.model(to.Action.Model), batch: to.Action.Batch,
		sent: m.now, there: m.now.Add(m.config.Future), latest: to.Action.Latest, expected: to.Action.Expected,
		plan: to.Plan.End,
	}
	for _, ref := range to.Action.Requests {
		if r := m.requests[ref.ID]; r != nil {
			a.members = append(a.members, r)
			r.tries = append(r.tries, a)
			r.waits = false
			r.model.waiting--
		}
	}
	a.size = len(a.members)
	l := g.lane(a.kind)
	a.planned = max(l.free(m.now), m.now.Add(m.config.Future)).Add(a.expected)
	l.open = append(l.open, a)
	m.actions[a.id] = a
	if a.latest != protocol.Never {
		m.overdue = min(m.overdue, m.late(a))
	}
	switch a.kind {
	case protocol.EvictWeights:
		a.model.release(g)
	case protocol.LoadWeights:
		a.model.coming = append(a.model.coming, a)
	}
}

// close takes an action out that has its result; nil for none that is known.
func (m *mirror) close(res *protocol.Result) *action {
	a := m.actions[res.Action]
	if a == nil || res.Issuer != m.issuer || a.gpu.worker != res.Worker {
		return nil
	}
	delete(m.actions, a.id)
	a.model.arrived(a)
	a.begin, a.end, a.closed, a.code = res.Begin, res.End, m.now, res.Code
	if a.end == 0 {
		a.begin, a.end = m.now, m.now
	}
	a.took, a.over = a.end.Sub(a.begin), a.end.Sub(a.plan)
	if a.kind == protocol.Infer {
		a.took, a.over = res.Exec.Device, res.Exec.End.Sub(a.plan)
	}
	l, g := a.gpu.lane(a.kind), a.gpu
	l.open = slices.DeleteFunc(l.open, func(o *action) bool { return o == a })
	l.freed = max(l.freed, a.end)
	if l.done = append(l.done, a); len(l.done) > 2*m.keep {
		gone := len(l.done) - m.keep
		copy(l.done, l.done[gone:])
		clear(l.done[m.keep:])
		l.done = l.done[:m.keep]
	}
	ok := res.Code == protocol.OK
	took := a.end.Sub(a.begin)
	switch {
	case a.kind == protocol.Infer && ok && took > 0:
		m.cost(a.model, g.kind, a.batch).Add(took)
	case a.kind == protocol.LoadWeights && (ok || res.Code == protocol.AlreadyLoaded):
		a.model.hold(g)
		if ok {
			a.model.came = append(a.model.came, a)
			a.model.came = a.model.came[max(0, len(a.model.came)-maxCame):]
		}
		if ok && took > 0 {
			m.cost(a.model, g.kind, 0).Add(took)
		}
	case res.Code == protocol.WeightsMissing:
		a.model.release(g)
	case res.Code == protocol.StaleIncarnation, res.Code == protocol.ShuttingDown:
		m.lose(g.worker, 0)
	}
	return a
}

// cost is the estimate of a batch size, or of a transfer, seeded by the profile.
func (m *mirror) cost(of *model, kind string, batch int) *estimate.Estimator {
	key := costKey{"", kind, batch}
	e := of.costs[key]
	if e == nil {
		shared := costKey{of.spec.Digest, kind, batch}
		if e = m.costs[shared]; e == nil {
			e = estimate.New(m.config.Estimate, m.seed(of.spec.Digest, kind, batch))
			m.costs[shared] = e
		}
		of.costs[key] = e
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
	return best.Interpolated(batch, protocol.P99Of)
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

// late is when the core has given an action up.
func (m *mirror) late(a *action) protocol.Time {
	return a.latest.Add(a.expected).Add(m.config.Lag)
}

// forget drops actions whose results are overdue; the core has given them up.
func (m *mirror) forget() {
	if m.now <= m.overdue {
		return
	}
	m.overdue = protocol.Never
	for _, g := range m.gpus {
		for _, l := range []*lane{&g.execs, &g.transfers} {
			l.open = slices.DeleteFunc(l.open, m.isOverdue)
		}
	}
}

func (m *mirror) isOverdue(a *action) bool {
	switch {
	case a.latest == protocol.Never:
		return false
	case m.late(a) < m.now:
		m.giveUp(a)
		return true
	}
	m.overdue = min(m.overdue, m.late(a))
	return false
}
