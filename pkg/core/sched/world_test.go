package sched

import (
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"clockwork/pkg/core/heap"
	"clockwork/pkg/protocol"
)

// TestWorld lets seeded worlds run: workers that crash, hang, slow down and
// are cut off, a network that loses, repeats and reorders, loads that fail and
// doors that vanish. After every step it checks what must never be otherwise
// (world_check_test.go). One world in five has no fault at all. Two in five are
// run twice: the same must be decided.
func TestWorld(t *testing.T) {
	all := t
	for _, policy := range slices.Sorted(maps.Keys(worlds)) {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			testWorlds(t, policy, func() bool { return failFast() && all.Failed() })
		})
	}
}

// failFast: no world need go on once one has failed, of another policy either.
func failFast() bool { return flag.Lookup("test.failfast").Value.String() == "true" }

func testWorlds(t *testing.T, policy string, over func() bool) {
	var sum Stats
	var faults faultCount
	switches := 0
	waited := 0 // actions for whose inputs a lane waits
	bound, early := 0, 0
	worlds := worlds[policy]
	if testing.Short() { // as under the race detector, which finds nothing in one goroutine
		worlds /= 4
	}
	seeds := []uint64{}
	for i := range uint64(worlds) {
		seeds = append(seeds, 1+i)
		if i%6 == 0 {
			seeds = append(seeds, crowdedFrom+i/6, switchedFrom+i/6)
		}
	}
	for _, seed := range seeds {
		if over() {
			return
		}
		w := runWorld(t, policy, seed)
		if seed%5 <= 1 {
			w.twice()
		}
		if seed%5 == 0 {
			if s := w.core.Stats(); s.Lost+s.Strays > 0 || s.Replanned > w.tooLate {
				t.Fatalf("seed %d: a world without faults had some: %+v", seed, s)
			}
		}
		s := w.core.Stats()
		sum.Submitted, sum.Succeeded, sum.Refused = sum.Submitted+s.Submitted, sum.Succeeded+s.Succeeded, sum.Refused+s.Refused
		sum.Lost, sum.Strays, sum.Replanned = sum.Lost+s.Lost, sum.Strays+s.Strays, sum.Replanned+s.Replanned
		sum.Forgotten, sum.Duplicates = sum.Forgotten+s.Forgotten, sum.Duplicates+s.Duplicates
		sum.Withdrawn += s.Withdrawn
		faults.add(w.faults)
		waited += w.waitedForInputs
		bound, early = bound+w.ways.bound, early+w.ways.early
		switches += w.sets.switches
	}
	if switches < worlds/2 {
		t.Errorf("only %d sets of models, the test proves nothing", switches)
	}
	t.Logf("%+v, %+v, %d waited for inputs", sum, faults, waited)
	if policy == "clockwork" && (bound < worlds || early < worlds) {
		t.Errorf("only %d requests had more kept for their answers than a share, %d claims came early: the test proves nothing", bound, early)
	}
	if policy == "clockwork" && waited < worlds {
		t.Errorf("only %d actions wait for inputs, the test proves nothing", waited)
	}
	if sum.Succeeded < sum.Submitted/4 || sum.Lost == 0 || sum.Strays == 0 || sum.Replanned == 0 || sum.Forgotten == 0 || sum.Duplicates == 0 || sum.Withdrawn < worlds {
		t.Errorf("too little happened, the test proves nothing: %+v", sum)
	}
	if err := faults.enough(policy, worlds); err != "" {
		t.Error(err)
	}
	if faults.crashes < worlds/8 || faults.cuts < worlds/8 || faults.hangs < worlds/8 || faults.evictions < worlds/2 {
		t.Errorf("too few faults, the test proves nothing: %+v", faults)
	}
}

// worlds is how many each policy lives through; baselines fewer, and echo none, which knows
// no workers.
var worlds = map[string]int{"clockwork": 150, "simple": 150, "faithful": 40, "deferred": 40, "aimd": 40, "fifo": 40}

type faultCount struct {
	crashes, cuts, hangs, slow, evictions, inUse int
	poisonFaults
}

func (f *faultCount) add(g faultCount) {
	f.crashes, f.cuts, f.hangs = f.crashes+g.crashes, f.cuts+g.cuts, f.hangs+g.hangs
	f.slow, f.evictions, f.inUse = f.slow+g.slow, f.evictions+g.evictions, f.inUse+g.inUse
	f.poisonFaults.add(g.poisonFaults)
}

