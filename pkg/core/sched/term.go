package sched

import (
	"fmt"
	"strings"
	"time"

	"clockwork/pkg/protocol"
)

// Term is the time in which one process holds the scheduler's lease. It decides which
// workers belong, when requests are accepted, who answers the requests of a lost front
// door, and when the process gives up the lease. It contains the Core of a policy, and
// passes workers to the Core only once their clocks are known.
//
// The service (services/scheduler) and the simulator drive it, each under one lock:
// decode, Step, send. Like a Core it has no clock, goroutine, log or randomness;
// the same events at the same times give the same outputs. Heartbeats tell whether
// workers and front doors are alive (package liveness); their time advances with
// HeartbeatDue events alone, one every protocol.HeartbeatEvery.
//
// Invariants: started and resigned are never cleared; active is set after started, and
// cleared by resign alone. After Resign, Step does nothing.
type Term struct {
	// Observe is called with each step of the Core before its output is carried out; nil
	// for none. It must not keep the event or the output.
	Observe func(now protocol.Time, e Event, out *Output)

	// config does not change.
	config TermConfig
	core   Core
	// now is the time of the current step; it never goes back.
	now protocol.Time

	// seen is the highest epoch of another scheduler, as far as this term has heard. What a
	// worker says of a higher one is not believed: the store gives epochs to schedulers.
	seen uint64
	// started: the core has got its Activate. active: requests are served. resigned: the
	// lease is being given up.
	started  bool
	active   bool
	resigned bool
	// clocksDue is when the wait for the workers' clocks ends and the term becomes
	// active; Never before the start and once active. coreWake is the core's last Wake.
	clocksDue protocol.Time
	coreWake  protocol.Time
	// since is when the epoch began; valid once started.
	since protocol.Time

	// terms are those of the controllers that sent a start.
	terms protocol.Terms
	// set is the number of the set of models that is served. models are its models, by name;
	// every worker that joins serves those that it does not lack.
	set     uint64
	models  []protocol.ModelSpec
	workers membership
	// doors are the unanswered requests of each front door. missed is how often messages of
	// front doors may have been lost, as far as the ledgers in doors account for it.
	doors  frontDoors
	missed uint64

	// out is the output of the current step; last is the output of the core's last
	// step; decided counts the core's steps in the current step.
	out     TermOutput
	last    Output
	decided int
	// submit is the core's event of the last request, amended that of the last result that
	// the core was given with another epoch or message; both are reused.
	submit  Submit
	amended Result
	// answered is the core's event of the last claims.
	answered Answered
}

// TermConfig identifies the holder of the lease. It does not change.
type TermConfig struct {
	// Epoch is the number that the store gave at the election; it is the term's epoch. Issuer
	// is the random identity of the term; every action carries it.
	Epoch, Issuer uint64
	// Question is the number above which the questions to the broker are numbered. It is
	// random, so that an answer to another scheduler's question is not mistaken.
	Question uint64
	// Missed is where NoResponders.Missed begins to count.
	Missed uint64
	// Subjects decide which reply subjects are valid.
	Subjects protocol.Subjects
}

// AnswerWait is how long a worker's answer to Ask is waited for: a worker may have tens of
// thousands of models.
const AnswerWait = 10 * time.Second

// clockWait is how long activation waits for the workers' clocks.
const clockWait = 2 * time.Second

// NewTerm returns a term that expects Started. The core must not have been stepped.
func NewTerm(core Core, config TermConfig) *Term {
	return &Term{
		config: config, core: core, clocksDue: protocol.Never, coreWake: protocol.Never,
		workers: newMembership(), doors: newFrontDoors(config.Question), missed: config.Missed,
	}
}

// Step applies one event and returns the work to be done, valid until the next Step. If
// now is before the last instant, the last instant counts. The event may be reused after
// Step.
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
	case *Withdraw:
		if t.started {
			t.decide(e)
		}
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
	case *SchedulerBeat:
		t.seen = max(t.seen, e.Epoch)
	case *FrontDoorBeat:
		t.messagesMissed(e.Missed)
		t.frontDoorBeat(e.Heartbeat)
	case *NoResponders:
		t.messagesMissed(e.Missed)
		t.noResponders(e.FrontDoor, e.Question)
	case *HeartbeatDue:
		t.heartbeatDue()
	}
	t.out.Wake = min(t.coreWake, t.clocksDue, t.doors.next)
	return &t.out
}

// begin empties the output for the next step and keeps its memory.
func (t *Term) begin() {
	t.decided = 0
	o := &t.out
	*o = TermOutput{Verdicts: o.Verdicts[:0], Ask: o.Ask[:0], Questions: o.Questions[:0], Owed: o.Owed[:0], Notes: o.Notes[:0]}
}

// decide steps the core with one event; no other function steps it. The core's output
// becomes part of the term's output without a copy, unless one event of the term needs
// several steps of the core, whose outputs are then copied and joined.
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
	t.sign(t.last.Dispatches)
	t.sign(t.last.Refusals)
	t.coreWake = t.last.Wake
	if t.decided == 0 {
		t.out.Output = t.last
	} else {
		t.out.Output.add(t.last)
	}
	t.decided++
}

// sign names the term's epoch in decisions.
func (t *Term) sign(decisions []protocol.Dispatch) {
	for i := range decisions {
		decisions[i].Epoch = t.Epoch()
	}
}

