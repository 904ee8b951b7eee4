package startup

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/simtime"
)

// TestWorld lets seeded worlds of workers, lossy messages, failing stores and restless clients
// run, and checks after every step what must never be otherwise. The workers run their own
// core, on disks that change.
func TestWorld(t *testing.T) {
	activated, undone, late, lost, replayed, cleared, changed, regained, renewed := 0, 0, 0, 0, 0, 0, 0, 0, 0
	for seed := int64(1); seed <= 150; seed++ {
		w := runWorld(t, seed)
		if again := runWorld(t, seed); again.hash != w.hash {
			t.Fatalf("seed %d: two runs differ", seed)
		}
		if w.m.stage == protocol.Active && w.active {
			activated++
		}
		undone, late = undone+w.undone, late+w.late
		lost, replayed, cleared, changed = lost+w.lost, replayed+w.replayed, cleared+w.cleared, changed+w.changed
		regained, renewed = regained+w.regained, renewed+w.renewed
	}
	if lost < 2000 || replayed < 1000 || cleared < 200 {
		t.Errorf("%d actions and results were lost, %d results told from memory, %d removals: the test proves little", lost, replayed, cleared)
	}
	if undone < 50 || late < 10 {
		t.Errorf("%d stores were undone and %d jobs given in ACTIVE: the test proves little", undone, late)
	}
	if changed < 50 {
		t.Errorf("%d loads found changed files: the test proves little", changed)
	}
	if regained < 100 || renewed < 20 {
		t.Errorf("%d models were regained, %d workers began anew to be measured: the test proves little", regained, renewed)
	}
	if activated < 100 {
		t.Errorf("only %d of 150 worlds came to activation: the test proves little", activated)
	}
}

type world struct {
	t    *testing.T
	seed int64
	simtime.Clock
	m        *Machine
	wake     protocol.Time
	pending  []func()                     // in the order in which they began; they end in any
	living   map[string]*living           // workers by name
	inbox    map[string][]protocol.Action // likewise: what is on its way to them
	lives    map[string]uint64
	healed   bool   // nothing is lost or fails any more
	lost     int    // actions and results
	replayed int    // results told from memory
	cleared  int    // removals, executed
	changed  int    // loads that found other files than were loaded
	regained int    // models that a worker lacked
	renewed  int    // workers that began anew
	anew     string // the worker that was told last to begin anew, and when
	anewAt   protocol.Time
	disk     disk
	answered map[uint64]bool
	asked    uint64
	stored   map[uint64][]protocol.ModelSpec
	kv       map[string]bool // what was confirmed
	keys     map[string]bool // what truly stands there
	undoing  map[uint64][]string
	told     map[string]bool   // types of GPU that the scheduler has profiles for
	heard    map[string]uint64 // workers that the scheduler has heard of, by incarnation
	undone   int
	late     int
	lastLoad protocol.Time
	stage    protocol.Stage
	kvStage  protocol.Stage // what truly stands there
	active   bool
	hash     uint64
}

func runWorld(t *testing.T, seed int64) *world {
	c := DefaultConfig()
	c.Issuer, c.PerWorker = 1, 2
	c.LoadTimeout = []time.Duration{4 * time.Second, 10 * time.Second, time.Minute}[seed%3]
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, seed: seed, Clock: simtime.Clock{RNG: rand.New(rand.NewPCG(uint64(seed), 2))}, m: m, living: map[string]*living{}, inbox: map[string][]protocol.Action{},
		lives: map[string]uint64{}, answered: map[uint64]bool{}, stored: map[uint64][]protocol.ModelSpec{}, kv: map[string]bool{},
		keys: map[string]bool{}, undoing: map[uint64][]string{}, told: map[string]bool{}, heard: map[string]uint64{},
		disk: disk{map[string]int{}, map[string]string{}}}
	w.step(ServiceSeen{Kind: protocol.Profiler, ID: "p", There: true})
	w.step(Started{})
	steps := 600
	if seed%2 == 0 { // the faults end with loads under way
		steps = 20 + w.RNG.IntN(200)
	}
	for i := range steps {
		w.Run(w.Now.Add(w.UpTo(400*time.Millisecond)), func() bool { return false })
		switch {
		case i == 500:
			w.begin("w2")
		case len(w.pending) > 0 && w.RNG.IntN(10) > 0:
			k := w.RNG.IntN(len(w.pending))
			happen := w.pending[k]
			w.pending = slices.Delete(w.pending, k, k+1)
			happen()
		case i < 150 && w.RNG.IntN(4) == 0:
			w.load()
		case w.RNG.IntN(20) == 0:
			w.edit()
		case w.RNG.IntN(12) == 0 && i < 400 || i == 5 || i == 420:
			w.worker()
		case w.RNG.IntN(2) == 0:
			w.profilerBeats()
		default:
			w.step(Tick{})
		}
	}
	w.drain()
	return w
}

