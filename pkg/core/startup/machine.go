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
// Invariants: stage is a stage that KV has confirmed, and only grows. At most
// one SetStage is outstanding. closed is set before SetStage(PROFILING) and
// never cleared. Every model in models is in KV, and no model is ever removed from
// models.
type Machine struct {
	cfg Config
	// now is the time of the current step; it never goes back.
	now protocol.Time
	// started: the event Started was applied. Before it, workers are only recorded.
	started bool
	// down: StepDown was output. Further loads are refused, other events ignored.
	down bool
	// stage is the last stage that KV confirmed; 0 if KV held none yet.
	stage protocol.Stage
	// pendingStage is the outstanding SetStage, 0 for none. retryStage is the stage to
	// set again at retryAt, after a conflict with an earlier stage; 0 for none. At
	// most one of the two is set.
	pendingStage, retryStage protocol.Stage
	retryAt                  protocol.Time
	// querying: the query of the workers at the start has not ended; nothing else is
	// sent to workers meanwhile. closed: loading is over.
	querying, closed bool
	// workers are the workers seen and not lost, by id, at most MaxWorkers. Dropped
	// workers are among them.
	workers map[string]*worker
	// models are the accepted models by name, at most MaxModels.
	models map[string]protocol.ModelSpec
	// described is what they take to describe, in bytes.
	described int64
	// names is the cache of modelNames.
	names []string
	// loads are the pending loads, in order of admission. waiting are the loads not
	// admitted yet, in order of arrival. Adopted models are in loads only.
	loads, waiting []*load
	// unstoring are the names being removed from KV, by token. Until their removal
	// no load with these names is admitted, and loading does not close.
	unstoring map[uint64][]string
	// touched: this step contained load activity. countdown is when loading closes,
	// Never while no countdown runs. paused is when loading would have closed
	// without the loads that are pending now, Never if the countdown has to restart.
	touched           bool
	countdown, paused protocol.Time
	// profiles are all known profiles by digest, from KV, workers and reports; complete or
	// not, one for each kind of GPU.
	profiles map[string][]protocol.Profile
	// quarantined maps a model's name to the reason why it is not served. After each
	// job of PROFILING it is replaced; from ACTIVE on it does not change.
	quarantined map[string]string
	profiling   profiling
	activation  activation
	blocked     blocked
	renewals    renewals
	// rosters are the services of the kinds that ServiceBeat is about.
	rosters map[protocol.ServiceKind]*roster
	refused refused
	// next is the last Output.Wake: before it, nothing is due.
	next protocol.Time
	// action is the id of the last action, token that of the last Store or Unstore.
	// Both only grow.
	action protocol.ActionID
	token  uint64
	// out is the output of the current step.
	out Output
}

// New returns a machine that expects Started.
func New(c Config) (*Machine, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("check startup config: %w", err)
	}
	return &Machine{cfg: c, countdown: protocol.Never, paused: protocol.Never, workers: map[string]*worker{}, models: map[string]protocol.ModelSpec{},
		unstoring: map[uint64][]string{}, profiles: map[string][]protocol.Profile{}, quarantined: map[string]string{}, activation: activation{fresh: map[protocol.ProfileKey]bool{}},
		rosters: newRosters()}, nil
}

// Step applies one event and returns the work to be done. If now is before the
// last instant, the last instant counts. Whatever is due at now is done in the same
// step, after the event: an event at the instant of a timeout wins.
func (m *Machine) Step(now protocol.Time, e Event) Output {
	m.now = max(m.now, now)
	m.out, m.touched = Output{}, false
	if m.down {
		if l, ok := e.(LoadRequested); ok {
			m.refuse(l.Token, protocol.Refusal(protocol.ShuttingDown))
		}
		m.out.Wake = protocol.Never
		return m.out
	}
	if m.repeats(e) && m.now < m.next {
		m.out.Wake = m.next
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
	m.announceAgain()
	m.retryLacks()
	m.renew()
	m.tellBlocked()
	for _, w := range m.sorted() {
		m.pump(w)
	}
	m.next = m.wake()
	m.out.Wake = m.next
	return m.out
}

// apply changes the state by one event; Step then derives what follows from it.
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
	case LoadRequested:
		m.loadRequested(e)
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
	case Fenced:
		m.stepDown(protocol.Errorf(protocol.StateUnavailable, "another controller leads now; ask it again"))
	case ProfilingDone:
		m.profilingDone(e)
	case ServiceBeat:
		m.serviceBeat(&e.Heartbeat)
	case ServiceLost:
		m.serviceLost(&e.Heartbeat)
	case JoinConfirmed:
		m.joinConfirmed(e)
	}
}

