package sim

import (
	"math"
	"time"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/core/measure"
	"clockwork/pkg/core/startup"
	"clockwork/pkg/protocol"
)

// profiler is the shell around pkg/core/measure, as services/profiler is. It
// survives the controller's terms, whose jobs have ids of their own; reading and
// writing the store takes it no time.
type profiler struct {
	world   *world
	machine *measure.Machine
	watch   liveness.Watch // of the workers
	alarm   protocol.Time  // when a Tick is due
}

func newProfiler(s *world) *profiler {
	config := measure.DefaultConfig()
	config.Issuer = profilerIssuer
	machine, err := measure.New(config)
	if err != nil {
		panic(err) // it is ours
	}
	return &profiler{world: s, machine: machine, alarm: protocol.Never}
}

// begin takes a job of the controller; base tells its jobs from those of others.
func (p *profiler) begin(job startup.ProfilingJob, base uint64) {
	for _, w := range job.Workers {
		p.watch.Expect(protocol.Heartbeat{Service: protocol.Worker, ID: w.ID, Incarnation: w.Incarnation})
	}
	p.step(measure.JobGiven{Job: protocol.ProfileJob{ID: base + job.Job, Models: job.Models, Workers: job.Workers, Known: job.Known}})
}

// working returns the job for a heartbeat, as that controller understands it; 0
// when idle.
func (p *profiler) working(base uint64) uint64 {
	if job := p.machine.Job(); job != 0 {
		return job - base
	}
	return 0
}

// heard has a worker's heartbeat arrive.
func (p *profiler) heard(h protocol.Heartbeat) {
	if replaced, _ := p.watch.Beat(h); replaced != nil {
		p.step(measure.WorkerLost{ID: replaced.ID, Incarnation: replaced.Incarnation})
	}
	p.step(measure.WorkerSeen{ID: h.ID, Incarnation: h.Incarnation})
}

// watches counts for the workers, and misses those that are silent.
func (p *profiler) watches() {
	for _, h := range p.watch.Tick() {
		p.step(measure.WorkerLost{ID: h.ID, Incarnation: h.Incarnation})
	}
}

// step gives the machine one event, and what comes of that at once.
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

// send has an action on its way to its worker.
func (p *profiler) send(a measure.WorkerAction) {
	s := p.world
	s.command(s.byWorker[a.Worker], a.Action, func(r protocol.Result) { p.step(measure.ActionResult{Result: r}) })
}

// report tells the controller what came of a job.
func (p *profiler) report(r *protocol.ProfileReport) {
	s := p.world
	for _, profile := range r.Profiles {
		s.compare(profile)
	}
	s.later(s.network.delay(), func() { s.controller.measured(r) })
}

// wakeAt sees to it that a Tick comes at that time at the latest.
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

// compare notes how wrong a profile is.
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
