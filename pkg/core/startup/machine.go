package startup

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"clockwork/pkg/protocol"
)

// Machine is the startup phase. The zero value is not usable; see New.
//
// Invariants: stage is what KV is known to hold and only grows; at most one
// SetStage is outstanding; closed is set before SetStage(PROFILING) and never
// unset; models are all in KV, or came from there.
type Machine struct {
	cfg     Config
	now     protocol.Time
	started bool
	down    bool
	stage   protocol.Stage
	// asked is the SetStage that is outstanding, wanted the one to repeat at
	// retryAt after a conflict that was none.
	asked, wanted protocol.Stage
	retryAt       protocol.Time
	// querying lasts until the workers of this life have been asked.
	querying, closed bool
	workers          map[string]*worker
	models           map[string]protocol.ModelSpec
	loads, waiting   []*load
	// unstoring are the names by token that are being removed from KV; until
	// then no load of them is admitted, and loading does not close.
	unstoring map[uint64][]string
	// touched: this step saw load activity. countdown is when loading closes,
	// Never while it does not count down; paused is when it would have closed
	// but for loads that are pending now, Never when it has to begin anew.
	touched           bool
	countdown, paused protocol.Time
	profiles          map[profileKey]protocol.Profile
	// quarantined says by name why a model is not served.
	quarantined map[string]string
	profiling   profiling
	activation  activation
	action      protocol.ActionID
	token       uint64
	out         Output
}

type profileKey struct{ digest, backend, version, gpu string }

// New returns a machine that waits for Started.
func New(c Config) (*Machine, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("check startup config: %w", err)
	}
	return &Machine{cfg: c, countdown: protocol.Never, paused: protocol.Never, workers: map[string]*worker{}, models: map[string]protocol.ModelSpec{},
		unstoring: map[uint64][]string{}, profiles: map[profileKey]protocol.Profile{}, quarantined: map[string]string{}}, nil
}

// Step takes one event at an instant that is not before the last one (an
// earlier one counts as the last) and returns what is to be done.
func (m *Machine) Step(now protocol.Time, e Event) Output {
	m.now = max(m.now, now)
	m.out, m.touched = Output{}, false
	if m.down {
		if l, ok := e.(LoadAsked); ok {
			m.refuse(l.Token, protocol.Refusal(protocol.ShuttingDown))
		}
		m.out.Wake = protocol.Never
		return m.out
	}
	m.apply(e)
	if m.down {
		m.out.Wake = protocol.Never
		return m.out
	}
	m.settle()
	m.expireWorkers()
	m.expireLoads()
	m.settle()
	m.countDown()
	m.profile()
	m.activate()
	for _, w := range m.sorted() {
		m.pump(w)
	}
	m.out.Wake = m.wake()
	return m.out
}

func (m *Machine) apply(e Event) {
	switch e := e.(type) {
	case Started:
		m.start(e)
	case WorkerSeen:
		m.workerSeen(e)
	case WorkerLost:
		m.workerLost(e)
	case WorkerAnswered:
		m.workerAnswered(e.State)
	case LoadAsked:
		m.loadAsked(e)
	case LoadResult:
		m.result(e.Result)
	case ModelsStored:
		m.stored(e.Token)
	case StoreFailed:
		m.storeFailed(e.Token)
	case ModelsUnstored:
		delete(m.unstoring, e.Token)
	case StageStored:
		m.stageStored(e.Stage)
	case StageConflict:
		m.stageConflict(e.Stage)
	case ProfilerSeen:
		m.profilerSeen(e)
	case ProfilingDone:
		m.profilingDone(e)
	case SchedulerSeen:
		m.schedulerSeen(e)
	}
}

func (m *Machine) start(e Started) {
	if m.started {
		return
	}
	m.started, m.querying, m.stage = true, true, e.Stage
	m.closed = e.Stage >= protocol.Profiling
	for _, s := range e.Models {
		m.models[s.Name] = s
	}
	m.addProfiles(e.Profiles)
	m.activation.seen = m.now
	if m.stage == protocol.Active {
		m.quarantineAgain(e.Quarantined)
	}
	if len(e.Torn) > 0 {
		m.unstore(e.Torn)
	}
	if e.Stage == 0 {
		m.setStage(protocol.Querying)
	}
	if m.closed {
		m.closeLoads(protocol.LoadingClosed)
	}
	for _, w := range m.sorted() {
		m.query(w)
	}
}

// settle ends the query, moves the stage and brings the loads as far as they go.
func (m *Machine) settle() {
	if !m.started {
		return
	}
	m.endQuery()
	if m.wanted != 0 && m.now >= m.retryAt {
		stage := m.wanted
		m.wanted = 0
		m.setStage(stage)
	}
	switch {
	case m.querying || m.asked != 0 || m.wanted != 0:
	case m.stage == protocol.Querying:
		m.setStage(protocol.AwaitingModels)
	case m.stage == protocol.AwaitingModels && len(m.waiting) > 0:
		m.setStage(protocol.Loading)
	}
	m.admit()
	for m.resolve() {
		m.admit()
	}
}

