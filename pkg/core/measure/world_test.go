package measure

import (
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/simtime"
)

var worlds = flag.Int64("worlds", 200, "how many seeded worlds TestWorld runs")

// TestWorld lets a profiler measure in seeded worlds, on workers that run their own core:
// workers die and come back as another incarnation, GPUs hang, executors end, messages are
// lost, doubled and late, jobs are replaced and profilers restarted. world_check_test.go says
// what must never be otherwise. At the end the faults stop, and a last job must be done as it
// should.
func TestWorld(t *testing.T) {
	var sum happened
	for seed := int64(1); seed <= *worlds; seed++ {
		w := runWorld(t, seed)
		if seed%10 == 0 {
			if again := runWorld(t, seed); again.hash != w.hash {
				t.Fatalf("seed %d: two runs differ", seed)
			}
		}
		sum.add(w.happened)
	}
	if least := (happened{int(*worlds), int(*worlds), 2 * int(*worlds), int(*worlds), int(*worlds), int(*worlds), int(*worlds) / 2, int(*worlds) / 2}); !sum.atLeast(least) {
		t.Errorf("%+v: the test proves little", sum)
	}
}

// happened counts what went wrong in a world.
type happened struct{ lost, doubled, late, died, hung, unfinished, replaced, restarted int }

func (h *happened) all() []*int {
	return []*int{&h.lost, &h.doubled, &h.late, &h.died, &h.hung, &h.unfinished, &h.replaced, &h.restarted}
}

func (h *happened) add(other happened) {
	for i, n := range h.all() {
		*n += *other.all()[i]
	}
}

func (h *happened) atLeast(least happened) bool {
	for i, n := range h.all() {
		if *n < *least.all()[i] {
			return false
		}
	}
	return true
}

const (
	worldIterations = 2
	worldTimeout    = 5 * time.Second
	worldPages      = 10
	worldPageSize   = 1 << 20
)

type world struct {
	t    *testing.T
	seed int64
	simtime.Clock
	wake    protocol.Time
	pending []func() // what is under way; it arrives in any order
	healed  bool
	hash    uint64
	happened

	m       *Machine
	issuer  uint64 // grows with each restart of the profiler
	again   int    // after how much happens the next restart comes, 0: whenever
	models  []protocol.ModelSpec
	manner  map[string]string // by digest: how a model misbehaves
	workers []*worldWorker
	store   map[Key]protocol.Profile
	job     protocol.ProfileJob // the controller's
	jobs    uint64
	open    bool // the job has no report
	checks
}

func runWorld(t *testing.T, seed int64) *world {
	w := &world{t: t, seed: seed, Clock: simtime.Clock{RNG: rand.New(rand.NewPCG(uint64(seed), 1))}, manner: map[string]string{}, store: map[Key]protocol.Profile{}}
	// A model that kills a worker costs what runs on the other GPUs there as well,
	// so such a world has workers of one GPU each.
	manners, gpus := []string{"", "", "hangs", "sticks", "fails", "absurd", "large"}, 1+w.RNG.IntN(3)
	if seed%2 == 0 {
		manners, gpus = append(manners, "kills"), 1
	}
	for i := range 2 + w.RNG.IntN(6) {
		spec := protocol.ModelSpec{Name: fmt.Sprintf("m%d", i), Digest: fmt.Sprintf("d%d", i), Path: fmt.Sprintf("p/m%d", i), BatchSizes: []int{1, 2}, Pages: 2}
		w.manner[spec.Digest] = manners[w.RNG.IntN(len(manners))]
		if w.manner[spec.Digest] == "large" {
			spec.Pages = worldPages + 1
		}
		spec.WeightsBytes = int64(spec.Pages) * worldPageSize
		w.models = append(w.models, spec)
	}
	for i := range 1 + w.RNG.IntN(3) {
		w.workers = append(w.workers, w.newWorker(fmt.Sprintf("w%d", i), gpus))
	}
	w.restart()
	for range 600 {
		w.happen()
	}
	w.heal()
	return w
}