// world is everything around the core. Its dice are one for each concern, so
// that a change of one leaves the others alone.
type world struct {
	t                       *testing.T
	policy                  string
	seed                    uint64
	core                    *engine
	config                  Config
	now, wake               protocol.Time
	happenings              heap.Heap[func()] // what comes to pass, by time
	seq                     uint64
	setup, arrivals, faulty *rand.Rand
	network, worker, crowd  *rand.Rand
	poison, inputs, leave   *rand.Rand
	perByte                 time.Duration // of inputs on their way, in picoseconds
	waitedForInputs         int           // actions for whose inputs a lane was taken to wait
	brittle                 string        // the model whose loads end executors, "" for none
	blame                   blameBooks
	sets                    modelSets
	profiles                []protocol.Profile
	copies                  map[string]bool // digests of more than one model
	healthy                 bool
	calm                    bool // the heal phase has begun
	faults                  faultCount
	specs                   []protocol.ModelSpec
	hosts                   []*host
	requests                map[protocol.RequestID]*asked
	live                    []*asked // those without an end, and some more
	open                    map[protocol.ActionID]protocol.Action
	openAt                  map[protocol.ActionID]string
	sentAt                  map[protocol.ActionID]protocol.Time
	resultTakes             map[protocol.ActionID]time.Duration // by the delays that were known when it was sent
	ways                    plainWays
	delays                  map[string]*plainDelay // by worker, and "" for all
	known                   map[string]uint64      // the workers that the core knows, and their lives
	lanes                   map[place]*plainLane
	slowed                  map[*gpu]bool // were slow once
	looks                   map[*gpu]look // that were right
	counted                 Stats
	steps, ticks, actions   int
	tooLate                 int // members of actions that could not begin in time
	hash                    uint64
	// unanswered and late are what the next step must say; late: slow, or begun late.
	unanswered []Unanswered
	late       map[protocol.RequestID]bool
}

// asked is what the world knows of a request.
type asked struct {
	submission protocol.Submission
	deadline   protocol.Time
	action     protocol.ActionID // open, 0 while it waits
	// wayBack is what was known of its answer's way when it came, share what is kept for it
	// in any case.
	wayBack, share time.Duration
	orphan         bool
	withdrawn      bool
	ended          bool
	blamed
}

func (w *world) after(d time.Duration, do func()) {
	w.seq++
	w.happenings.Set(&heap.Node[func()]{Of: do}, int64(w.now.Add(d)), w.seq)
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d at %v: %s\n%s", w.seed, w.now, fmt.Sprintf(format, args...), w.core)
}

func between(dice *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(dice.Int64N(int64(high-low)+1))
}

// patient is far more than a world takes: a core that goes round in circles must
// not hang the tests.
var patient = flag.Duration("patient", time.Minute, "how long a world may take")

const (
	busyFor = 3 * time.Second  // requests and faults come
	beatFor = 6 * time.Second  // then heartbeats end, once all has ended that hangs
	healFor = 30 * time.Second // then all must come to rest
)

func runWorld(t *testing.T, policy string, seed uint64) *world {
	dice := func(concern uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, concern)) }
	w := &world{
		t: t, policy: policy, seed: seed, config: Defaults(), wake: protocol.Never, healthy: seed%5 == 0,
		setup: dice(1), arrivals: dice(2), faulty: dice(3), network: dice(4), worker: dice(5), crowd: dice(6), poison: dice(7), inputs: dice(8), leave: dice(9), copies: map[string]bool{},
		ways:  plainWays{dice: dice(10), known: map[wayKey]*plainWay{}, claimed: map[protocol.RequestID]protocol.Time{}},
		blame: newBlameBooks(), sets: newModelSets(seed),
		requests: map[protocol.RequestID]*asked{}, open: map[protocol.ActionID]protocol.Action{},
		openAt: map[protocol.ActionID]string{}, sentAt: map[protocol.ActionID]protocol.Time{}, resultTakes: map[protocol.ActionID]time.Duration{},
		delays: map[string]*plainDelay{}, late: map[protocol.RequestID]bool{}, known: map[string]uint64{}, lanes: map[place]*plainLane{}, slowed: map[*gpu]bool{}, looks: map[*gpu]look{},
	}
	watchdog := time.AfterFunc(*patient, func() { panic(fmt.Sprintf("policy %s, seed %d: the core does not come to an end", policy, seed)) })
	defer watchdog.Stop()
	w.build()
	for w.now < protocol.Time(busyFor+healFor) {
		next := w.wake
		if len(w.happenings) > 0 {
			next = min(next, protocol.Time(w.happenings.First().Key))
		}
		if next == protocol.Never {
			break
		}
		w.now = next
		if next == w.wake {
			w.ticks++
			w.step(&Tick{})
			continue
		}
		first := w.happenings.First()
		w.happenings.Remove(first)
		first.Of()
	}
	w.checkRest()
	return w
}