// add appends a copy of another output's work.
func (o *Output) add(from Output) {
	for _, a := range from.Actions {
		a.Action.Requests = append([]protocol.RequestRef(nil), a.Action.Requests...)
		o.Actions = append(o.Actions, a)
	}
	o.Dispatches = append(o.Dispatches, from.Dispatches...)
	o.Refusals = append(o.Refusals, from.Refusals...)
	o.Reasons = append(o.Reasons, from.Reasons...)
	o.Late = append(o.Late, from.Late...)
	o.Unanswered = append(o.Unanswered, from.Unanswered...)
	o.Incidents = append(o.Incidents, from.Incidents...)
}

// start begins the epoch: the core gets models and profiles, and each worker follows once
// its clock is known.
func (t *Term) start(state protocol.ClockworkState) {
	if !t.terms.Admit(protocol.Leader{Service: protocol.Controller, Term: state.Term}) {
		return // of a former controller, which may have had other models
	}
	if t.started {
		t.startAgain(state)
		return
	}
	t.started, t.since, t.clocksDue = true, t.now, t.now.Add(clockWait)
	t.set, t.models = state.Set, state.Models
	workers := state.Workers
	state.Workers, state.Term = nil, 0
	t.note(Note{Kind: NoteStarted, Count: len(workers)})
	t.decide(&Activate{Epoch: t.config.Epoch, Issuer: t.config.Issuer, State: state})
	for _, w := range workers {
		t.expect(joiner{WorkerState: w})
	}
	t.admit()
}

// result passes a result to the core. A worker with a newer epoch that a scheduler has too
// means that another one was elected, so the term resigns. A worker's word alone would end
// every term in turn.
func (t *Term) result(e *Result) {
	epoch, message := t.credited(e.Worker, e.Epoch), e.Message
	if e.Code != protocol.OK && message == "" { // the message becomes part of the clients' errors
		message = e.Code.Row().Sentence
	}
	if epoch != e.Epoch || message != e.Message {
		t.amended = *e
		t.amended.Epoch, t.amended.Message = epoch, message
		e = &t.amended
	}
	t.decide(e)
	if epoch > t.Epoch() {
		t.resign(newerEpoch)
	}
}

// newerEpoch is why a term ends that another one follows.
const newerEpoch = "a worker obeys a newer epoch"

// credited returns the epoch that a worker names, or the term's if no scheduler has told of
// the worker's.
func (t *Term) credited(worker string, epoch uint64) uint64 {
	if epoch <= max(t.Epoch(), t.seen) {
		return epoch
	}
	t.note(Note{Kind: NoteEpochDoubted, ID: worker, Epoch: epoch})
	return t.Epoch()
}

// resign ends the term. The next term has a new epoch and gets its own activation.
func (t *Term) resign(why string) {
	t.resigned, t.active = true, false
	t.out.Resign = why
	t.coreWake, t.clocksDue, t.doors.next = protocol.Never, protocol.Never, protocol.Never
}

// tick handles the times that are due: the core's, the clocks', the front doors'.
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

// heartbeatDue advances the watched workers and front doors by one tick, and handles the
// lost ones.
func (t *Term) heartbeatDue() {
	for _, h := range t.workers.watch.Tick() {
		t.workerLost(h)
	}
	for _, h := range t.doors.watch.Tick() {
		t.frontDoorLost(h)
	}
}

// Epoch returns the term's epoch.
func (t *Term) Epoch() uint64 { return t.config.Epoch }

// Started reports whether the epoch has begun.
func (t *Term) Started() bool { return t.started }

// Active reports whether requests are served.
func (t *Term) Active() bool { return t.active }

// Workers returns the number of members.
func (t *Term) Workers() int { return len(t.workers.members) }

// Lacking returns how many models the members do not serve, summed over them.
func (t *Term) Lacking() (n int) {
	for _, lacks := range t.workers.lacks { // map order does not matter: a sum
		n += len(lacks)
	}
	return n
}

// Has reports whether this incarnation of a worker is a member.
func (t *Term) Has(id string, incarnation uint64) bool {
	member, has := t.workers.members[id]
	return has && member == incarnation
}

// Heartbeat returns what a term tells the other services. Who it is, its driver adds.
func (t *Term) Heartbeat(now protocol.Time) protocol.Heartbeat {
	stats := t.core.Stats()
	h := protocol.Heartbeat{Epoch: t.Epoch(), State: protocol.SchedulerReady, InFlight: stats.Queued + stats.InFlight}
	if t.active {
		h.State, h.Capacity = protocol.SchedulerActive, t.core.Capacity(now)
		h.Quarantined, h.Unavailable = t.core.Quarantined(now), t.core.Unavailable()
	}
	return h
}

// Stats returns the core's counters.
func (t *Term) Stats() Stats { return t.core.Stats() }

// Snapshot writes the core's state.
func (t *Term) Snapshot(into *Snapshot) { t.core.Snapshot(into) }

// Waits returns what a request waits for in the core, as Core.Waits.
func (t *Term) Waits(id protocol.RequestID) (Reason, bool) { return t.core.Waits(id) }

// String shows the state of the term, without the core's.
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
	fmt.Fprintf(&b, "epoch %d %s\n", t.Epoch(), state)
	t.workers.draw(&b)
	t.doors.draw(&b)
	return b.String()
}

// note outputs a note for logs and displays.
func (t *Term) note(n Note) { t.out.Notes = append(t.out.Notes, n) }