// drain ends the faults, delivers everything and has the machine woken when it
// wants to be. What was missing on a disk is put back, and nobody is restarted.
func (w *world) drain() {
	w.healed = true
	w.restore()
	for _, id := range sortedKeys(w.living) {
		if l := w.living[id]; l.stopping {
			l.end()
		}
	}
	for i := 0; len(w.pending) > 0 || w.wake != protocol.Never && !w.rests(); i++ {
		if i > 5000 {
			w.fail("the machine does not come to rest: %+v", w.m.workers)
		}
		if len(w.pending) > 0 {
			happen := w.pending[0]
			w.pending = w.pending[1:]
			happen()
		} else {
			w.rest()
		}
	}
	for token := uint64(1); token <= w.asked; token++ {
		if !w.answered[token] {
			w.fail("load %d was never answered", token)
		}
	}
	w.checkKeys()
	w.checkLiving()
	if w.m.stage == protocol.Profiling && len(w.living) > 0 {
		w.fail("profiling does not end: %+v", w.m.profiling)
	}
}

// rest lets time pass until something is under way, or the machine is to be woken.
func (w *world) rest() {
	w.Run(max(w.Now, w.wake), func() bool { return len(w.pending) > 0 })
	if len(w.pending) == 0 {
		w.profilerBeats()
	}
}

// profilerBeats is a profiler that works on the job that it was given last.
func (w *world) profilerBeats() {
	w.step(ProfilerSeen{1, w.m.profiling.job * uint64(b2i(w.m.profiling.running))})
}

// later lets something happen, and post an event come, after what pends or before.
func (w *world) later(happen func()) { w.pending = append(w.pending, happen) }
func (w *world) post(e Event)        { w.later(func() { w.step(e) }) }

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d at %s: %s", w.seed, w.Now, fmt.Sprintf(format, args...))
}

func (w *world) load() {
	w.asked++
	r := protocol.LoadRequest{Path: fmt.Sprintf("zoo/m%d", w.RNG.IntN(6))}
	if w.RNG.IntN(3) == 0 {
		n := w.RNG.IntN(5) - 1
		r.Copies = &n
	}
	w.step(LoadRequested{w.asked, r})
}

