package frontdoor

import (
	"container/heap"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

var worlds = flag.Int("worlds", 200, "how many seeded worlds TestWorld runs")

// TestWorld lets three front doors serve clients in seeded worlds: with a startup
// buffer that they share, two schedulers (package sched's Term) that may both think
// they lead, three workers and a broker, in virtual time. Messages are lost, doubled,
// late and out of order where a broker may do that; front doors stand still, are cut
// off, stop, die and come back as others; the store does not answer, or loses the
// buffer; workers answer what they were not given, and with what no model gives.
//
// A front door is stepped as its service does it: events, and a Tick when it asked to
// be woken, never else. world_check_test.go and the files beside it keep books of
// their own on each front door, and say after each step what it had to give out and
// what its accounts are (G2, G3, G8, G13). world_client_test.go counts what clients
// get (G1). When all has been well for a while, nothing may be left anywhere.
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
		proves(t, sum)
	}
}

// runSeed runs one world, and every tenth twice: the histories are the same (G10).
func runSeed(t *testing.T, seed uint64, sum map[string]int) {
	w := runWorld(t, seed)
	if seed%10 == 0 && runWorld(t, seed).hash != w.hash {
		t.Fatal("G10: two runs differ")
	}
	for what, n := range w.happened {
		sum[what] += n
	}
}

// proves fails a test in which too little happened to prove anything.
func proves(t *testing.T, sum map[string]int) {
	for _, what := range []string{"lost", "doubled", "late", "cut", "stood still", "died", "stopped", "takeover", "two lead", "keeper changed",
		"store silent", "buffer lost", "claim unknown", "claim gone", "handed over", "held", "asked", "yours", "taken", "left",
		"submitted again", "answered for the lost", "foreign output", "ignored", "late word",
		"OK", "BAD_MESSAGE", "BUFFER_FULL", "BUFFER_TIMEOUT", "DEADLINE_EXCEEDED", "FRONT_DOOR_LOST", "INTERNAL", "LIMIT_EXCEEDED", "OVERLOADED",
		"PAYLOAD_TOO_LARGE", "SCHEDULER_LOST", "SHUTTING_DOWN", "STATE_UNAVAILABLE", "UNKNOWN_MODEL"} {
		if sum[what] == 0 {
			t.Errorf("%q never happened: %v", what, sum)
		}
	}
	t.Log(sum)
}

// A world's times: faults and clients end at troubleEnds, and all is quiet at worldEnds.
const (
	troubleEnds = protocol.Time(7 * time.Second)
	worldEnds   = protocol.Time(13 * time.Second)
	frontDoors  = 3
)

type world struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand
	now   protocol.Time
	queue worldQueue
	nth   uint64
	hash  uint64

	doors      []*door // those that live
	opened     uint64  // front doors
	schedulers []*scheduler
	lease      lease
	stream     stream
	clients    map[string]*client // by inbox
	order      []*client          // as they came
	stage      protocol.Stage
	models     map[string]bool
	activation protocol.Time
	happened   map[string]int
}

// worldEvent is something that happens at an instant.
type worldEvent struct {
	at  protocol.Time
	nth uint64
	do  func()
}

type worldQueue []worldEvent

func (q worldQueue) Len() int      { return len(q) }
func (q worldQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q worldQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].nth < q[j].nth
}
func (q *worldQueue) Push(x any) { *q = append(*q, x.(worldEvent)) }
func (q *worldQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

func runWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 5)), now: 1, clients: map[string]*client{}, models: map[string]bool{},
		stage: protocol.Loading, happened: map[string]int{}}
	w.activation = protocol.Time(w.upTo(3 * time.Second))
	w.stream.w = w
	for range frontDoors {
		w.openDoor()
	}
	for _, id := range []string{"s1", "s2"} {
		s := &scheduler{process: process{w: w}, id: id}
		w.schedulers = append(w.schedulers, s)
		s.begin()
	}
	w.control()
	w.demand()
	w.drive(worldEnds)
	w.checkEnd()
	return w
}

func (w *world) drive(until protocol.Time) {
	for len(w.queue) > 0 && w.queue[0].at <= until {
		e := heap.Pop(&w.queue).(worldEvent)
		w.now = e.at
		e.do()
	}
	w.now = until
}

