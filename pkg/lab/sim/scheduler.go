package sim

import (
	"fmt"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/emulation"
	"clockwork/pkg/protocol"
)

// scheduler is the shell around the core: whom it knows, and whose clock it
// waits for.
type scheduler struct {
	outage
	core    sched.Core
	wake    protocol.Time
	epoch   uint64
	active  bool
	members map[string]uint64 // the core's workers, and their lives
	joining map[string]protocol.WorkerState
	submit  sched.Submit
	result  sched.Result
}

// issuer is the identity of the scheduler of this epoch.
func (s *scheduler) issuer() uint64 { return s.epoch<<8 + schedulerIssuer }

// The identities of those who send actions, in the lowest byte.
const (
	schedulerIssuer = iota + 1
	controllerIssuer
	profilerIssuer
)

// clockWait is how long activation waits for the workers' clocks.
const clockWait = 2 * time.Second

// activate gives the core its models and workers. Another time is no news.
func (s *world) activate(state protocol.ClockworkState) {
	if s.active || s.dead {
		return
	}
	workers := state.Workers
	state.Workers = nil
	s.active = true
	s.epoch++
	s.step(&sched.Activate{Epoch: s.epoch, Issuer: s.issuer(), State: state})
	for _, w := range workers {
		s.joining[w.ID] = w
	}
	for _, w := range workers {
		s.admit(s.byWorker[w.ID])
	}
	if epoch := s.epoch; !s.serving {
		s.later(clockWait, func() {
			if s.active && s.epoch == epoch {
				s.serve()
			}
		})
	}
}

// join has news of a worker, if it is another one or another life.
func (s *world) join(w protocol.WorkerState) {
	if s.active && s.members[w.ID] != w.Incarnation {
		s.joining[w.ID] = w
		s.admit(s.byWorker[w.ID])
	}
}

// admit lets a worker into the core once its clock is known. The workload begins
// with the last of those that were there at activation.
func (s *world) admit(h *host) {
	w, waits := s.joining[h.ID]
	if !waits || h.clock != nil && !(h.clock.knows(s.epoch) && w.Incarnation == h.Incarnation) {
		return
	}
	delete(s.joining, h.ID)
	s.members[h.ID] = w.Incarnation
	s.report.Faults.Joined++
	s.step(&sched.WorkerJoined{State: w})
	if len(s.joining) == 0 {
		s.serve()
	}
}

// missed says that a worker's heartbeats stayed out.
func (s *world) missed(h *host, incarnation uint64) {
	h.away = incarnation
	if s.joining[h.ID].Incarnation == incarnation {
		delete(s.joining, h.ID)
	}
	if s.members[h.ID] == incarnation {
		s.report.Faults.Missed++
		delete(s.members, h.ID)
		s.step(&sched.WorkerLost{ID: h.ID, Incarnation: incarnation})
	}
	if s.controller != nil {
		s.controller.missed(h, incarnation)
	}
}

// speak has a worker's heartbeats again, of this life or the next. One that was
// missed is asked what it has; where there is no controller, a new life as well.
func (h *host) speak() {
	s := h.world
	if s.controller != nil {
		s.controller.seen(h)
	}
	if h.away == h.Incarnation || s.controller == nil && s.members[h.ID] != h.Incarnation {
		s.later(s.link.delay(), func() {
			if state := h.state(); !h.silent() && s.active {
				s.later(s.link.delay(), func() { s.join(state) })
			}
		})
	}
	h.away = 0
}

// step gives the core one event and carries out what it decided.
func (s *world) step(e sched.Event) {
	if s.dead {
		return
	}
	out := s.core.Step(s.now, e)
	if s.config.Record != nil {
		s.config.Record(s.now, e, out)
	}
	if s.config.Thorough {
		s.checkStep(out)
	}
	s.wake = out.Wake
	for _, a := range out.Actions {
		s.order(a)
	}
	for _, d := range out.Dispatches {
		slot, life := where(d.ID)
		if r := s.door.at(slot, life); r != nil {
			r.cold = d.Cold
			s.send(nil, s.link.delay(), event{kind: dispatched, slot: slot, life: life, of: r.order})
		}
	}
	for _, d := range out.Refusals {
		slot, life := where(d.ID)
		s.report.Refusals++
		s.send(nil, s.link.delay(), event{kind: refused, slot: slot, life: life, of: d.Refusal.Code})
	}
}

// order sends an action to its worker.
func (s *world) order(a sched.Addressed) {
	h := s.byWorker[a.Worker]
	o := &emulation.Order{
		Worker: h.Worker, Model: s.byName[a.Action.Model],
		Action: a.Action, Earliest: a.Action.Earliest, Latest: a.Action.Latest,
	}
	o.Action.Requests = append([]protocol.RequestRef(nil), a.Action.Requests...)
	for _, ref := range o.Action.Requests {
		slot, life := where(ref.ID)
		if r := s.door.at(slot, life); r != nil {
			r.order = o
		}
	}
	o.Await(len(o.Action.Requests))
	s.hash = mix(s.hash, uint64(a.Action.ID)^uint64(a.Action.Latest)<<8)
	s.send(h, s.link.delay(), event{kind: ordered, of: o})
}

// activateAtOnce is a stack that has its startup behind it, with the profiles
// that the zoo's times would give.
func (s *world) activateAtOnce() {
	state := s.withoutWorkers()
	for _, h := range s.hosts {
		state.Workers = append(state.Workers, h.state())
	}
	s.activate(state)
}

// withoutWorkers is what a scheduler is activated with, but the workers.
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

// profile is what the profiler would have measured.
func profile(m *emulation.Model, spread float64) protocol.Profile {
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

// What the emulated workers call themselves.
const (
	gpuType = "v100"
	backend = "emulated"
)

// nameOf is a worker's.
func nameOf(i int) string { return fmt.Sprintf("w%d", i) }