// build makes models, workers and the plan of what goes wrong, and activates.
func (w *world) build() {
	w.config.Outstanding = 1 + w.setup.IntN(4)
	w.config.QuarantineAfter, w.config.QuarantineWindow, w.config.QuarantineFor = 1+w.poison.IntN(3), 2*time.Second, 200*time.Millisecond
	core, err := AnyPolicy(w.policy, w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.core = core.(*engine)
	state := protocol.ClockworkState{}
	if w.inputs.IntN(3) == 0 {
		w.perByte = 500 + time.Duration(w.inputs.Int64N(10_000))
	}
	for i := range 3 + w.setup.IntN(14) {
		load := between(w.setup, time.Millisecond, 12*time.Millisecond)
		exec := between(w.setup, 500*time.Microsecond, 5*time.Millisecond)
		m, p := spec(fmt.Sprintf("m%d", i), 1+w.setup.IntN(4), load, exec, 2*exec, 3*exec)
		if w.seed >= crowdedFrom {
			w.vary(&m, &p, i)
		}
		if w.perByte > 0 && w.inputs.IntN(2) == 0 {
			m.Inputs = []protocol.TensorSpec{{Name: "x", Datatype: protocol.Uint8, Shape: []int64{20_000 + w.inputs.Int64N(500_000)}}}
		}
		if w.ways.dice.IntN(3) == 0 {
			m.Outputs = []protocol.TensorSpec{{Name: "y", Datatype: protocol.Uint8, Shape: []int64{2_000 << w.ways.dice.IntN(8)}}}
		}
		w.specs, state.Profiles = append(w.specs, m), append(state.Profiles, p)
	}
	if w.profiles = state.Profiles; w.seed >= switchedFrom {
		w.planSets()
	}
	state.Models = w.present()
	state.Profiles = w.profilesOf(state.Models)
	if w.poison.IntN(4) == 0 {
		w.brittle = w.specs[w.poison.IntN(len(w.specs))].Name
	}
	for i := range 1 + w.setup.IntN(3) {
		w.hosts = append(w.hosts, w.newHost(fmt.Sprintf("w%d", i)))
	}
	w.step(&Activate{Epoch: 5, Issuer: 7, State: state})
	for _, h := range w.hosts {
		w.after(between(w.setup, 0, 50*time.Millisecond), h.join)
		w.after(between(w.setup, 0, protocol.HeartbeatEvery), h.beatOn)
	}
	w.planArrivals()
	if w.seed >= crowdedFrom {
		w.planCrowds()
	}
	if !w.healthy {
		w.planFaults()
	}
	w.after(busyFor, w.heal)
}

func (w *world) planArrivals() {
	rate := between(w.setup, time.Millisecond, 30*time.Millisecond)
	id := uint64(0)
	for at := time.Duration(0); at < busyFor; at += between(w.arrivals, 0, 2*rate) {
		id++
		s := protocol.Submission{
			ID: protocol.RequestID{Door: 1 + w.arrivals.Uint64N(3), Seq: id}, Batch: 1 + w.arrivals.IntN(4),
			Model:  w.specs[min(w.arrivals.IntN(len(w.specs)), w.arrivals.IntN(len(w.specs)))].Name,
			Budget: between(w.arrivals, time.Millisecond, 200*time.Millisecond),
		}
		if w.arrivals.IntN(10) == 0 {
			s.Budget += time.Second
		}
		if w.arrivals.IntN(50) == 0 {
			s.Model = "nobody"
		}
		s.Generated = w.arrivals.IntN(2) == 0
		kind := w.drawPoison()
		w.after(at, func() { w.submit(s, kind) })
		if w.arrivals.IntN(20) == 0 {
			w.after(at+between(w.arrivals, 0, 20*time.Millisecond), func() { w.again(s) })
		}
		for range w.leave.IntN(15) / 12 { // some say so twice
			w.after(at+between(w.leave, -time.Millisecond, s.Budget), func() { w.withdraw(s.ID) })
		}
	}
}

func (w *world) submit(s protocol.Submission, kind poison) {
	r := &asked{submission: s, deadline: w.now.Add(s.Budget), blamed: blamed{poison: kind}}
	w.requests[s.ID] = r
	if s.Model != "nobody" {
		_, way := w.way(&s)
		r.wayBack = way.value()
		r.share = min(w.config.Buffer, s.Budget/20) + min(max(0, 2*shortest(w.delay("").from)-w.config.Future/2), s.Budget/2)
	}
	w.live = append(w.live, w.requests[s.ID])
	w.counted.Submitted++
	w.step(&Submit{s})
}

// again submits a request once more while it is known; once it has ended that
// is the door's to prevent.
func (w *world) again(s protocol.Submission) {
	if r := w.requests[s.ID]; r != nil && !r.ended {
		w.counted.Submitted++
		w.counted.Duplicates++
		w.step(&Submit{s})
	}
}

// withdraw: the client of a request goes away, which may have ended, or not come yet.
func (w *world) withdraw(id protocol.RequestID) {
	r := w.requests[id]
	if r != nil && !r.ended {
		r.withdrawn = true
	}
	w.step(&Withdraw{id})
	if r != nil && r.withdrawn && !r.ended && !r.orphan && r.action == 0 {
		w.fail("%v waits although its client went away", id)
	}
}

func (w *world) planFaults() {
	for at := time.Duration(0); ; {
		at += between(w.faulty, 20*time.Millisecond, 900*time.Millisecond)
		if at > busyFor {
			return
		}
		h := w.hosts[w.faulty.IntN(len(w.hosts))]
		length := between(w.faulty, time.Millisecond, 700*time.Millisecond)
		notice := between(w.faulty, time.Millisecond, 200*time.Millisecond)
		fault := []func(){
			func() { h.crash(length, notice) },
			func() { h.cutOff(length, notice) },
			func() { h.hang(length) },
			func() { h.slowDown(length, 2+float64(w.faulty.IntN(30))) },
			func() { w.loseDoor(1 + w.faulty.Uint64N(3)) },
			func() { w.step(&Activate{Epoch: 4, Issuer: 8}) },
			h.join, // told again, nothing new
		}
		w.after(at, fault[w.faulty.IntN(len(fault))])
	}
}

func (w *world) loseDoor(door uint64) {
	for _, r := range w.requests {
		if r.submission.ID.Door != door || r.ended {
			continue
		}
		if r.action == 0 {
			r.ended = true
			w.counted.Forgotten++
		}
		r.orphan = true
	}
	for size := range waySizes {
		delete(w.ways.known, wayKey{door, size})
	}
	w.step(&DoorLost{Door: door})
}

// heal ends every fault, so that the world can come to rest.
func (w *world) heal() {
	w.calm = true
	for _, h := range w.hosts {
		h.setSlow(1)
	}
}

// carry delivers a message, or does not, or twice, or late.
func (w *world) carry(h *host, deliver func()) {
	delay := between(w.network, 20*time.Microsecond, 400*time.Microsecond)
	fate := w.network.IntN(200)
	if !w.healthy && !w.calm {
		switch {
		case fate < 3:
			return
		case fate < 6:
			w.after(delay+between(w.network, 0, 50*time.Millisecond), deliver)
		case fate < 12:
			delay += between(w.network, 0, 30*time.Millisecond)
		case fate < 14:
			delay += between(w.network, 0, 700*time.Millisecond)
		}
	}
	if h.cut {
		return
	}
	w.after(delay, deliver)
}

// step gives the core an event and checks and carries out what it wants.
func (w *world) step(e Event) {
	w.steps++
	w.overdue()
	w.before(e)
	out := w.core.Step(w.now, e)
	w.wake = out.Wake
	for i := range out.Actions { // the core uses its memory again
		out.Actions[i].Action.Requests = slices.Clone(out.Actions[i].Action.Requests)
	}
	h := fnv.New64a()
	fmt.Fprint(h, w.hash, w.now, out.Actions, len(out.Dispatches), out.Wake)
	for _, d := range out.Refusals {
		fmt.Fprint(h, d.ID, d.Refusal)
	}
	w.hash = h.Sum64()
	w.checkDelays()
	w.checkWays()
	w.checkOutput(out)
	w.checkEnds(out)
	w.checkStats()
	w.recount()
	w.checkIdle()
	w.checkTwins()
	w.checkSets(out)
	for _, a := range out.Actions {
		to := w.host(a.Worker)
		w.carry(to, func() { to.receive(a.Action) })
	}
	for _, d := range out.Dispatches {
		w.dispatched(d)
	}
}

// dispatched has the front door of a request send its input to the worker, unless the request
// has none.
func (w *world) dispatched(d protocol.Dispatch) {
	if w.requests[d.ID].submission.Generated {
		return
	}
	to, s := w.host(d.Worker), &w.requests[d.ID].submission
	bytes := w.spec(s.Model).ItemBytes() * int64(s.Batch)
	w.after(between(w.network, 20*time.Microsecond, 400*time.Microsecond)+time.Duration(bytes)*w.perByte/1000, func() {
		w.carry(to, func() { to.receiveInput(d.ID, bytes) })
	})
}

// host returns the worker of this name.
func (w *world) host(id string) *host {
	return w.hosts[slices.IndexFunc(w.hosts, func(h *host) bool { return h.ID() == id })]
}

// spec returns the model of this name.
func (w *world) spec(model string) *protocol.ModelSpec {
	return &w.specs[slices.IndexFunc(w.specs, func(m protocol.ModelSpec) bool { return m.Name == model })]
}

// sortedModels returns the keys of a set in order.
func sortedModels[T any](set map[string]T) []string { return slices.Sorted(maps.Keys(set)) }