// endQuery goes on once one worker answered and the others did or were late.
func (m *Machine) endQuery() {
	if !m.querying {
		return
	}
	answered := 0
	for _, w := range m.workers {
		if !w.answered && !w.late {
			return
		}
		if w.answered {
			answered++
		}
	}
	if answered == 0 {
		return
	}
	m.querying = false
	m.adopt()
	for _, w := range m.sorted() {
		if w.serving() {
			m.reconcile(w)
		}
	}
}

// adopt stores what every worker holds and KV does not know.
func (m *Machine) adopt() {
	if m.closed {
		return
	}
	var first *worker
	for _, w := range m.sorted() {
		if w.serving() && first == nil {
			first = w
		}
	}
	byPath := map[string][]string{}
	for _, name := range sortedKeys(first.holds) {
		spec := first.holds[name]
		_, known := m.models[name]
		if known || !protocol.ValidName(name) || len(m.models)+len(byPath) >= m.cfg.MaxModels {
			continue
		}
		everywhere := true
		for _, w := range m.workers {
			everywhere = everywhere && (!w.serving() || w.holds[name].Path == spec.Path && w.holds[name].Digest == spec.Digest)
		}
		if everywhere {
			byPath[spec.Path+"\x00"+spec.Digest] = append(byPath[spec.Path+"\x00"+spec.Digest], name)
		}
	}
	for _, key := range sortedKeys(byPath) {
		path, _, _ := strings.Cut(key, "\x00")
		m.loads = append(m.loads, &load{path: path, names: byPath[key], held: true, deadline: protocol.Never,
			failed: map[string]protocol.WorkerError{}, added: map[string][]string{}})
	}
}

// setStage asks the shell to move the stage, one at a time.
func (m *Machine) setStage(s protocol.Stage) {
	if m.asked != 0 || s <= m.stage {
		return
	}
	m.asked = s
	m.out.SetStage = &s
	if s == protocol.Active {
		for _, name := range sortedKeys(m.quarantined) {
			m.out.Quarantined = append(m.out.Quarantined, Quarantine{Model: name, Reason: m.quarantined[name]})
		}
	}
}

func (m *Machine) stageStored(s protocol.Stage) {
	if s != m.asked || s == 0 {
		return
	}
	m.asked, m.stage = 0, s
	m.event(protocol.Event{Kind: protocol.EventStage, Stage: s.String()})
	if s == protocol.Active {
		m.activation.needed = true
	}
}

// stageConflict: KV holding what was asked for counts as stored (an ambiguous
// write that succeeded); a later stage means that another controller is at
// work; an earlier one is tried again after a pause.
func (m *Machine) stageConflict(s protocol.Stage) {
	asked := m.asked
	switch {
	case asked == 0:
	case s == asked:
		m.stageStored(s)
	case s > m.stage:
		m.stepDown(s)
	default:
		m.asked, m.wanted, m.retryAt = 0, asked, m.now.Add(m.cfg.Resend)
	}
}

func (m *Machine) stepDown(s protocol.Stage) {
	code := protocol.StateUnavailable
	if s >= protocol.Profiling {
		code = protocol.LoadingClosed
	}
	m.closeLoads(code)
	m.loads, m.waiting, m.countdown = nil, nil, protocol.Never
	m.down, m.out.StepDown = true, true
}

// closeLoads answers everything that is not accepted.
func (m *Machine) closeLoads(code protocol.Code) {
	for _, l := range append(slices.Clone(m.loads), m.waiting...) {
		for _, token := range l.tokens {
			m.refuse(token, protocol.Refusal(code))
		}
	}
	m.waiting = nil
}

// act sends a new action.
func (m *Machine) act(w *worker, a protocol.Action) protocol.ActionID {
	m.action++
	a.ID = m.action
	m.send(w, a)
	return a.ID
}

// send sends an action under the id that it has.
func (m *Machine) send(w *worker, a protocol.Action) {
	a.Issuer, a.Incarnation, a.Latest = m.cfg.Issuer, w.incarnation, protocol.Never
	m.out.Actions = append(m.out.Actions, WorkerAction{Worker: w.id, Action: a})
}

func (m *Machine) event(e protocol.Event) { m.out.Events = append(m.out.Events, e) }

func (m *Machine) addProfiles(list []protocol.Profile) {
	for _, p := range list {
		m.profiles[profileKey{p.Digest, p.Backend, p.BackendVersion, p.GPUType}] = p
	}
}

// sorted returns the workers by id.
func (m *Machine) sorted() []*worker {
	return slices.SortedFunc(maps.Values(m.workers), func(a, b *worker) int { return cmp.Compare(a.id, b.id) })
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Stage returns the stage that KV is known to have held.
func (m *Machine) Stage() protocol.Stage { return m.stage }

// Models returns the accepted models by name, with their profiles.
func (m *Machine) Models() []protocol.ModelState {
	var list []protocol.ModelState
	for _, name := range sortedKeys(m.models) {
		s := m.models[name]
		list = append(list, protocol.ModelState{ModelSpec: s, Profile: m.known([]protocol.ModelSpec{s}), Quarantined: m.quarantined[name]})
	}
	return list
}

// Workers returns the workers in service by id, as last heard.
func (m *Machine) Workers() []protocol.WorkerState {
	var list []protocol.WorkerState
	for _, w := range m.sorted() {
		if w.serving() {
			list = append(list, w.snapshot(func(string) bool { return true }))
		}
	}
	return list
}