// start takes over the content of KV and queries the workers seen so far. A second
// Started is ignored.
func (m *Machine) start(e Started) {
	if m.started {
		return
	}
	m.addProfiles(e.Profiles) // before the stage is set: they are not fresh
	m.started, m.querying, m.stage = true, true, e.Stage
	m.closed = e.Stage >= protocol.Profiling
	for _, s := range e.Models {
		m.accept(s)
	}
	m.activation.seen, m.profiling.heard = m.now, m.now
	for _, r := range m.rosters { // in any order: each for itself
		r.last = m.now
	}
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
		m.closeLoads(protocol.Refusal(protocol.LoadingClosed))
	}
	for _, w := range m.sorted() {
		m.query(w)
	}
}

// settle ends the query, advances the stage and processes the loads as far as
// possible.
func (m *Machine) settle() {
	if !m.started {
		return
	}
	m.endQuery()
	if m.retryStage != 0 && m.now >= m.retryAt {
		stage := m.retryStage
		m.retryStage = 0
		m.setStage(stage)
	}
	switch {
	case m.querying || m.pendingStage != 0 || m.retryStage != 0:
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

// endQuery ends the query once one worker has answered and every other has
// answered or timed out.
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
		if w.answered {
			m.reconcile(w)
		}
	}
}

// adopt creates loads that store the models which every worker holds and KV
// lacks.
func (m *Machine) adopt() {
	if m.closed {
		return
	}
	holders := slices.DeleteFunc(m.sorted(), func(w *worker) bool { return !w.answered })
	first := holders[0] // the query ends with an answer
	byPath := map[string][]string{}
	for _, name := range sortedKeys(first.holds) {
		spec := first.holds[name]
		if m.isModel(name) || !protocol.ValidName(name) || len(m.models)+len(byPath) >= m.cfg.MaxModels || descriptionBytes(&spec) > m.cfg.MaxDescription {
			continue
		}
		everywhere := true
		for _, w := range holders {
			have, want := w.holds[name], w.state.SpecOf(spec)
			everywhere = everywhere && have.Differs(&want) == ""
		}
		if everywhere {
			key := fmt.Sprintf("%s\x00%s %08d %v", spec.Path, spec.Digest, spec.Version, spec.BatchSizes)
			byPath[key] = append(byPath[key], name)
		}
	}
	for _, key := range sortedKeys(byPath) {
		path, _, _ := strings.Cut(key, "\x00")
		m.loads = append(m.loads, &load{path: path, names: byPath[key], held: true, deadline: protocol.Never,
			failed: map[string]protocol.WorkerError{}, added: map[string][]string{}})
	}
}

// setStage outputs SetStage unless one is outstanding.
func (m *Machine) setStage(s protocol.Stage) {
	if m.pendingStage != 0 || s <= m.stage {
		return
	}
	m.pendingStage = s
	m.out.SetStage = &s
	if s == protocol.Active {
		for _, name := range sortedKeys(m.quarantined) {
			m.out.Quarantined = append(m.out.Quarantined, Quarantine{Model: name, Reason: m.quarantined[name]})
		}
	}
}

// stageStored advances the stage to the one that was being set. ACTIVE needs an
// activation.
func (m *Machine) stageStored(s protocol.Stage) {
	if s != m.pendingStage || s == 0 {
		return
	}
	m.pendingStage, m.stage = 0, s
	m.event(protocol.Event{Kind: protocol.EventStage, Stage: s.String()})
	if s == protocol.Active {
		m.activation.needed = true
	}
}

// stageConflict handles a SetStage that was not carried out. If KV holds the
// requested stage, it counts as stored (an ambiguous write that succeeded). A
// later stage means that another controller is active. After an earlier stage
// the write is repeated after a pause.
func (m *Machine) stageConflict(s protocol.Stage) {
	asked := m.pendingStage
	switch {
	case asked == 0:
	case s == asked:
		m.stageStored(s)
	case s >= protocol.Profiling && s > m.stage:
		m.stepDown(protocol.Refusal(protocol.LoadingClosed))
	case s > m.stage:
		m.stepDown(protocol.Refusal(protocol.StateUnavailable))
	default:
		m.pendingStage, m.retryStage, m.retryAt = 0, asked, m.now.Add(m.cfg.Resend)
	}
}

// stepDown ends this machine, because another controller leads. The models that this
// machine was loading are left on the workers: what is in the store, the other one has
// taken over, and it removes the rest.
func (m *Machine) stepDown(refusal *protocol.Error) {
	m.closeLoads(refusal)
	m.loads, m.waiting, m.countdown = nil, nil, protocol.Never
	m.down, m.out.StepDown = true, true
}

// closeLoads refuses every load that is not answered yet.
func (m *Machine) closeLoads(refusal *protocol.Error) {
	for _, l := range append(slices.Clone(m.loads), m.waiting...) {
		for _, token := range l.tokens {
			m.refuse(token, refusal)
		}
	}
	m.waiting = nil
}

