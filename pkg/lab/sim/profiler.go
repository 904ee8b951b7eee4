package sim

import (
	"math"
	"time"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/core/measure"
	"clockwork/pkg/core/startup"
	"clockwork/pkg/protocol"
)

// profiler is the simulated shell around pkg/core/measure. It survives restarts
// of the controller, whose terms have distinct job ids. Its accesses to the
// store take no time.
type profiler struct {
	world   *world
	machine *measure.Machine
	workers workerWatch
	alarm   protocol.Time // when a Tick is due
}

func newProfiler(s *world) *profiler {
	config := measure.DefaultConfig()
	config.Issuer = profilerIssuer
	machine, err := measure.New(config)
	if err != nil {
		panic(err) // the config is our own
	}
	p := &profiler{world: s, machine: machine, alarm: protocol.Never}
	p.workers.report = func(w liveness.Change) { p.step(measure.OfWorker(w)) }
	return p
}

// begin takes a job of the controller; base distinguishes the jobs of different
// terms.
func (p *profiler) begin(job startup.ProfilingJob, base uint64) {
	for _, w := range job.Workers {
		p.workers.Expect(protocol.Heartbeat{Service: protocol.Worker, ID: w.ID, Incarnation: w.Incarnation})
	}
	p.step(measure.JobGiven{Job: protocol.ProfileJob{ID: base + job.Job, Models: job.Models, Workers: job.Workers, Known: job.Known}})
}

// heartbeat is what the controller is told, with the job in the ids of its term.
func (p *profiler) heartbeat(base uint64) protocol.Heartbeat {
	h := p.machine.Heartbeat(true)
	h.Service, h.ID = protocol.Profiler, "1"
	if h.Job != 0 {
		h.Job -= base
	}
	return h
}

// step applies one event to the machine, and the events that follow from it
// without delay.
func (p *profiler) step(e measure.Event) {
	for next := []measure.Event{e}; len(next) > 0; next = next[1:] {
		out := p.machine.Step(p.world.now, next[0])
		for _, a := range out.Actions {
			p.send(a)
		}
		profiles := p.world.controller.store.profiles
		if out.Read != nil {
			read := measure.ProfilesRead{Job: out.Read.Job}
			for _, key := range out.Read.Keys {
				if profile, found := profiles[key.Digest]; found {
					read.Profiles = append(read.Profiles, profile)
				}
			}
			next = append(next, read)
		}
		for _, s := range out.Store {
			profiles[s.Profile.Digest] = s.Profile
			p.world.report.Startup.Measured += measure.DefaultConfig().Iterations
			next = append(next, measure.ProfileStored{Token: s.Token})
		}
		if out.Report != nil {
			p.report(out.Report)
		}
		p.wakeAt(out.Wake)
	}
}

// send sends an action to its worker.
func (p *profiler) send(a measure.WorkerAction) {
	s := p.world
	s.command(s.byWorker[a.Worker], a.Action, func(r protocol.Result) { p.step(measure.ActionResult{Result: r}) })
}

// report sends the report of a job to the controller.
func (p *profiler) report(r *protocol.ProfileReport) {
	s := p.world
	for _, profile := range r.Profiles {
		s.compare(profile)
	}
	s.later(s.network.delay(), func() { s.controller.measured(r) })
}

// wakeAt schedules a Tick at `at`, unless one is due earlier.
func (p *profiler) wakeAt(at protocol.Time) {
	if at >= p.alarm {
		return
	}
	p.alarm = at
	p.world.background(max(0, at.Sub(p.world.now)), func() {
		p.alarm = protocol.Never
		p.step(measure.Tick{})
	})
}

// compare records the largest relative error of a profile against the true
// durations.
func (s *world) compare(p protocol.Profile) {
	network := s.models[0].Network
	for i := range s.models {
		if s.models[i].Digest == p.Digest {
			network = s.models[i].Network
			break
		}
	}
	wrong := func(measured, is time.Duration) {
		if is > 0 {
			s.report.Startup.Error = max(s.report.Startup.Error, math.Abs(float64(measured-is))/float64(is))
		}
	}
	wrong(p.LoadWeights.P50, network.Transfer)
	for _, b := range p.Infer {
		wrong(b.P50, network.Execution(b.Batch))
	}
}