func (w *world) step(e Event) {
	closedBefore := w.m.closed
	out := w.m.Step(w.Now, e)
	h := fnv.New64a()
	fmt.Fprint(h, w.hash, w.Now, print(out))
	w.hash = h.Sum64()
	if _, ok := e.(LoadRequested); ok && !closedBefore && !refusedForArguments(out) {
		w.lastLoad = w.Now
	}
	if s, ok := e.(ModelsStored); ok {
		for _, m := range w.stored[s.Token] {
			w.kv[m.Name], w.keys[m.Name] = true, true
		}
	}
	if u, ok := e.(ModelsUnstored); ok {
		for _, name := range w.undoing[u.Token] {
			delete(w.keys, name)
		}
		w.undone++
	}
	for _, e := range out.Events {
		if e.Kind == protocol.EventModelBack {
			w.regained += e.Total
		}
	}
	for _, r := range out.Replies {
		if w.answered[r.Token] || (r.Reply == nil) == (r.Error == nil) {
			w.fail("load %d was answered twice or with nothing", r.Token)
		}
		w.answered[r.Token] = true
		if !refusedForArguments(out) {
			w.lastLoad = max(w.lastLoad, w.Now*protocol.Time(b2i(!w.m.closed)))
		}
		if r.Reply != nil {
			for _, n := range r.Reply.Models {
				if !w.kv[n] {
					w.fail("load %d was answered OK, but %s is not stored", r.Token, n)
				}
			}
		}
	}
	w.checkStage(out)
	w.checkStores(out)
	w.checkDeadlines()
	w.react(out)
	w.wake = out.Wake
	if out.Wake < w.Now {
		w.fail("wake at %s has passed", out.Wake)
	}
}

// checkDeadlines looks whether a client waits for longer than LoadTimeout, other than for the
// store. What is sent to a worker is sent again until there is a result.
func (w *world) checkDeadlines() {
	for _, l := range append(slices.Clone(w.m.loads), w.m.waiting...) {
		if len(l.tokens) > 0 && l.storing == 0 && !w.m.down && l.deadline <= w.Now {
			w.fail("the load of %s is not answered, its deadline was %s", l.path, l.deadline)
		}
	}
}

