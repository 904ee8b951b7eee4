package startup

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"clockwork/pkg/core/work"
	"clockwork/pkg/core/work/virtual"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/simtime"
	"clockwork/pkg/testkit/simworker"
)

// TestWorldOfLeaders lets controllers stand still, be succeeded, and wake: they go on with
// what they had decided, and with what came meanwhile. Their messages may be held and arrive
// when another one leads. Whatever is answered, stored and removed must be as if the last
// holder of the lease had been alone.
func TestWorldOfLeaders(t *testing.T) {
	var sum struct{ fenced, stale, woken, promised, active int }
	for seed := int64(1); seed <= 300; seed++ {
		f := runFleet(t, seed)
		sum.fenced, sum.stale, sum.woken = sum.fenced+f.fenced, sum.stale+f.stale, sum.woken+f.woken
		sum.promised += len(f.promised)
		sum.active += b2i(f.stage == protocol.Active)
	}
	if sum.fenced < 200 || sum.stale < 200 || sum.woken < 500 || sum.promised < 300 || sum.active < 200 {
		t.Errorf("%+v: the test proves little", sum)
	}
}

// fleet is a world of controllers, workers, the store and clients. It goes by steps, with some
// time between them.
type fleet struct {
	t    *testing.T
	seed int64
	simtime.Clock
	at int // step

	leaders []*leads
	workers map[string]*fleetWorker
	pending []func() // what is on its way; it arrives in any order
	healed  bool

	// The store.
	fence  uint64
	stage  protocol.Stage
	models map[string]protocol.ModelSpec
	// profiles are those that the profiler has stored.
	profiles []protocol.Profile

	asked    map[uint64]int  // by token: the step of the request
	answered map[uint64]bool // by token
	promised map[string]bool // models of loads that were answered OK

	starts               protocol.Terms // of the scheduler
	served               []string       // what it was given last
	fenced, stale, woken int
}

// leads is a controller during its term, and after it for as long as it has not noticed.
type leads struct {
	m     *Machine
	term  uint64
	wake  protocol.Time
	still bool    // it stands still
	inbox []Event // what came meanwhile
	// confirmed is the last step in which the store took something from it.
	confirmed int
}

func runFleet(t *testing.T, seed int64) *fleet {
	f := &fleet{t: t, seed: seed, Clock: simtime.Clock{RNG: rand.New(rand.NewPCG(uint64(seed), 3))}, workers: map[string]*fleetWorker{}, models: map[string]protocol.ModelSpec{},
		asked: map[uint64]int{}, answered: map[uint64]bool{}, promised: map[string]bool{}}
	for _, id := range []string{"w1", "w2"} {
		w := &fleetWorker{Time: simworker.Time{Clock: &f.Clock}, fleet: f}
		w.Worker = virtual.New(workerConfig(id, 1, "t4"), w)
		f.workers[id] = w
	}
	f.elect()
	for f.at = 1; f.at < 400; f.at++ {
		f.Run(f.Now.Add(f.UpTo(300*time.Millisecond)), func() bool { return false })
		switch n := f.RNG.IntN(40); {
		case n == 0:
			f.last().still = true
			f.elect()
		case n < 3:
			f.rouse()
		case n < 6 && f.at < 300:
			f.load()
		case n < 30 && len(f.pending) > 0:
			f.arrive(f.RNG.IntN(len(f.pending)))
		default:
			f.tick()
		}
	}
	f.heal()
	return f
}

func (f *fleet) fail(format string, args ...any) {
	f.t.Helper()
	f.t.Fatalf("seed %d, step %d at %s: %s", f.seed, f.at, f.Now, fmt.Sprintf(format, args...))
}

func (f *fleet) last() *leads { return f.leaders[len(f.leaders)-1] }

func (f *fleet) arrive(k int) {
	happen := f.pending[k]
	f.pending = slices.Delete(f.pending, k, k+1)
	happen()
}

// elect has another controller take the lease: it stores its fence, then reads the rest.
func (f *fleet) elect() {
	f.fence++
	c := DefaultConfig()
	c.Issuer, c.Term, c.LoadTimeout, c.LoadIdle = f.fence, f.fence, 4*time.Second, 5*time.Second
	m, err := New(c)
	if err != nil {
		f.t.Fatal(err)
	}
	l := &leads{m: m, term: f.fence, wake: protocol.Never, confirmed: f.at}
	f.leaders = append(f.leaders, l)
	f.step(l, Started{Stage: f.stage, Models: slices.SortedFunc(maps.Values(f.models), compareNames), Profiles: f.profiles})
	for _, id := range sortedKeys(f.workers) {
		f.step(l, WorkerSeen{id, 1})
	}
	if f.stage == protocol.Active {
		f.post(l, SchedulerSeen{Epoch: f.fence})
	}
}