// control is what the controller does: models come, the stage moves on, now and then a
// model goes and comes back, and another front door keeps the buffer.
func (w *world) control() {
	w.after(w.upTo(w.activation.Sub(0)), func() { w.setModel("a", true) })
	w.after(w.upTo(w.activation.Sub(0)), func() { w.setModel("b", true) })
	w.after(w.activation.Sub(0), func() {
		w.stage = protocol.Active
		w.tellDoors(func() Event { return &StageSeen{protocol.Active} })
	})
	w.every(700*time.Millisecond, func() {
		if !w.faulty() || w.now < w.activation {
			return
		}
		if w.one(4) {
			w.setModel("b", !w.models["b"])
		}
	})
	w.every(400*time.Millisecond, func() {
		if w.stream.keeper == nil || w.faulty() && w.one(5) {
			w.stream.changeKeeper()
		}
	})
	w.every(500*time.Millisecond, w.stream.trouble)
}

func (w *world) setModel(name string, there bool) {
	w.models[name] = there
	w.tellDoors(func() Event {
		if there {
			return &ModelSeen{spec(name)}
		}
		return &ModelDropped{name}
	})
}

// tellDoors brings each front door something that the store says, in the order of the
// store. A watch that is cut off goes on from where it was.
func (w *world) tellDoors(fresh func() Event) {
	for _, d := range w.doors {
		d.state.send(w, d.on(func() { d.heed(fresh()) }))
	}
}

func (w *world) failf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d at %v: %s", w.seed, w.now, fmt.Sprintf(format, args...))
}

func (w *world) happens(what string) { w.happened[what]++ }

func (w *world) note(format string, args ...any) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %d ", w.hash, w.now)
	fmt.Fprintf(h, format, args...)
	w.hash = h.Sum64()
}

func (w *world) after(d time.Duration, do func()) {
	w.nth++
	heap.Push(&w.queue, worldEvent{w.now.Add(max(0, d)), w.nth, do})
}

// every does something for ever, from a drawn instant on.
func (w *world) every(d time.Duration, do func()) {
	var next func()
	next = func() { do(); w.after(d, next) }
	w.after(w.upTo(d), next)
}

func (w *world) upTo(d time.Duration) time.Duration {
	return time.Duration(w.rng.Int64N(int64(d) + 1))
}

// one reports whether something happens that happens once in n times.
func (w *world) one(n int) bool { return w.rng.IntN(n) == 0 }

// faulty reports whether things may go wrong still.
func (w *world) faulty() bool { return w.now < troubleEnds }

// delay is what a message takes.
func (w *world) delay() time.Duration { return 100*time.Microsecond + w.upTo(400*time.Microsecond) }

// loose delivers a message that may be lost, doubled and late.
func (w *world) loose(do func()) {
	switch {
	case !w.faulty():
	case w.one(40):
		w.happens("lost")
		return
	case w.one(40):
		w.happens("doubled")
		w.after(w.delay()+w.upTo(30*time.Millisecond), do)
	case w.one(30):
		w.happens("late")
		w.after(w.delay()+w.upTo(250*time.Millisecond), do)
		return
	}
	w.after(w.delay(), do)
}

// fifo is a way on which what is sent arrives in order.
type fifo struct{ last protocol.Time }

func (f *fifo) send(w *world, do func()) {
	f.last = max(f.last, w.now.Add(w.delay()))
	w.after(f.last.Sub(w.now), do)
}

// process is one that may die and stand still. What reaches it while it stands still
// waits; what reaches it after its death is lost.
type process struct {
	w     *world
	life  int
	still protocol.Time // until then it stands still
}

// on does something in this life of the process, when it is not standing still.
func (p *process) on(do func()) func() {
	life := p.life
	var attempt func()
	attempt = func() {
		switch {
		case p.life != life:
		case p.still > p.w.now:
			p.w.after(p.still.Sub(p.w.now), attempt)
		default:
			do()
		}
	}
	return attempt
}

// each does something again and again in this life.
func (p *process) each(d time.Duration, do func()) {
	life := p.life
	var next func()
	next = p.on(func() {
		do()
		if p.life == life {
			p.w.after(d, next)
		}
	})
	p.w.after(p.w.upTo(d), next)
}
