package sched

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/simtime"
)

// A world for the term: two schedulers that campaign for one lease, three workers and one
// that lies about epochs, two front doors that lie as well, a controller and a broker, in
// virtual time. All of them are the cores that the services run; the world is the time, the
// network, what the GPUs take, and what goes wrong. Workers die, stop, stand still, lose
// executors, and have clocks that step and lie; front doors die, stand still, are cut off and
// come back; messages are lost, doubled and late where a broker may do that. In every second
// world schedulers die and stand still as well, so that two think they lead, and lose their
// connections; the store is lost, and the hosts' clocks differ; in every fourth, somebody who
// has a scheduler's key gives orders in epochs that no scheduler was given.
//
// Held at every event: G1 (no request has two answers; those of dead front doors have one soon),
// G2 (no OK is sent after its deadline, nothing begins after its latest), G6 (a worker joins as
// its GPU is, but for what this epoch ordered, and has room for what it is to load), G7 (a
// worker belongs only in the incarnation and with the clock it said; nobody is lost who beats
// and obeys, nobody stays who is silent or obeys a newer epoch, nobody stays away who is
// announced and beats; an older term gives no order that is obeyed; one that saw a newer epoch
// ends; no word but the store's makes an epoch, and none ends a term that an honest worker
// serves), G13 (the accounts of front doors and schedulers close). Held at the end, when all has
// been well for a while but the lies: each request of a front door that lives is answered, those
// of a dead one that its scheduler knew of as well, one scheduler is active with every worker in
// its present incarnation, and the books are empty (G11).
func TestTermWorld(t *testing.T) {
	for seed := uint64(1); seed <= 80; seed++ {
		w := newTermWorld(seed)
		w.run(8 * time.Second)
		if w.fault != "" {
			t.Fatalf("seed %d: %s", seed, w.fault)
		}
		termWorlds.add(w.happened)
	}
	t.Logf("%+v", termWorlds)
	for what, n := range termWorlds.counts() {
		if n == 0 {
			t.Errorf("too little happened, the test proves nothing: %s never, %+v", what, termWorlds)
		}
	}
}

type termWorld struct {
	simtime.Clock
	policy     string
	pace       time.Duration // between two requests to a front door
	end        protocol.Time // of the faults
	rough      bool          // schedulers have troubles too
	forging    bool          // somebody else has their key
	schedulers []*wScheduler
	workers    []*wWorker
	doors      []*wDoor // living and dead
	controller *wController
	lease      wLease
	calls      map[wCall]func(protocol.Result) // queries of workers that are not answered
	requests   map[string]*wRequest            // by the client's inbox
	said       map[string]bool                 // what heartbeats said: worker, incarnation, clock epoch
	happened   termHappened
	fault      string
}

// wLease is the schedulers' lease in the store.
type wLease struct {
	holder *wScheduler
	writes uint64 // how often it was taken
	epoch  uint64 // that the store has; 0 for none
	given  map[uint64]bool
}

// read is what a candidate reads of it.
func (l *wLease) read() liveness.LeaseRead {
	if l.holder == nil {
		return liveness.LeaseRead{}
	}
	return liveness.LeaseRead{Held: true, Holder: l.holder.id, Revision: l.writes}
}

func newTermWorld(seed uint64) *termWorld {
	w := &termWorld{Clock: simtime.Clock{RNG: rand.New(rand.NewPCG(seed, 77))}, policy: "clockwork", pace: 5 * time.Millisecond, rough: seed%2 == 0, forging: seed%4 == 0,
		calls: map[wCall]func(protocol.Result){}, requests: map[string]*wRequest{}, said: map[string]bool{}}
	if seed%3 == 0 {
		w.policy = "simple"
	}
	if !w.rough { // fewer requests are open when a front door dies
		w.pace = 20 * time.Millisecond
	}
	w.lease.given = map[uint64]bool{}
	for _, id := range []string{"s1", "s2"} {
		w.schedulers = append(w.schedulers, &wScheduler{Process: simtime.Process{Clock: &w.Clock}, w: w, id: id, ahead: w.UpTo(300 * time.Millisecond)})
	}
	for i := range 4 {
		w.workers = append(w.workers, newWWorker(w, i))
	}
	w.controller = newWController(w)
	return w
}

func (w *termWorld) broken(format string, args ...any) {
	if w.fault == "" {
		w.fault = fmt.Sprintf("at %v: ", w.Now) + fmt.Sprintf(format, args...)
	}
}

func (w *termWorld) chance(p float64) bool { return w.RNG.Float64() < p }

// faulty reports whether things may go wrong still.
func (w *termWorld) faulty() bool { return w.Now < w.end }

// loose delivers a message that may be lost, doubled and late.
func (w *termWorld) loose(do func()) {
	if w.faulty() {
		if w.chance(0.02) {
			return
		}
		if w.chance(0.02) {
			w.After(w.Delay()+w.UpTo(30*time.Millisecond), do)
		}
		if w.chance(0.03) {
			w.After(w.Delay()+w.UpTo(250*time.Millisecond), do)
			return
		}
	}
	w.After(w.Delay(), do)
}

// run lets everything go wrong for a while, then nothing, and looks at the end.
func (w *termWorld) run(length time.Duration) {
	w.end = w.Now.Add(length)
	for _, s := range w.schedulers {
		s.begin()
	}
	for _, x := range w.workers {
		x.begin()
	}
	for range 2 {
		w.openDoor()
	}
	w.controller.begin()
	if w.forging {
		w.Every(1900*time.Millisecond, w.forge)
	}
	w.Every(500*time.Millisecond, w.checkLate)
	w.drive(w.end.Add(4 * time.Second))
	for _, d := range w.doors { // what said that requests were answered may have been lost; the ledgers forget them
		d.quiet = true
	}
	w.drive(w.Now.Add(staleAfter + 2*sweepEvery))
	w.checkEnd()
}

func (w *termWorld) drive(until protocol.Time) { w.Run(until, func() bool { return w.fault != "" }) }

// forge gives all workers an order in an epoch that no scheduler was given.
func (w *termWorld) forge() {
	if !w.faulty() {
		return
	}
	w.happened.forged++
	forged := w.lease.epoch + uint64(w.UpTo(800*time.Millisecond).Microseconds())
	for _, x := range w.workers {
		w.order(x, protocol.Action{ID: protocol.ActionID(w.happened.forged), Issuer: forger, Epoch: forged, Kind: protocol.GetWorkerState, Lean: true, Latest: protocol.Never})
	}
}

// lie is an epoch that somebody names who was told of none: a little, or by far, above the
// one that there is.
func (w *termWorld) lie() uint64 {
	return []uint64{w.lease.epoch + 1, w.lease.epoch + 1000, w.lease.epoch + 1<<40, 1<<64 - 2}[w.RNG.IntN(4)]
}

// Those who give workers orders besides the terms, whose issuers are their epochs.
const (
	forger     = 1
	controller = 2
	asker      = 3
)

// wCall is a query of a worker.
type wCall struct {
	issuer uint64
	id     protocol.ActionID
}

// order sends an action to a worker.
func (w *termWorld) order(x *wWorker, a protocol.Action) { w.loose(x.On(func() { x.receive(a) })) }

func (w *termWorld) worker(id string) *wWorker { return w.workers[id[1]-'0'] }