// act sends an action under a new id.
func (m *Machine) act(w *worker, a protocol.Action) protocol.ActionID {
	m.action++
	a.ID = m.action
	m.send(w, a)
	return a.ID
}

// send sends an action under its present id.
func (m *Machine) send(w *worker, a protocol.Action) {
	a.Issuer, a.Incarnation, a.Latest = m.cfg.Issuer, w.incarnation, protocol.Never
	a.Leader = protocol.Leader{Service: protocol.Controller, Term: m.cfg.Term}
	m.out.Actions = append(m.out.Actions, WorkerAction{Worker: w.id, Action: a})
}

// event outputs an event for displays; the shell sets its time.
func (m *Machine) event(e protocol.Event) { m.out.Events = append(m.out.Events, e) }

// maxProfiles is how many profiles of one model are kept, of types of GPU and versions of
// backends; the first ones go.
const maxProfiles = 256

// addProfiles adds profiles; each replaces the one with the same key.
func (m *Machine) addProfiles(list []protocol.Profile) {
	for _, p := range list {
		of := m.profiles[p.Digest]
		i := slices.IndexFunc(of, func(q protocol.Profile) bool { return p.Key() == q.Key() })
		if m.stage == protocol.Active && (i < 0 || !slices.Equal(of[i].Infer, p.Infer)) {
			m.activation.fresh[p.Key()] = true
		}
		if i >= 0 {
			of[i] = p
		} else {
			m.profiles[p.Digest] = append(of[max(0, len(of)-maxProfiles+1):], p)
		}
	}
}

// sorted returns the workers by id.
func (m *Machine) sorted() []*worker {
	return slices.SortedFunc(maps.Values(m.workers), byID)
}

func byID(a, b *worker) int { return cmp.Compare(a.id, b.id) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Stage returns the last stage that KV confirmed.
func (m *Machine) Stage() protocol.Stage { return m.stage }

// Models returns the accepted models with their profiles, sorted by name.
func (m *Machine) Models() []protocol.ModelState { return m.ModelsAfter("", len(m.models)) }

// ModelCount returns how many models are accepted.
func (m *Machine) ModelCount() int { return len(m.models) }

// Model returns an accepted model as Models does, false if there is none of this name.
func (m *Machine) Model(name string) (protocol.ModelState, bool) {
	if !m.isModel(name) {
		return protocol.ModelState{}, false
	}
	return m.modelState(name, m.sorted()), true
}

// ModelsAfter returns the first accepted models after a name, at most n, as Models does.
func (m *Machine) ModelsAfter(name string, n int) []protocol.ModelState {
	names := m.modelNames()
	first, found := slices.BinarySearch(names, name)
	if found {
		first++
	}
	names = names[first:]
	list := make([]protocol.ModelState, 0, min(n, len(names)))
	workers := m.sorted()
	for _, name := range names[:cap(list)] {
		list = append(list, m.modelState(name, workers))
	}
	return list
}

func (m *Machine) modelState(name string, workers []*worker) protocol.ModelState {
	s := m.models[name]
	state := protocol.ModelState{ModelSpec: s, Profile: m.shown(&s), Quarantined: protocol.ShortText(m.unserved(name), protocol.MaxText)}
	for _, w := range workers {
		if why, lacks := w.lacks[name]; lacks {
			state.Lacking = append(state.Lacking, why)
		}
	}
	state.Lacking, state.MoreLacking = protocol.ShortErrors(state.Lacking)
	return state
}

// modelNames returns the names of the accepted models, sorted; valid until the next is
// accepted.
func (m *Machine) modelNames() []string {
	if len(m.names) != len(m.models) { // none is ever removed
		m.names = sortedKeys(m.models)
	}
	return m.names
}

// shown returns the profiles of a model to show, one for each GPU type: of the version of
// the backend that it was loaded with, or if there is none, of any.
func (m *Machine) shown(s *protocol.ModelSpec) []protocol.Profile {
	var list []protocol.Profile
	for _, p := range m.profiles[s.Digest] {
		if p.Backend != s.Backend {
			continue
		}
		i := slices.IndexFunc(list, func(q protocol.Profile) bool { return q.GPUType == p.GPUType })
		switch {
		case i < 0:
			list = append(list, p)
		case p.BackendVersion == s.BackendVersion:
			list[i] = p
		}
	}
	slices.SortFunc(list, func(a, b protocol.Profile) int { return compareKeys(a, b) })
	return list
}

// Workers returns the last known states of the workers that answered, sorted by id.
func (m *Machine) Workers() []protocol.WorkerState {
	var list []protocol.WorkerState
	for _, w := range m.sorted() {
		if w.answered {
			list = append(list, w.snapshot())
		}
	}
	return list
}
