package sim

import (
	"fmt"
	"slices"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// scheduler is the simulated shell around a term: messages to and from the term
// are delayed.
type scheduler struct {
	world  *world
	core   sched.Core // of the term
	term   *sched.Term
	epoch  uint64 // of the lease
	wake   protocol.Time
	submit sched.Submitted
	result sched.Result

	dead    bool // no message reaches it: it was killed, or gave up its term
	deposed bool // another one holds the lease
	// stopped is until when it stands still: what reaches it waits.
	stopped protocol.Time
	// disconnectedUntil is until when it is not connected. missed counts the messages of front
	// doors that it may have missed, missedAt is when the term forgot for them last.
	disconnectedUntil, missedAt protocol.Time
	missed                      uint64
}

// issuer is the identity of a scheduler.
func (s *scheduler) issuer() uint64 { return s.epoch<<8 + schedulerIssuer }

// These are the identities of the issuers of actions, in the lowest byte.
const (
	schedulerIssuer = iota + 1
	controllerIssuer
	profilerIssuer
	questionIssuer // of the scheduler too
)

// elect gives the lease to a new scheduler with this core.
func (s *world) elect(core sched.Core) {
	x := &scheduler{world: s, core: core, epoch: s.epoch + 1, wake: protocol.Never}
	s.scheduler = x
	config := sched.TermConfig{Epoch: x.epoch, Issuer: x.issuer(), Subjects: protocol.Subjects{Prefix: "clockwork"}}
	x.term = sched.NewTerm(core, config)
	s.config.Observers.Begin(sched.TermSetup{Setup: sched.Setup{Policy: s.config.Policy, Config: s.config.Core.Config}, Term: config})
	x.term.Observe = func(now protocol.Time, e sched.Event, out *sched.Output) {
		if s.config.Observe != nil && !x.deposed {
			s.config.Observe(now, e, out)
		}
		if s.config.Thorough {
			s.checkStep(x.term, *out)
		}
	}
}

// schedulers calls do for the scheduler that holds the lease, and for those that think
// they hold it.
func (s *world) schedulers(do func(x *scheduler)) {
	holder := s.scheduler
	for _, x := range slices.Clone(s.deposed) {
		do(x)
	}
	do(holder)
}

// started and serving report whether the scheduler, if alive, is started or
// active.
func (s *scheduler) started() bool { return !s.dead && s.term.Started() }
func (s *scheduler) serving() bool { return !s.dead && s.term.Active() }

// silent reports whether no message leaves the scheduler.
func (s *scheduler) silent() bool { return s.dead || s.stopped > s.world.now }

// due is when the term's next Tick is due.
func (s *scheduler) due() protocol.Time {
	if s.dead || s.wake == protocol.Never {
		return protocol.Never
	}
	return max(s.wake, s.stopped)
}

// activate starts the epoch. In a run without faults all processes share one
// clock, so the first heartbeats with the clock's epoch follow at once.
func (s *world) activate(state protocol.ClockworkState) {
	s.schedulers(func(x *scheduler) { x.step(&sched.Started{State: state}) })
	for _, w := range state.Workers {
		s.beatAtOnce(w)
	}
}

// join announces a worker to the scheduler.
func (s *world) join(w protocol.WorkerState) {
	s.schedulers(func(x *scheduler) { x.step(&sched.WorkerAnnounced{State: w}) })
	s.beatAtOnce(w)
}

func (s *world) beatAtOnce(w protocol.WorkerState) {
	if s.faults == nil {
		s.step(&sched.WorkerBeat{Heartbeat: protocol.Heartbeat{ID: w.ID, Incarnation: w.Incarnation, ClockEpoch: s.epoch}})
	}
}

// ask queries a worker's state; the term gets nil if no answer arrives in time.
func (x *scheduler) ask(q sched.WorkerQuestion) {
	s, h, open := x.world, x.world.byWorker[q.ID], true
	answer := func(r protocol.Result) {
		if open {
			x.step(&sched.WorkerAnswered{WorkerQuestion: q, State: r.State, Obeys: r.Epoch})
		}
		open = false
	}
	a := protocol.Action{
		ID: protocol.ActionID(q.Number), Issuer: x.epoch<<8 + questionIssuer, Kind: protocol.GetWorkerState,
		Incarnation: q.Incarnation, Epoch: q.Epoch, Lean: q.Lean, Latest: protocol.Never,
	}
	if s.faults == nil { // before the first request, so it may take no time
		state := h.state()
		answer(protocol.Result{State: &state})
		return
	}
	s.command(h, a, answer)
	s.background(sched.AnswerWait, func() { answer(protocol.Result{}) })
}

// step applies one event to the term and carries out its output.
func (x *scheduler) step(e sched.TermEvent) {
	s := x.world
	if x.dead {
		return
	}
	if x.stopped > s.now {
		x.hold(e)
		return
	}
	switch e.(type) {
	case *sched.Tick, *sched.HeartbeatDue:
	default:
		if x.disconnectedUntil > s.now {
			return
		}
	}
	out := x.term.Step(s.now, e)
	if !x.deposed {
		s.config.Observers.Step(s.now, e, out)
	}
	x.wake = out.Wake
	x.wakeDeposed()
	for _, a := range out.Actions {
		x.order(a)
	}
	for i := range out.Dispatches {
		if d := &out.Dispatches[i]; s.openRequest(d.ID) != nil {
			x.send(nil, event{kind: dispatched, of: s.byWorker[d.Worker], seq: keyOf(d.ID), size: cold(d), epoch: d.Epoch})
		}
	}
	for i := range out.Refusals {
		d := &out.Refusals[i]
		s.report.Refusals++
		x.send(nil, event{kind: refused, of: d.Refusal, seq: keyOf(d.ID), epoch: d.Epoch})
	}
	if len(out.Verdicts)+len(out.Questions)+len(out.Owed) > 0 {
		x.carryOutOwed(out)
	}
	asked := slices.Clone(out.Ask)
	for _, n := range out.Notes {
		switch n.Kind {
		case sched.NoteWorkerJoined:
			s.report.Faults.Joined++
		case sched.NoteWorkerLost:
			s.report.Faults.Missed++
		case sched.NoteForgotten:
			x.missedAt = s.now
		}
	}
	switch {
	case out.Resign != "" && !x.deposed:
		s.broken("G7", "the scheduler that holds the lease gives it up: %s", out.Resign)
	case out.Resign != "":
		s.report.Faults.Resigned++
		x.end()
	case out.Activated && !x.deposed:
		s.serve()
	}
	for _, q := range asked {
		x.ask(q) // which may step the term again
	}
}

// hold keeps what reaches a scheduler that stands still. No heartbeat is due to it then,
// and its timer fires by itself.
func (x *scheduler) hold(e sched.TermEvent) {
	switch of := e.(type) {
	case *sched.HeartbeatDue, *sched.Tick:
		return
	case *sched.Submitted:
		copied := *of
		e = &copied
	case *sched.Result:
		copied := *of
		e = &copied
	}
	x.world.later(x.stopped.Sub(x.world.now), func() { x.step(e) })
}

// wakeDeposed schedules the timer of a scheduler that is not the world's own.
func (x *scheduler) wakeDeposed() {
	if wake := x.due(); x.deposed && wake != protocol.Never {
		x.world.background(max(0, wake.Sub(x.world.now)), func() {
			if x.due() <= x.world.now {
				x.step(&sched.Tick{})
			}
		})
	}
}

// end ends the process of a scheduler.
func (x *scheduler) end() {
	if x.dead {
		return
	}
	s := x.world
	s.deadStats = withDead(s.deadStats, x.core.Stats())
	x.dead, x.wake = true, protocol.Never
	s.deposed = slices.DeleteFunc(s.deposed, func(o *scheduler) bool { return o == x })
}

// order sends an action to its worker.
func (x *scheduler) order(a sched.Addressed) {
	s := x.world
	o := &sent{s.byWorker[a.Worker], a.Action}
	o.action.Requests = append([]protocol.RequestRef(nil), a.Action.Requests...)
	for _, ref := range o.action.Requests {
		if r := s.openRequest(ref.ID); r != nil {
			r.ordered = true
		}
	}
	s.hash = mix(s.hash, uint64(a.Action.ID)^uint64(a.Action.Latest)<<8)
	x.send(o.to, event{kind: ordered, of: o})
}

// send sends a message from the scheduler, from or to a worker if it is not nil.
func (x *scheduler) send(h *host, e event) {
	s := x.world
	delay := s.network.delay()
	if x.disconnectedUntil > s.now {
		s.report.Faults.Lost++
		return
	}
	s.send(h, delay, e)
}

// cold is 1 for a dispatch whose weights must be loaded first.
func cold(d *protocol.Dispatch) int32 {
	if d.Cold {
		return 1
	}
	return 0
}

// activateAtOnce activates the scheduler without a startup, with exact profiles.
func (s *world) activateAtOnce() {
	state := s.withoutWorkers()
	for _, h := range s.hosts {
		state.Workers = append(state.Workers, h.state())
	}
	s.activate(state)
}

// withoutWorkers returns the state for an activation, without workers.
func (s *world) withoutWorkers() protocol.ClockworkState {
	state := protocol.ClockworkState{PageSize: s.config.PageSize, Models: s.specs}
	seen := map[string]bool{}
	for i := range s.models {
		if m := &s.models[i]; !seen[m.Digest] {
			seen[m.Digest] = true
			state.Profiles = append(state.Profiles, profile(m, s.config.Noise.Spread))
		}
	}
	return state
}

// profile returns the profile that the profiler would have measured.
func profile(m *model, spread float64) protocol.Profile {
	measured := func(d time.Duration) protocol.Measurement {
		p99 := max(1, time.Duration(float64(d)*(1+2.33*spread)))
		return protocol.Measurement{Samples: 100, Min: min(max(1, d), p99), P50: min(max(1, d), p99), P99: p99, Max: p99}
	}
	p := protocol.Profile{
		Digest: m.Digest, Backend: m.Backend, BackendVersion: m.BackendVersion,
		GPUType: gpuType, LoadWeights: measured(m.Network.Transfer),
	}
	for _, b := range m.BatchSizes {
		p.Infer = append(p.Infer, protocol.BatchMeasurement{Batch: b, Measurement: measured(m.Network.Execution(b))})
	}
	if m.measured != nil {
		m.measured.Profile(&p)
	}
	return p
}

// These are the emulated workers' GPU type and backend.
const (
	gpuType = "v100"
	backend = "emulated"
)

// nameOf returns the id of worker i.
func nameOf(i int) string { return fmt.Sprintf("w%d", i) }
