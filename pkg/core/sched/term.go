package sched

import (
	"fmt"
	"strings"
	"time"

	"clockwork/pkg/protocol"
)

// Term is the time in which one process holds the scheduler's lease: which workers
// belong, when requests are taken, what becomes of the requests of a lost front
// door, and when the lease is to be given up. The Core of a policy sits inside of
// it and is given workers whose clocks are known.
//
// The service (services/scheduler) and the simulator drive it, each under one lock:
// decode, Step, send. Like a Core it has no clock, goroutine, log or randomness;
// the same events at the same times give the same outputs. Workers and front doors
// are watched by heartbeats (package liveness), and a HeartbeatDue every
// protocol.HeartbeatEvery is what lets time pass for them.
type Term struct {
	// Observe is shown each step of the policy's core before it is carried out; nil
	// is nobody. It keeps neither event nor output.
	Observe func(now protocol.Time, e Event, out *Output)

	config TermConfig
	core   Core
	now    protocol.Time

	epoch     uint64 // of the lease, or above what the workers obey
	started   bool   // Activate was given to the core
	active    bool   // requests are served
	resigned  bool   // nothing is decided any more
	clocksDue protocol.Time
	coreWake  protocol.Time

	models  []protocol.ModelSpec // of the epoch; every worker that joins holds all of them
	workers membership
	doors   frontDoors

	out     TermOutput
	last    Output // of the core
	decided int    // steps of the core in this one
	submit  Submit
}

// TermConfig is who holds the lease.
type TermConfig struct {
	// Epoch is the lease's; Issuer is the random identity of the term, whose
	// actions are numbered from 1.
	Epoch, Issuer uint64
	// Question is where the numbers of questions about front doors begin; random, so
	// that an answer to another scheduler's question is not taken for one's own.
	Question uint64
	// Subjects say where a client may be answered.
	Subjects protocol.Subjects
}

// clockWait is how long activation waits for the workers' clocks.
const clockWait = 2 * time.Second

// NewTerm begins a term with a core that was not stepped yet.
func NewTerm(core Core, config TermConfig) *Term {
	return &Term{
		config: config, core: core, epoch: config.Epoch, clocksDue: protocol.Never, coreWake: protocol.Never,
		workers: newMembership(), doors: newFrontDoors(config.Question),
	}
}

// Step takes one event at an instant and returns what to do now. A now before an
// earlier one counts as that one. The event may be used again after it.
func (t *Term) Step(now protocol.Time, e TermEvent) *TermOutput {
	t.now = max(t.now, now)
	t.begin()
	if t.resigned {
		t.out.Wake = protocol.Never
		return &t.out
	}
	switch e := e.(type) {
	case *Submitted:
		t.submitted(e)
	case *Result:
		t.result(e)
	case *AnswersReported:
		t.answersReported(e)
	case *Tick:
		t.tick(e)
	case *Started:
		t.start(e.State)
	case *WorkerAnnounced:
		t.announced(e.State)
	case *WorkerBeat:
		t.workerBeat(e.Heartbeat)
	case *WorkerAnswered:
		t.workerAnswered(e)
	case *FrontDoorBeat:
		t.frontDoorBeat(e.Heartbeat)
	case *NoResponders:
		t.noResponders(e.FrontDoor, e.Question)
	case *MessagesMissed:
		t.messagesMissed()
	case *HeartbeatDue:
		t.heartbeatDue()
	}
	t.out.Wake = min(t.coreWake, t.clocksDue, t.doors.next)
	return &t.out
}

// begin makes the last output's memory ready for the next one.
func (t *Term) begin() {
	t.decided = 0
	o := &t.out
	*o = TermOutput{Verdicts: o.Verdicts[:0], Ask: o.Ask[:0], Questions: o.Questions[:0], Owed: o.Owed[:0], Notes: o.Notes[:0]}
}

// decide gives the core one event. Every step of the core is made here. What the
// core decided is passed on as it stands; only where one event of the term is
// several of the core, what came before is kept in memory of its own.
func (t *Term) decide(e Event) {
	if t.decided == 1 {
		var kept Output
		kept.add(t.out.Output)
		t.out.Output = kept
	}
	t.last = t.core.Step(t.now, e)
	if t.Observe != nil {
		t.Observe(t.now, e, &t.last)
	}
	t.coreWake = t.last.Wake
	if t.decided == 0 {
		t.out.Output = t.last
	} else {
		t.out.Output.add(t.last)
	}
	t.decided++
}