func compareNames(a, b protocol.ModelSpec) int {
	if a.Name < b.Name {
		return -1
	}
	return 1
}

// rouse has one that stands still wake: first comes its timer, or what came meanwhile.
func (f *fleet) rouse() {
	var still []*leads
	for _, l := range f.leaders {
		if l.still {
			still = append(still, l)
		}
	}
	if len(still) == 0 {
		return
	}
	l := still[f.RNG.IntN(len(still))]
	l.still = false
	f.woken++
	if f.RNG.IntN(2) == 0 {
		f.step(l, Tick{})
	}
	inbox := l.inbox
	l.inbox = nil
	for _, e := range inbox {
		f.step(l, e)
	}
}

// load is a client's, to any controller: each of them still takes loads.
func (f *fleet) load() {
	token := uint64(len(f.asked) + 1)
	f.asked[token] = f.at
	f.step(f.leaders[f.RNG.IntN(len(f.leaders))], LoadRequested{token, protocol.LoadRequest{Path: fmt.Sprintf("zoo/m%d", f.RNG.IntN(5))}})
}

func (f *fleet) tick() {
	for _, l := range f.leaders {
		if f.Now >= l.wake {
			f.step(l, Tick{})
		}
	}
}

// post has an event arrive at a controller later.
func (f *fleet) post(l *leads, e Event) { f.pending = append(f.pending, func() { f.step(l, e) }) }

func (f *fleet) step(l *leads, e Event) {
	if l.still {
		if _, tick := e.(Tick); !tick {
			l.inbox = append(l.inbox, e)
		}
		return
	}
	out := l.m.Step(f.Now, e)
	l.wake = out.Wake
	for _, r := range out.Replies {
		f.replied(l, r)
	}
	for _, a := range out.Actions {
		if f.healed || f.RNG.IntN(10) > 0 {
			f.pending = append(f.pending, func() { f.workers[a.Worker].Receive(a.Action) })
		}
	}
	for _, s := range out.Store {
		f.write(l, func() {
			for _, m := range s.Models {
				if _, is := f.models[m.Name]; is || f.stage >= protocol.Profiling {
					f.fail("term %d stores %s in %s", l.term, m.Name, f.stage)
				}
				f.models[m.Name] = m
			}
			f.post(l, ModelsStored{s.Token})
		})
	}
	for _, u := range out.Unstore {
		f.write(l, func() {
			for _, name := range u.Names {
				delete(f.models, name)
			}
			f.post(l, ModelsUnstored{u.Token})
		})
	}
	if to := out.SetStage; to != nil {
		f.write(l, func() {
			if *to <= f.stage {
				f.fail("term %d sets stage %s after %s", l.term, *to, f.stage)
			}
			f.stage = *to
			f.post(l, StageStored{*to})
		})
	}
	if out.Confirm && l.term != f.fence {
		f.post(l, Fenced{})
	}
	if p := out.StartProfiling; p != nil {
		f.profiles = append(f.profiles, profilesOf(p)...)
		f.post(l, ProfilingDone{Job: p.Job, Profiles: profilesOf(p)})
	}
	for _, j := range append(out.JoinWorkers, out.JoinAgain...) {
		if f.healed || f.RNG.IntN(3) > 0 {
			f.post(l, JoinConfirmed{j.ID, j.Incarnation, f.fence})
		}
	}
	if a := out.Activate; a != nil {
		f.pending = append(f.pending, func() { f.start(*a) })
	}
}

// write has the store take something, if the controller leads by then.
func (f *fleet) write(l *leads, apply func()) {
	f.pending = append(f.pending, func() {
		if l.term != f.fence {
			f.fenced++
			f.post(l, Fenced{})
			return
		}
		l.confirmed = f.at
		apply()
	})
}

// start is the scheduler's.
func (f *fleet) start(s protocol.ClockworkState) {
	if s.Term == 0 {
		f.fail("a start says nothing of the controller that sent it")
	}
	if !f.starts.Admit(protocol.Leader{Service: protocol.Controller, Term: s.Term}) {
		return
	}
	f.served = nil
	for _, m := range s.Models {
		f.served = append(f.served, m.Name)
	}
}