// happen lets one thing happen.
func (w *world) happen() {
	w.pass(w.UpTo(20 * time.Millisecond))
	w.again = max(0, w.again-1)
	switch n := w.RNG.IntN(100); {
	case n < 2:
		w.die(w.workers[w.RNG.IntN(len(w.workers))])
	case n < 5:
		w.revive(w.workers[w.RNG.IntN(len(w.workers))])
	case n == 5 && w.RNG.IntN(2) == 0 || w.again == 1:
		w.restart()
		w.again = 0
		if w.RNG.IntN(2) == 0 { // and soon again, when the answers to its first actions are under way
			w.again = 5 + w.RNG.IntN(20)
			w.giveNew()
		}
	case n == 6 && w.open && w.m.Job() != 0:
		w.replaced++
		w.giveNew()
	case n == 7 && w.RNG.IntN(3) == 0:
		w.step(Abandon{})
	case n == 8 && len(w.pending) > 0:
		w.pass(worldTimeout / 2) // everything is late
	case n == 9: // a worker is not heard for a while, and was not lost
		worker := w.workers[w.RNG.IntN(len(w.workers))]
		w.step(WorkerLost{worker.ID(), worker.Incarnation()})
		if !worker.dead {
			w.post(WorkerSeen{worker.ID(), worker.Incarnation()})
		}
	case n == 10 && w.oneIn(4):
		w.workers[w.RNG.IntN(len(w.workers))].stop()
	case n < 13:
		w.workers[w.RNG.IntN(len(w.workers))].injectFaults()
	case len(w.pending) > 0:
		w.deliver(w.RNG.IntN(len(w.pending)))
	case w.wake != protocol.Never:
		w.rest()
	case w.m.Job() != 0:
		w.fail("the machine waits for nothing:\n%s", w.m)
	default:
		w.controller()
	}
}

// pass lets time pass, in which GPUs do what they are at.
func (w *world) pass(d time.Duration) { w.Run(w.Now.Add(d), func() bool { return false }) }

// rest lets time pass until something is under way, or the machine is to be woken.
func (w *world) rest() {
	w.Run(max(w.Now, w.wake), func() bool { return len(w.pending) > 0 })
	if len(w.pending) == 0 {
		w.step(Tick{})
	}
}

func (w *world) oneIn(n int) bool { return w.RNG.IntN(n) == 0 }

func (w *world) deliver(i int) {
	happen := w.pending[i]
	w.pending = slices.Delete(w.pending, i, i+1)
	happen()
}

func (w *world) later(happen func()) { w.pending = append(w.pending, happen) }

// post has an event arrive at this life of the profiler.
func (w *world) post(e Event) {
	issuer := w.issuer
	w.later(func() {
		if issuer == w.issuer {
			w.step(e)
		}
	})
}

// controller gives a job when the profiler has none and one is open, or another one.
func (w *world) controller() {
	if w.m.Job() != 0 {
		return
	}
	gone := slices.ContainsFunc(w.job.Workers, func(s protocol.WorkerState) bool {
		return slices.ContainsFunc(w.workers, func(worker *worldWorker) bool {
			return worker.ID() == s.ID && (worker.dead || worker.Incarnation() != s.Incarnation)
		})
	})
	if w.open && !gone && len(w.job.Workers) > 0 {
		w.step(JobGiven{w.job}) // it was lost or not finished
		return
	}
	w.giveNew()
}

