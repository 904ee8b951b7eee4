//go:build planted

package startup

import (
	"testing"

	"clockwork/pkg/testkit/planted"
)

// faults are planted one at a time. The scripts or the worlds must find each of them.
var faults = []planted.Fault{
	// A controller that stood still while another led.
	{"a fenced controller goes on", "machine.go", "	case Fenced:\n		m.stepDown(protocol.Errorf(protocol.StateUnavailable, \"another controller leads now; ask it again\"))\n", "	case Fenced:\n"},
	{"a fenced controller leaves its clients", "machine.go", "func (m *Machine) stepDown(refusal *protocol.Error) {\n	m.closeLoads(refusal)\n", "func (m *Machine) stepDown(refusal *protocol.Error) {\n"},
	{"a fenced controller rolls back", "machine.go", "	m.closeLoads(refusal)\n	m.loads, m.waiting", "	m.closeLoads(refusal)\n	for _, l := range m.loads {\n		for _, w := range m.sorted() {\n			m.send(w, protocol.Action{ID: 1 << 40, Kind: protocol.ClearCache, GPU: -1, Models: l.names, Leader: protocol.Leader{}})\n			m.out.Actions[len(m.out.Actions)-1].Action.Leader = protocol.Leader{}\n		}\n	}\n	m.loads, m.waiting"},
	{"actions name no term", "machine.go", "	a.Leader = protocol.Leader{Service: protocol.Controller, Term: m.cfg.Term}\n", ""},
	{"the start names no term", "activation.go", "protocol.ClockworkState{Term: m.cfg.Term, PageSize", "protocol.ClockworkState{PageSize"},
	{"a loaded model is answered from memory", "load_outcome.go", "	m.token++\n	l.storing = m.token\n	m.out.Store", "	if len(fresh) == 0 {\n		m.finish(l, m.reply(l), nil)\n		return\n	}\n	m.token++\n	l.storing = m.token\n	m.out.Store"},
	{"a load joins one that is being stored", "load.go", " && p.storing == 0 {\n", " {\n"},
	{"the models of before are forgotten", "machine.go", "	for _, s := range e.Models {\n		m.accept(s)\n	}\n", ""},
	{"a former leader is obeyed", "../../protocol/leader.go", "	return seen == nil || l.Term == 0 || l.Term >= *seen\n", "	return true || *seen == 0\n"},
	{"a later leader is not noted", "../../protocol/leader.go", "		*seen = max(*seen, l.Term)\n", ""},
	{"a leader is former at once", "../../protocol/leader.go", "l.Term >= *seen\n", "l.Term > *seen\n"},

	// What is rolled back, removed and repeated.
	{"a failed store stays in KV", "load_outcome.go", "		m.unstore(slices.DeleteFunc(slices.Clone(l.names), m.isModel))\n", ""},
	{"two loads have a name in common", "load.go", "		if l.overlaps(p.names) {\n			return false\n		}\n", "		_ = p\n"},
	{"a load that is late is stored all the same", "load_outcome.go", "		if l.storing != 0 || len(l.tokens) == 0 || m.now < l.deadline {\n", "		if len(l.tokens) == 0 || m.now < l.deadline {\n"},
	{"a load is stored before it is everywhere", "load_outcome.go", "			if w.holds[n].Path != l.path && w.serves(n) {\n				return false", "			if w.holds[n].Path != l.path && w.serves(n) && len(m.loads) == 1 {\n				return false"},
	{"what is sent again is another action", "task.go", "	a.ID = t.id\n	m.send(w, a)\n", "	t.id = m.act(w, a)\n"},
	{"nothing is sent again", "worker.go", "			if m.now >= t.resend {\n				m.resend(w, t)\n			}\n", ""},
	{"what an ended load leaves is kept", "task.go", "	case t.abandoned && failure == nil:\n		m.clear(w, t.names)\n", "	case t.abandoned && failure == nil && false:\n		m.clear(w, t.names)\n"},
	{"a late worker is given nothing", "worker.go", "		m.fetch(w, nil, g.path, g.names, g.pinned)\n", "		_ = g\n"},

	// What can be stored.
	{"a model larger than a value of the store", "description.go", "each > m.cfg.MaxDescription {\n", "false && each > 0 {\n"},
	{"models larger than the store", "description.go", "total > m.cfg.MaxDescriptions {\n", "false {\n"},
	{"what is being stored takes no room", "description.go", "			total += m.newBytes(l.specs)\n", ""},
	{"held models are too large", "description.go", "	if fresh == 0 {\n		return nil\n	}\n", ""},

	// When loading closes.
	{"loading closes while a load is pending", "countdown.go", "func (m *Machine) loading() bool { return len(m.loads)+len(m.waiting) > 0 }", "func (m *Machine) loading() bool { return len(m.waiting) > 0 }"},
	{"loading closes a little early", "countdown.go", "		m.countdown = m.now.Add(m.cfg.LoadIdle)\n", "		m.countdown = m.now.Add(m.cfg.LoadIdle - 1)\n"},
	{"a load does not restart the countdown", "load_outcome.go", "	m.touched = m.touched || refusal == nil || !argumentsAtFault(refusal.Code)\n", ""},
	{"a load is taken after loading closed", "countdown.go", "		m.countdown, m.closed = protocol.Never, true\n", "		m.countdown = protocol.Never\n"},

	// Stages, profiles, and the scheduler.
	{"a stage that was refused counts", "machine.go", "		m.pendingStage, m.retryStage, m.retryAt = 0, asked, m.now.Add(m.cfg.Resend)\n", "		m.stageStored(asked)\n"},
	{"a refused stage is not set again", "machine.go", "m.pendingStage, m.retryStage, m.retryAt = 0, asked, m.now.Add(m.cfg.Resend)\n", "m.pendingStage = 0\n"},
	{"a worker joins without profiles", "activation.go", "			state.Profiles = m.unannounced(state)\n", ""},
	{"a worker joins with models missing", "worker.go", "func (w *worker) ready() bool { return w.answered && w.catchups == 0 }", "func (w *worker) ready() bool { return w.answered }"},

	// What workers lack, and which versions they have.
	{"nothing is pinned", "task.go", "	if t.pinned != (pin{}) {", "	if false {"},
	{"the largest batch of today", "task.go", "load.MaxExec = t.pinned.version, t.pinned.digest, t.pinned.maxBatch, 0", "load.MaxExec = t.pinned.version, t.pinned.digest, m.cfg.MaxBatch, 0"},
	{"whatever comes is what was accepted", "task.go", "			if diff := r.Loaded[i].Differs(&want); diff != \"\" {\n", "			if diff := r.Loaded[i].Differs(&want); false {\n"},
	{"what fails is there", "task.go", "	case t.catchup:\n		m.lack(w, t.names, failure)\n", "	case t.catchup:\n"},
	{"what is lacked is not told", "lack.go", "		s.Lacks = append(", "		_ = append("},
	{"what comes late is lacked for ever", "task.go", "	case t.catchup && failure == nil:\n		m.regain(w, t.names)\n", "	case t.catchup && failure == nil:\n"},
	{"a load that is late holds all up", "worker.go", "				t.late = true\n				w.catchups--\n", "				t.late = true\n"},
	{"loads wait for workers that lack something", "load.go", "	if len(whole) > 0 {\n		return whole\n	}\n", ""},
	{"what was stored goes past those that lack something", "load_outcome.go", "	for _, w := range m.sorted() {\n		m.catchUp(w, l)\n	}\n", ""},
	{"held models are loaded as they come", "load.go", "	m.settleHeld(l)\n", ""},
	{"a new version is no change", "task.go", "	case r.Loaded[0].Digest != held.Digest || r.Loaded[0].Version != held.Version && held.Version != 0:\n", "	case false:\n"},
	{"an answer does not wait for the comparison", "load_outcome.go", "	compares := func(t *task) bool { return t.load == l && t.compare }\n", "	compares := func(t *task) bool { return false }\n"},
	{"one version of the backend is like another", "latecomer.go", "m.unprofiled(s.SpecOf(spec), types)", "m.unprofiled(spec, types)"},
	{"versions of the backend in one job", "activation.go", "		return w.Backend != one.Backend || w.BackendVersion != one.BackendVersion\n", "		return w.Backend != one.Backend\n"},
	{"activation without the profiles of other versions", "activation.go", "Profiles: m.known(models, workers), Workers", "Profiles: m.known(models, nil), Workers"},
	{"what is lacked is not asked for again", "machine.go", "	m.retryLacks()\n", ""},
	{"what fails late is not asked for again", "lack.go", "		if !lacked || w.retry.at == protocol.Never {", "		if !lacked {"},
	{"it is asked for at one pace", "lack.go", "min(max(2*r.pause, m.cfg.LackRetry), m.cfg.MaxLackRetry)", "m.cfg.LackRetry"},
	{"asking again holds the worker up", "lack.go", "catchup: true, late: true})", "catchup: true})"},
	{"asking again is told each time", "lack.go", "		if before.Code != why.Code {\n", "		if before.Code != \"\" || true {\n"},
	{"what is back is lacked", "lack.go", "		delete(w.lacks, n)\n", "		_ = n\n"},
	{"it is given a load that it has already", "load.go", " && !w.isAskedFor(n, its) {\n", " && its != nil {\n"},
	{"copies of what nobody has are loaded", "load_outcome.go", "	case specs == nil && !m.accepted(l):", "	case false:"},
	{"what is back is loaded over what is not it", "lack.go", "			m.clear(w, w.holding(r.task.names))\n", ""},
	{"a worker that lacks nothing any more gets no load", "lack.go", "			m.assign(l, w)\n", "			_ = l\n"},
	{"ACTIVE without what came back", "activation.go", "	if slices.ContainsFunc(m.ready(), func(s protocol.WorkerState) bool { return !m.plannable(s) }) {\n", "	if false {\n"},
	{"what was never measured is served", "lack.go", "		back = m.lackUnmeasured(w, back)\n", ""},
	{"what was measured since is lacked", "activation.go", "		m.regainMeasured()\n", ""},
	{"a join is announced once", "announce.go", "	if !w.joined || w.announced.state == nil {\n", "	if true {\n"},
	{"a join is announced for ever", "announce.go", "		w.announced = announcement{}\n", ""},
	{"a deposed scheduler's word on a join counts", "announce.go", " && e.Epoch >= m.activation.active {", " {"},
	{"what was measured since is kept from the scheduler", "machine.go", "			m.activation.fresh[p.Key()] = true\n", ""},
	{"one model keeps a worker in use out", "latecomer.go", "		if w.state.Epoch != 0 {\n", "		if false {\n"},
	{"what is removed waits for what is lacked", "worker.go", "	counts := func(t *task) bool { return !t.late }\n", "	counts := func(t *task) bool { return true }\n"},
	{"a profiler that is gone is there", "blocked.go", "p.profiler != 0 && now.Sub(p.heard) < silence", "p.profiler != 0"},
	{"what is missing is told each time", "blocked.go", "		b.told, b.open = true, true\n", "		b.open = true\n"},
	{"what is missing is not told", "machine.go", "	m.tellBlocked()\n", ""},
	{"models that nobody could load are no matter", "blocked.go", "m.unanswering, m.nothingHeld, m.standsBy", "m.unanswering, m.standsBy"},
	{"pages of one size", "../../protocol/state.go", "		m.Pages = PagesFor(m.WeightsBytes, w.PageSize)\n", ""},
	{"a lost store gets the stage alone", "mend.go", "mend.Models, mend.Profiles, mend.Stage = m.Models(), true, m.stage\n", "mend.Stage = m.stage\n"},
	{"a lost store has no quarantine", "mend.go", "mend.Serving = m.stage == protocol.Active;", "mend.Serving = false;"},
	{"models that nobody can read stay so", "mend.go", "			if of, is := m.Model(name); is {\n", "			if of, is := m.Model(name); is && false {\n"},
	{"what cannot be measured is not lacked", "latecomer.go", "t != \"\" && w.serves(model.Name) {\n				m.lack(", "t != \"\" && false {\n				m.lack("},

	{"who was found is never asked again", "activation.go", "	m.askFound()\n", ""},
	{"a load that waits is not answered", "load_outcome.go", "		if m.now >= l.deadline {\n", "		if false {\n"},

	// What is missing.
	{"nobody misses a front door", "blocked.go", "		{protocol.FrontDoor, m.FrontDoor(now) == protocol.ServiceAbsent},\n", ""},
	{"who leaves is there", "blocked.go", "		delete(r.there, e.ID)\n", ""},
	{"who leaves is missed at once", "blocked.go", "			r.last = m.now\n", "			r.last = 0\n"},
	{"a profiler is missed only when it is to measure", "blocked.go", "(m.stage < protocol.Active || m.measuring())", "m.measuring()"},
	{"nobody begins anew", "machine.go", "	m.renew()\n", ""},
	{"all begin anew at a time", "renewal.go", "	if m.renewing() || ", "	if "},
	{"what a worker serves alone is left for what others serve", "renewal.go", "	return !slices.ContainsFunc(m.modelNames(),", "	return true || !slices.ContainsFunc(m.modelNames(),"},
	{"nobody leaves what it serves alone for what nobody serves", "renewal.go", "func(name string) bool { return !m.servable(name) }) {\n		return true\n", "func(name string) bool { return !m.servable(name) }) {\n"},
}

// TestPlantedPlaces: make lint asks, so that a change of the code takes its faults along.
func TestPlantedPlaces(t *testing.T) { planted.Places(t, faults) }

// TestPlantedBugs has scripts and worlds look for each fault.
func TestPlantedBugs(t *testing.T) {
	planted.Find(t, faults, "-test.run", "TestScripts|TestWorld|TestAModelThat|TestAnother")
}