// refusedForArguments: the worlds' clients ask for less than one copy at times.
func refusedForArguments(o Output) bool {
	return len(o.Replies) > 0 && o.Replies[0].Error != nil && o.Replies[0].Error.Code == protocol.InvalidInput
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (w *world) checkStage(out Output) {
	if w.m.stage < w.stage {
		w.fail("stage went back from %s to %s", w.stage, w.m.stage)
	}
	w.stage = w.m.stage
	if w.stage > w.kvStage {
		w.fail("stage %s counts, and %s is stored", w.stage, w.kvStage)
	}
	if out.SetStage == nil {
		return
	}
	if *out.SetStage <= w.stage {
		w.fail("stage %s is to become %s", w.stage, *out.SetStage)
	}
	if *out.SetStage == protocol.Profiling && w.stage == protocol.Loading {
		if len(w.kv) == 0 || len(w.m.loads)+len(w.m.waiting) > 0 {
			w.fail("PROFILING with %d models and pending loads %d", len(w.kv), len(w.m.loads)+len(w.m.waiting))
		}
		w.checkKeys()
		// A write of the stage that is repeated comes later still.
		if w.Now.Sub(w.lastLoad) < w.m.cfg.LoadIdle {
			w.fail("PROFILING %s after load activity", w.Now.Sub(w.lastLoad))
		}
	}
}

// checkKeys: a restart that finds the store so takes no model for accepted that
// was refused.
func (w *world) checkKeys() {
	for _, name := range sortedKeys(w.keys) {
		if !w.m.isModel(name) {
			w.fail("%s stands in KV and is not accepted", name)
		}
	}
	for _, name := range sortedKeys(w.kv) {
		if !w.keys[name] {
			w.fail("%s was accepted and is gone from KV", name)
		}
	}
}

// checkStores: what is stored is in the memory of every worker in service.
func (w *world) checkStores(out Output) {
	for _, s := range out.Store {
		w.stored[s.Token] = s.Models
		for _, worker := range w.m.sorted() {
			for _, m := range s.Models {
				if slices.Contains(w.m.loaders(), worker) && !w.living[worker.id].holds(m.Name) {
					w.fail("%s is stored, and %s does not hold it", m.Name, worker.id)
				}
			}
		}
	}
}

// react is the shell and everybody behind it; most of it comes later.
func (w *world) react(out Output) {
	for _, a := range out.Actions {
		w.send(a)
	}
	for _, s := range out.Store {
		if w.RNG.IntN(10) == 0 {
			for _, m := range s.Models {
				if w.RNG.IntN(2) == 0 {
					w.keys[m.Name] = true
				}
			}
			w.post(StoreFailed{s.Token})
		} else {
			w.post(ModelsStored{s.Token})
		}
	}
	for _, u := range out.Unstore {
		w.undoing[u.Token] = u.Names
		w.unstore(u.Token)
	}
	if s := out.SetStage; s != nil {
		if w.RNG.IntN(5) == 0 {
			w.post(StageConflict{w.m.stage})
		} else {
			w.kvStage = *s
			w.post(StageStored{*s})
		}
	}
	if p := out.StartProfiling; p != nil {
		w.late += b2i(w.m.stage == protocol.Active)
		for _, o := range p.Workers {
			if w.m.isGone(o) {
				w.fail("job %d is on %s, which is gone", p.Job, o.ID)
			}
		}
		w.later(func() {
			if !slices.ContainsFunc(p.Workers, w.m.isGone) { // a profiler that lost a GPU which it needs reports nothing
				w.step(ProfilingDone{Job: p.Job, Profiles: profilesOf(p)})
			}
		})
	}
	if a := out.Activate; a != nil {
		w.active = true
		for _, o := range a.Workers {
			w.heard[o.ID] = o.Incarnation
		}
		if w.m.stage != protocol.Active || len(a.Models) == 0 || len(a.Workers) == 0 {
			w.fail("activation in %s with %d models on %d workers", w.m.stage, len(a.Models), len(a.Workers))
		}
		w.tell(a.Profiles)
	}
	for _, j := range out.JoinWorkers {
		w.tell(j.Profiles)
	}
	w.confirm(append(slices.Clone(out.JoinWorkers), out.JoinAgain...))
	for _, j := range append(slices.Clone(out.JoinWorkers), activated(out)...) {
		for name := range w.kv {
			if key := w.m.models[name].Digest + "@" + gpuOf(j.ID); !j.Lacking(name) && w.m.quarantined[name] == "" && !w.told[key] {
				w.fail("%s goes to the scheduler with %s, which has no profile %s there", j.ID, name, key)
			}
			if l := w.living[j.ID]; l.life == j.Incarnation && !l.serves(name) && !j.Lacking(name) {
				w.fail("%s goes to the scheduler with %s, and does not hold what was accepted", j.ID, name)
			}
		}
	}
}

// confirm has the scheduler confirm joins. Some messages are lost, before or after it has
// heard of the worker.
func (w *world) confirm(joins []protocol.WorkerState) {
	for _, j := range joins {
		if !w.healed && w.RNG.IntN(3) == 0 {
			continue
		}
		w.heard[j.ID] = j.Incarnation
		if w.healed || w.RNG.IntN(3) > 0 {
			w.post(JoinConfirmed{j.ID, j.Incarnation, 0})
		}
	}
}

// unstore ends a removal, most often after other things.
func (w *world) unstore(token uint64) {
	w.later(func() {
		if !w.healed && w.RNG.IntN(8) > 0 {
			w.unstore(token)
			return
		}
		w.step(ModelsUnstored{token})
	})
}

func (w *world) tell(profiles []protocol.Profile) {
	for _, p := range profiles {
		w.told[p.Digest+"@"+p.GPUType] = true
	}
}

// gpuOf is the type of a worker's GPU.
func gpuOf(worker string) string {
	if worker == "w2" {
		return "v100"
	}
	return "t4"
}

func activated(out Output) []protocol.WorkerState {
	if out.Activate == nil {
		return nil
	}
	return out.Activate.Workers
}

// profilesOf measures each model on the types of GPUs of the workers that do not lack it.
func profilesOf(p *ProfilingJob) []protocol.Profile {
	var keys []string
	for _, m := range p.Models {
		holders := slices.DeleteFunc(slices.Clone(p.Workers), func(o protocol.WorkerState) bool { return o.Lacking(m.Name) })
		for _, t := range gpuTypes(holders) {
			keys = append(keys, "profile:"+m.Digest+"@"+t)
		}
	}
	return profiles(keys)
}