func (f *fleet) replied(l *leads, r Reply) {
	if f.answered[r.Token] {
		f.fail("load %d is answered twice", r.Token)
	}
	f.answered[r.Token] = true
	if r.Reply == nil {
		return
	}
	if l.confirmed < f.asked[r.Token] {
		f.fail("load %d of step %d is answered OK by the controller of term %d, which led last at step %d", r.Token, f.asked[r.Token], l.term, l.confirmed)
	}
	for _, name := range r.Reply.Models {
		if _, stored := f.models[name]; !stored {
			f.fail("load %d is answered OK, and nobody has %s", r.Token, name)
		}
		f.promised[name] = true
	}
}

// fleetWorker is a worker: its core obeys the latest controller.
type fleetWorker struct {
	simworker.Time
	*virtual.Worker
	fleet *fleet
}

// Reads finds what is pinned, or the one version of a path.
func (w *fleetWorker) Reads(a *protocol.LoadSpec) (protocol.ModelSpec, time.Duration, *protocol.Error) {
	f, text := w.fleet, "="+a.Path
	if a.Digest != "" {
		text += fmt.Sprintf("#%s:%d:%d", a.Digest, a.Version, a.MaxBatch)
	}
	if !a.Compare && !f.healed && f.RNG.IntN(12) == 0 && f.stage < protocol.Profiling {
		return spec(text), 0, protocol.Refusal(protocol.NoMemory)
	}
	return spec(text), f.UpTo(300 * time.Millisecond), nil
}

// Begins and Delivers have nothing to say: nobody executes here.
func (w *fleetWorker) Begins(o *work.Order, _ *virtual.GPU) time.Duration {
	w.fleet.fail("%s executes %v", w.ID(), o.Action)
	return 0
}
func (w *fleetWorker) Delivers(o *work.Order) { w.fleet.fail("%s has outputs: %v", w.ID(), o.Action) }

// Answers sends a result to the controller that the action was of. What was accepted is not
// removed.
func (w *fleetWorker) Answers(r *protocol.Result, o *work.Order) {
	f, result := w.fleet, *r
	l := f.leaders[r.Issuer-1]
	if o != nil && r.Kind == protocol.ClearCache && r.Code == protocol.OK {
		for _, name := range o.Action.Models {
			if _, accepted := f.models[name]; accepted && f.stage >= protocol.Profiling {
				f.fail("term %d removes %s from %s in %s", l.term, name, w.ID(), f.stage)
			}
		}
	}
	f.stale += b2i(o != nil && r.Code == protocol.StaleTerm)
	result.Worker = w.ID()
	f.post(l, LoadResult{result})
}

func (w *fleetWorker) holds(name string) bool {
	return slices.ContainsFunc(w.Core.State().Models, func(m protocol.ModelSpec) bool { return m.Name == name })
}

// heal wakes everybody and delivers what is on its way, until all is at rest. A controller
// that has not noticed anything is then told by the lease, as each of them is in time.
func (f *fleet) heal() {
	f.healed = true
	for range f.leaders {
		f.rouse()
	}
	for _, l := range f.leaders[:len(f.leaders)-1] {
		f.step(l, Fenced{})
	}
	for f.at++; len(f.pending) > 0 || min(f.last().wake, f.Next()) != protocol.Never; f.at++ {
		if f.at > 5000 {
			f.fail("no rest: %d pending, wake %s", len(f.pending), f.last().wake)
		}
		if len(f.pending) > 0 {
			f.arrive(0)
			continue
		}
		f.Run(max(f.Now, min(f.last().wake, f.Next())), func() bool { return len(f.pending) > 0 })
		f.tick()
	}
	f.check()
}

// check: what was promised is there, and the last controller, the store, the workers and the
// scheduler agree on it.
func (f *fleet) check() {
	for token := range f.asked {
		if !f.answered[token] {
			f.fail("load %d was never answered", token)
		}
	}
	names := sortedKeys(f.models)
	for name := range f.promised {
		if !slices.Contains(names, name) {
			f.fail("%s was answered OK, and is not stored", name)
		}
	}
	if got := sortedKeys(f.last().m.models); !slices.Equal(got, names) {
		f.fail("the last controller has %v, stored are %v", got, names)
	}
	for id, w := range f.workers {
		seen := f.last().m.workers[id]
		for _, name := range names {
			if !w.holds(name) && seen.serves(name) {
				f.fail("%s does not hold %s", id, name)
			}
		}
	}
	if f.stage == protocol.Active && !slices.Equal(f.served, names) {
		f.fail("the scheduler serves %v, stored are %v", f.served, names)
	}
}
