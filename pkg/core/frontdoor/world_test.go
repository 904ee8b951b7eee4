package frontdoor

import (
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/simtime"
)

var worlds = flag.Int("worlds", 200, "how many seeded worlds TestWorld runs")

// TestWorld runs three front doors in seeded worlds, in virtual time: with a shared
// startup buffer, two schedulers (sched.Term) that may both believe they lead, three
// workers (work.Worker) that obey the newest, and a broker. Messages are lost, repeated, delayed and reordered where a broker
// may do that. Front doors pause, lose their connection, stop, and crash and are replaced.
// The store does not reply, or loses the buffer. Workers send outputs for requests they
// were not given, and outputs of a wrong size.
//
// A front door is stepped as its service steps it: by events, and by a Tick at the time it
// asked for, at no other. For each front door, books (world_check_test.go and the files
// next to it) work out the expected output and the expected counts of every step, without
// reading the machine's state (G2, G3, G9, G13). Clients count their answers (G1). After
// some time without faults, nothing may be left anywhere.
func TestWorld(t *testing.T) {
	most := *worlds
	if testing.Short() {
		most /= 10
	}
	sum := map[string]int{}
	for seed := 1; seed <= most && !t.Failed(); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runSeed(t, uint64(seed), sum) })
	}
	if !testing.Short() && !t.Failed() {
		requireCoverage(t, sum)
	}
}

// runSeed runs one world; every tenth runs twice and must have the same history (G10).
func runSeed(t *testing.T, seed uint64, sum map[string]int) {
	w := runWorld(t, seed)
	if seed%10 == 0 && runWorld(t, seed).hash != w.hash {
		t.Fatal("G10: two runs differ")
	}
	for what, n := range w.happened {
		sum[what] += n
	}
}

// requireCoverage fails if something never happened: then the test proves nothing about it.
func requireCoverage(t *testing.T, sum map[string]int) {
	for _, what := range []string{"lost", "repeated", "delayed", "cut", "paused", "crashed", "stopped", "takeover", "two lead", "keeper changed",
		"store silent", "buffer lost", "claim unknown", "claim gone", "handed over", "held", "asked", "yours", "taken", "left",
		"submitted again", "resigned", "worker: OK", "worker: STALE_EPOCH", "worker: INPUT_MISSING", "worker: TOO_LATE", "worker: BACKEND_ERROR", "answered for the lost", "foreign output", "ignored", "late outcome", "not sent",
		"no room for what waits", "no room for outputs", "no room for outputs of a client", "waited for room", "left room for what waits", "kept for its dispatch", "answered by its dispatch", "outdated decision", "large input", "large input planned again", "large input not needed any more", "never dispatched", "no room for an output",
		"direct, too early", "withdrawn", "ended with its client", "CANCELLED", "OK", "BAD_MESSAGE", "BUFFER_FULL", "BUFFER_TIMEOUT", "DEADLINE_EXCEEDED", "FRONT_DOOR_LOST", "INTERNAL", "LIMIT_EXCEEDED", "OVERLOADED",
		"PAYLOAD_TOO_LARGE", "SCHEDULER_LOST", "SHUTTING_DOWN", "STATE_UNAVAILABLE", "UNKNOWN_MODEL"} {
		if sum[what] == 0 {
			t.Errorf("%q never happened: %v", what, sum)
		}
	}
	t.Log(sum)
}

// Faults and clients end at faultsEnd; then there is time until worldEnd to finish.
const (
	faultsEnd = protocol.Time(7 * time.Second)
	worldEnd  = protocol.Time(13 * time.Second)
	worldSize = 3 // front doors
)

type world struct {
	t    *testing.T
	seed uint64
	simtime.Clock
	hash uint64

	frontDoors []*frontDoor // running
	started    uint64       // front doors, ever
	schedulers []*scheduler
	workers    map[string]*worker
	lease      lease
	stream     stream
	clients    map[string]*client // by inbox
	order      []*client          // in order of their requests
	stage      protocol.Stage
	models     map[string]bool
	activation protocol.Time
	happened   map[string]int
}

func runWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, seed: seed, Clock: simtime.Clock{RNG: rand.New(rand.NewPCG(seed, 5)), Now: 1}, clients: map[string]*client{}, models: map[string]bool{},
		workers: map[string]*worker{}, stage: protocol.Loading, happened: map[string]int{}}
	w.activation = protocol.Time(w.UpTo(3 * time.Second))
	w.stream.w = w
	for range worldSize {
		w.startFrontDoor()
	}
	for _, id := range []string{"s1", "s2"} {
		s := &scheduler{Process: simtime.Process{Clock: &w.Clock}, w: w, id: id}
		w.schedulers = append(w.schedulers, s)
		s.begin()
	}
	w.startWorkers()
	w.control()
	w.demand()
	w.Run(worldEnd, func() bool { return false })
	w.checkEnd()
	return w
}

// control is the controller: it adds models, advances the stage, now and then removes a
// model and adds it again, and has another front door keep the buffer.
func (w *world) control() {
	w.After(w.UpTo(w.activation.Sub(0)), func() { w.setModel("a", true) })
	w.After(w.UpTo(w.activation.Sub(0)), func() { w.setModel("b", true) })
	w.After(w.activation.Sub(0), func() {
		w.stage = protocol.Active
		w.publishState(func() Event { return &StageSeen{protocol.Active} })
	})
	w.Every(700*time.Millisecond, func() {
		if !w.faulty() || w.Now < w.activation {
			return
		}
		if w.oneIn(4) {
			w.setModel("b", !w.models["b"])
		}
	})
	w.Every(400*time.Millisecond, func() {
		if w.stream.keeper == nil || w.faulty() && w.oneIn(5) {
			w.stream.changeKeeper()
		}
	})
	w.Every(500*time.Millisecond, w.stream.injectFaults)
}

func (w *world) setModel(name string, there bool) {
	w.models[name] = there
	w.publishState(func() Event {
		if there {
			return &ModelSeen{spec(name)}
		}
		return &ModelDropped{name}
	})
}

// publishState sends each front door a change of the stored state, in order. A watch
// continues after a lost connection.
func (w *world) publishState(fresh func() Event) {
	for _, d := range w.frontDoors {
		d.state.Send(&w.Clock, d.On(func() { d.checkedStep(fresh()) }))
	}
}

func (w *world) failf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d at %v: %s", w.seed, w.Now, fmt.Sprintf(format, args...))
}

func (w *world) count(what string) { w.happened[what]++ }

func (w *world) note(format string, args ...any) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %d ", w.hash, w.Now)
	fmt.Fprintf(h, format, args...)
	w.hash = h.Sum64()
}

// oneIn is true once in n times.
func (w *world) oneIn(n int) bool { return w.RNG.IntN(n) == 0 }

// faulty reports whether faults are still injected.
func (w *world) faulty() bool { return w.Now < faultsEnd }

// loose delivers a message that may be lost, repeated or delayed.
func (w *world) loose(do func()) {
	switch {
	case !w.faulty():
	case w.oneIn(40):
		w.count("lost")
		return
	case w.oneIn(40):
		w.count("repeated")
		w.After(w.Delay()+w.UpTo(30*time.Millisecond), do)
	case w.oneIn(30):
		w.count("delayed")
		w.After(w.Delay()+w.UpTo(250*time.Millisecond), do)
		return
	}
	w.After(w.Delay(), do)
}
