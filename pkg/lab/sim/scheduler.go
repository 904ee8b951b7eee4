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
	outage
	core   sched.Core // of the term
	term   *sched.Term
	epoch  uint64 // of the lease
	wake   protocol.Time
	submit sched.Submitted
	result sched.Result
}

// issuer is the identity of the current scheduler.
func (s *scheduler) issuer() uint64 { return s.epoch<<8 + schedulerIssuer }

// These are the identities of the issuers of actions, in the lowest byte.
const (
	schedulerIssuer = iota + 1
	controllerIssuer
	profilerIssuer
	questionIssuer // of the scheduler too
)

// askWait is how long the scheduler waits for a worker's state.
const askWait = 2 * time.Second

// elect starts a new term with the current core.
func (s *world) elect() {
	s.epoch++
	s.dead = false
	s.term = sched.NewTerm(s.core, sched.TermConfig{Epoch: s.epoch, Issuer: s.issuer(), Subjects: protocol.Subjects{Prefix: "clockwork"}})
	s.term.Observe = func(now protocol.Time, e sched.Event, out *sched.Output) {
		if s.config.Record != nil {
			s.config.Record(now, e, *out)
		}
		if s.config.Thorough {
			s.checkStep(*out)
		}
	}
}

// started and serving report whether the scheduler, if alive, is started or
// active.
func (s *scheduler) started() bool { return !s.dead && s.term.Started() }
func (s *scheduler) serving() bool { return !s.dead && s.term.Active() }

// activate starts the epoch. In a run without faults all processes share one
// clock, so the first heartbeats with the clock's epoch follow at once.
func (s *world) activate(state protocol.ClockworkState) {
	s.step(&sched.Started{State: state})
	for _, w := range state.Workers {
		s.beatAtOnce(w)
	}
}

// join announces a worker to the scheduler.
func (s *world) join(w protocol.WorkerState) {
	s.step(&sched.WorkerAnnounced{State: w})
	s.beatAtOnce(w)
}

func (s *world) beatAtOnce(w protocol.WorkerState) {
	if s.faults == nil {
		s.step(&sched.WorkerBeat{Heartbeat: protocol.Heartbeat{ID: w.ID, Incarnation: w.Incarnation, ClockEpoch: s.epoch}})
	}
}

// ask queries a worker's state; the term gets nil if no answer arrives in time.
func (s *world) ask(q sched.WorkerQuestion) {
	h, term, open := s.byWorker[q.ID], s.term, true
	answer := func(r protocol.Result) {
		if open && s.term == term {
			s.step(&sched.WorkerAnswered{WorkerQuestion: q, State: r.State, Obeys: r.Epoch})
		}
		open = false
	}
	a := protocol.Action{
		ID: protocol.ActionID(q.Number), Issuer: s.epoch<<8 + questionIssuer, Kind: protocol.GetWorkerState,
		Incarnation: q.Incarnation, Epoch: q.Epoch, Lean: q.Lean, Latest: protocol.Never,
	}
	if s.faults == nil { // before the first request, so it may take no time
		state := h.state()
		answer(protocol.Result{State: &state})
		return
	}
	s.command(h, a, answer)
	s.background(askWait, func() { answer(protocol.Result{}) })
}

// step applies one event to the term and carries out its output.
func (s *world) step(e sched.TermEvent) {
	if s.dead {
		return
	}
	out := s.term.Step(s.now, e)
	s.wake = out.Wake
	for _, a := range out.Actions {
		s.order(a)
	}
	for i := range out.Dispatches {
		if d := &out.Dispatches[i]; s.door.core.Open(d.ID.Seq) {
			s.send(nil, s.network.delay(), event{kind: dispatched, of: s.byWorker[d.Worker], seq: d.ID.Seq, size: cold(d)})
		}
	}
	for i := range out.Refusals {
		d := &out.Refusals[i]
		s.report.Refusals++
		s.send(nil, s.network.delay(), event{kind: refused, of: d.Refusal, seq: d.ID.Seq})
	}
	asked := slices.Clone(out.Ask)
	for _, n := range out.Notes {
		switch n.Kind {
		case sched.NoteWorkerJoined:
			s.report.Faults.Joined++
		case sched.NoteWorkerLost:
			s.report.Faults.Missed++
		}
	}
	if out.Resign != "" {
		s.broken("G7", "the only scheduler gives up its lease: %s", out.Resign)
	}
	if out.Activated {
		s.serve()
	}
	for _, q := range asked {
		s.ask(q) // which may step the term again
	}
}

// order sends an action to its worker.
func (s *world) order(a sched.Addressed) {
	o := &sent{s.byWorker[a.Worker], a.Action}
	o.action.Requests = append([]protocol.RequestRef(nil), a.Action.Requests...)
	for _, ref := range o.action.Requests {
		if r := s.door.core.Request(ref.ID.Seq); r != nil {
			r.Driver.(*request).ordered = true
		}
	}
	s.hash = mix(s.hash, uint64(a.Action.ID)^uint64(a.Action.Latest)<<8)
	s.send(o.to, s.network.delay(), event{kind: ordered, of: o})
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
	return p
}

// These are the emulated workers' GPU type and backend.
const (
	gpuType = "v100"
	backend = "emulated"
)

// nameOf returns the id of worker i.
func nameOf(i int) string { return fmt.Sprintf("w%d", i) }