// add appends a copy of what another output wants done.
func (o *Output) add(from Output) {
	for _, a := range from.Actions {
		a.Action.Requests = append([]protocol.RequestRef(nil), a.Action.Requests...)
		o.Actions = append(o.Actions, a)
	}
	o.Dispatches = append(o.Dispatches, from.Dispatches...)
	o.Refusals = append(o.Refusals, from.Refusals...)
	o.Reasons = append(o.Reasons, from.Reasons...)
}

// start begins the epoch. Its workers join as their clocks are known.
func (t *Term) start(state protocol.ClockworkState) {
	if t.started {
		t.startAgain(state)
		return
	}
	for _, w := range state.Workers {
		if w.Epoch >= t.epoch && w.Epoch < maxEpoch { // the lease's store was lost; workers remember
			t.epoch = w.Epoch + 1
		}
	}
	t.started, t.models, t.clocksDue = true, state.Models, t.now.Add(clockWait)
	workers := state.Workers
	state.Workers = nil
	t.note(Note{Kind: NoteStarted, Count: len(workers)})
	t.decide(&Activate{Epoch: t.epoch, Issuer: t.config.Issuer, State: state})
	for _, w := range workers {
		t.expect(w)
	}
	t.admit()
}

// maxEpoch is what no epoch reaches.
const maxEpoch = 1<<64 - 1

// startAgain takes a start that was sent again: it may name a worker of whom no
// message came. Where the store was lost and the stack began anew with other models,
// the next term serves those.
func (t *Term) startAgain(state protocol.ClockworkState) {
	if !sameModels(t.models, state.Models) {
		t.resign("the stack serves other models now")
		return
	}
	for _, w := range state.Workers {
		t.expect(w)
	}
	t.admit()
}

// sameModels compares by name and digest; both are ordered by name.
func sameModels(a, b []protocol.ModelSpec) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name || a[i].Digest != b[i].Digest {
			return false
		}
	}
	return true
}

// result gives the core a result. A worker that obeys a newer epoch tells that
// another scheduler was elected.
func (t *Term) result(e *Result) {
	if e.Code != protocol.OK && e.Message == "" { // clients are told what the worker said
		e.Message = e.Code.Row().Sentence
	}
	t.decide(e)
	if e.Epoch > t.epoch {
		t.resign("a worker obeys a newer epoch")
	}
}

// resign ends the term: the next one has a new epoch and is activated anew.
func (t *Term) resign(why string) {
	t.resigned, t.active = true, false
	t.out.Resign = why
	t.coreWake, t.clocksDue, t.doors.next = protocol.Never, protocol.Never, protocol.Never
}

// tick does what is due.
func (t *Term) tick(e *Tick) {
	if t.now >= t.coreWake {
		t.decide(e)
	}
	if t.now >= t.clocksDue {
		t.admit()
	}
	if t.now >= t.doors.next {
		t.pursueAll()
	}
}

// heartbeatDue counts for everybody who is watched.
func (t *Term) heartbeatDue() {
	for _, h := range t.workers.watch.Tick() {
		t.workerLost(h)
	}
	for _, h := range t.doors.watch.Tick() {
		t.frontDoorLost(h)
	}
}

// Epoch is the term's; it grows when the epoch begins above what workers obey.
func (t *Term) Epoch() uint64 { return t.epoch }

// Started reports whether the epoch has begun.
func (t *Term) Started() bool { return t.started }

// Active reports whether requests are served.
func (t *Term) Active() bool { return t.active }

// Workers is how many workers the core has.
func (t *Term) Workers() int { return len(t.workers.members) }

// Has reports whether the core has this incarnation of a worker.
func (t *Term) Has(id string, incarnation uint64) bool {
	member, has := t.workers.members[id]
	return has && member == incarnation
}

// Stats are the core's.
func (t *Term) Stats() Stats { return t.core.Stats() }

// Snapshot is of how the core stands.
func (t *Term) Snapshot(into *Snapshot) { t.core.Snapshot(into) }

// Waits is what a request waits for in the core.
func (t *Term) Waits(id protocol.RequestID) (Reason, bool) { return t.core.Waits(id) }

// String draws the term for a person, without what the core has.
func (t *Term) String() string {
	var b strings.Builder
	state := "waits for its start"
	switch {
	case t.resigned:
		state = "resigned"
	case t.active:
		state = "active"
	case t.started:
		state = fmt.Sprintf("waits for clocks until %v", t.clocksDue)
	}
	fmt.Fprintf(&b, "epoch %d %s\n", t.epoch, state)
	t.workers.draw(&b)
	t.doors.draw(&b)
	return b.String()
}

// note tells people something.
func (t *Term) note(n Note) { t.out.Notes = append(t.out.Notes, n) }