// giveNew gives a job for the workers that live, with some of what is known.
func (w *world) giveNew() {
	w.jobs++
	w.job, w.open = protocol.ProfileJob{ID: w.jobs, Models: slices.Clone(w.models)}, true
	copied := w.models[0]
	copied.Name = "copy"
	w.job.Models = append(w.job.Models, copied)
	w.RNG.Shuffle(len(w.job.Models), func(i, j int) { w.job.Models[i], w.job.Models[j] = w.job.Models[j], w.job.Models[i] })
	for _, worker := range w.workers {
		if !worker.dead {
			w.job.Workers = append(w.job.Workers, *worker.Core.State())
		}
	}
	for _, m := range w.models {
		if p, found := w.store[Key{m.Digest, "t4"}]; found && w.RNG.IntN(3) == 0 {
			w.job.Known = append(w.job.Known, p)
		}
	}
	w.step(JobGiven{w.job})
}

// restart begins another life of the profiler.
func (w *world) restart() {
	w.issuer++
	w.restarted++
	m, err := New(Config{Issuer: w.issuer, Iterations: worldIterations, ActionTimeout: worldTimeout})
	if err != nil {
		w.t.Fatal(err)
	}
	w.m = m
	w.began()
	w.step(Elected{Term: w.issuer})
	for _, worker := range w.workers {
		if !worker.dead {
			w.step(WorkerSeen{worker.ID(), worker.Incarnation()})
		}
	}
}

// step gives the machine an event, checks what it says, and has that done.
func (w *world) step(e Event) {
	out := w.m.Step(w.Now, e)
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %d %T %+v", w.hash, w.Now, e, print(out))
	w.hash = h.Sum64()
	w.check(e, out)
	w.wake = out.Wake
	issuer := w.issuer
	for _, a := range out.Actions {
		w.send(func() { w.arrive(a) })
	}
	if out.Read != nil {
		read := *out.Read
		w.later(func() {
			reading := NewReading(read)
			for key, more := reading.Next(); more; key, more = reading.Next() {
				p, found := w.store[key.Key]
				reading.Got(p, found, !w.healed && w.RNG.IntN(20) == 0)
			}
			if issuer == w.issuer {
				w.step(reading.Done())
			}
		})
	}
	for _, s := range out.Store {
		w.later(func() {
			if w.healed || w.RNG.IntN(20) > 0 {
				w.store[Key{s.Profile.Digest, s.Profile.GPUType}] = s.Profile
			}
			if issuer == w.issuer {
				w.step(ProfileStored{s.Token})
			}
		})
	}
	if out.Unfinished != nil {
		w.unfinished++
	}
	if r := out.Report; r != nil && r.ID == w.job.ID && (w.healed || w.RNG.IntN(10) > 0) {
		w.open = false
	}
}

// send has a message under way, unless it is lost. It may arrive twice.
func (w *world) send(arrive func()) {
	switch {
	case w.healed:
	case w.oneIn(100):
		w.lost++
		return
	case w.oneIn(40):
		w.doubled++
		w.later(arrive)
	}
	w.later(arrive)
}

// arrive has an action at its worker.
func (w *world) arrive(a WorkerAction) {
	if worker := w.workerNamed(a.Worker); !worker.dead {
		worker.Receive(a.Action)
	}
}

// heal ends the faults, lets the profiler finish what it has, and gives it a last
// job whose every verdict must be deserved.
func (w *world) heal() {
	w.healed = true
	for _, worker := range w.workers {
		w.die(worker)
	}
	w.settle()
	w.giveNew()
	w.settle()
	w.checkLast()
}

// settle delivers everything until the controller has its report; what kills or
// sticks does so on, and the workers are restarted.
func (w *world) settle() {
	for i := 0; w.open || w.m.Job() != 0 || len(w.pending) > 0; i++ {
		if i > 20_000 {
			w.fail("the job does not end:\n%s", w.m)
		}
		w.pass(time.Millisecond)
		switch {
		case len(w.pending) > 0:
			w.deliver(0)
		case w.revived():
		case w.wake != protocol.Never:
			w.rest()
		default:
			w.controller()
		}
	}
}

// revived restarts one dead worker, if there is one.
func (w *world) revived() bool {
	for _, worker := range w.workers {
		if worker.dead {
			w.revive(worker)
			return true
		}
	}
	return false
}
