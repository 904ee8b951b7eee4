package sim

import (
	"math"
	"slices"
	"time"

	"clockwork/pkg/core/startup"
	"clockwork/pkg/lab/emulation"
	"clockwork/pkg/protocol"
)

// profiler measures the models on the emulated GPUs, as services/profiler does:
// every GPU takes the next model, transfers its weights a few times, and runs it
// at each of its batch sizes. Each profile is stored as it is made.
type profiler struct {
	world   *world
	job     startup.ProfilingJob
	term    uint64 // whose job it is
	running bool
	units   []*unit
	lanes   []*measuring
	left    int // units that are not measured
	bad     []startup.Quarantine
	action  protocol.ActionID
}

// unit is one model, of which copies are one.
type unit struct {
	model   *emulation.Model
	profile protocol.Profile
	tries   int
}

// measuring is one unit at work on one GPU.
type measuring struct {
	gpu     *emulation.GPU
	unit    *unit
	plan    []measure
	samples []time.Duration
	waits   protocol.ActionID // for this one's result
}

// measure is one action of a plan. Counts: its time is a sample; last: it is the
// last one of them.
type measure struct {
	kind         protocol.Kind
	batch        int
	counts, last bool
}

// The profiler's defaults.
const (
	iterations    = 10
	actionTimeout = 30 * time.Second
	maxTries      = 3
)

// working returns the job for a heartbeat, 0 when idle or at another term's.
func (p *profiler) working(term uint64) uint64 {
	if !p.running || p.term != term {
		return 0
	}
	return p.job.Job
}

// begin takes a job; what was under way is left.
func (p *profiler) begin(job startup.ProfilingJob, term uint64) {
	if p.running && p.term == term && p.job.Job == job.Job {
		return
	}
	s := p.world
	p.job, p.term, p.running, p.units, p.lanes, p.bad = job, term, true, nil, nil, nil
	seen := map[string]bool{}
	for _, m := range job.Models {
		if _, stored := s.controller.store.profiles[m.Digest]; seen[m.Digest] || stored {
			continue
		}
		seen[m.Digest] = true
		u := &unit{model: s.byName[m.Name], profile: protocol.Profile{
			Digest: m.Digest, Backend: m.Backend, BackendVersion: m.BackendVersion, GPUType: gpuType,
		}}
		if m.Pages > s.config.Pages {
			p.bad = append(p.bad, startup.Quarantine{Digest: m.Digest, Reason: "no GPU of this type could hold it"})
			continue
		}
		p.units = append(p.units, u)
	}
	p.left = len(p.units)
	for _, w := range job.Workers {
		for _, g := range s.byWorker[w.ID].GPUs {
			lane := &measuring{gpu: g}
			p.lanes = append(p.lanes, lane)
			p.next(lane)
		}
	}
	p.report()
}

// next gives a lane another unit.
func (p *profiler) next(lane *measuring) {
	lane.unit = nil
	if len(p.units) > 0 {
		lane.unit, p.units = p.units[0], p.units[1:]
		lane.plan = plan(lane.unit.model)
		p.send(lane)
	}
}

// plan is what is done with a model.
func plan(m *emulation.Model) []measure {
	all := []measure{{kind: protocol.ClearCache}}
	for i := range iterations {
		if i > 0 {
			all = append(all, measure{kind: protocol.EvictWeights})
		}
		all = append(all, measure{kind: protocol.LoadWeights, counts: true, last: i == iterations-1})
	}
	for _, batch := range m.BatchSizes {
		for i := range iterations + 1 { // the first one does not count
			all = append(all, measure{kind: protocol.Infer, batch: batch, counts: i > 0, last: i == iterations})
		}
	}
	return append(all, measure{kind: protocol.EvictWeights})
}

// send has a lane's next action on its way. One that gives no result costs the
// unit its GPU for this time.
func (p *profiler) send(lane *measuring) {
	s, w, m := p.world, lane.gpu.Worker, lane.plan[0]
	p.action++
	id := p.action
	lane.waits = id
	a := protocol.Action{
		ID: id, Issuer: profilerIssuer, Incarnation: w.Incarnation, Epoch: w.Epoch(), Kind: m.kind, GPU: lane.gpu.ID,
		Model: lane.unit.model.Name, Batch: m.batch, Latest: protocol.Never,
	}
	h := w.World().(*host)
	if m.kind == protocol.ClearCache {
		s.command(h, a, func(r protocol.Result) { p.ended(r.Action, r.Code, 0) })
	} else {
		s.send(h, s.link.delay(), event{kind: ordered, of: &emulation.Order{Worker: w, Model: lane.unit.model, Action: a, Latest: protocol.Never}})
	}
	s.background(actionTimeout, func() {
		if lane.waits == id {
			p.failed(lane, "no result")
		}
	})
}

// result has an order's at the profiler.
func (p *profiler) result(o *emulation.Order) { p.ended(o.Action.ID, o.Code, o.Took()) }

func (p *profiler) ended(id protocol.ActionID, code protocol.Code, took time.Duration) {
	at := slices.IndexFunc(p.lanes, func(lane *measuring) bool { return lane.waits == id })
	if at < 0 {
		return // of an earlier job, or too late
	}
	lane := p.lanes[at]
	if code != protocol.OK {
		p.failed(lane, string(code))
		return
	}
	m := lane.plan[0]
	lane.plan = lane.plan[1:]
	if m.counts {
		p.world.report.Startup.Measured++
		lane.samples = append(lane.samples, took)
	}
	if m.last {
		lane.unit.add(m, summarize(lane.samples))
		lane.samples = nil
	}
	if len(lane.plan) > 0 {
		p.send(lane)
		return
	}
	p.left--
	lane.waits = 0
	p.world.controller.store.profiles[lane.unit.profile.Digest] = lane.unit.profile
	p.world.compare(lane.unit)
	p.next(lane)
	p.report()
}

// failed begins a unit anew, elsewhere or later; after some times it is given up.
func (p *profiler) failed(lane *measuring, why string) {
	lane.waits, lane.samples = 0, nil
	u := lane.unit
	u.profile.Infer = nil
	if u.tries++; u.tries > maxTries {
		p.left--
		p.bad = append(p.bad, startup.Quarantine{Digest: u.profile.Digest, Reason: why})
	} else {
		p.units = append(p.units, u)
	}
	p.next(lane)
	p.report()
}

// report tells the controller once nothing is left.
func (p *profiler) report() {
	if p.left > 0 || !p.running {
		return
	}
	p.running = false
	s, term := p.world, p.term
	done := startup.ProfilingDone{Job: p.job.Job, Profiles: sorted(s.controller.store.profiles), Quarantined: p.bad}
	s.later(s.link.delay(), func() {
		if term == s.controller.term {
			s.controller.step(done)
		}
	})
}

// add puts a measurement into the profile.
func (u *unit) add(m measure, measured protocol.Measurement) {
	if m.kind == protocol.LoadWeights {
		u.profile.LoadWeights = measured
		return
	}
	u.profile.Infer = append(u.profile.Infer, protocol.BatchMeasurement{Batch: m.batch, Measurement: measured})
}

// summarize reads off what a profile has of some samples.
func summarize(samples []time.Duration) protocol.Measurement {
	slices.Sort(samples)
	at := func(q float64) time.Duration { return samples[int(math.Ceil(q*float64(len(samples)-1)))] }
	return protocol.Measurement{Samples: len(samples), Min: samples[0], P50: at(0.5), P99: at(0.99), Max: at(1)}
}

// compare notes how wrong a profile is.
func (s *world) compare(u *unit) {
	wrong := func(measured, is time.Duration) {
		if is > 0 {
			s.report.Startup.Error = max(s.report.Startup.Error, math.Abs(float64(measured-is))/float64(is))
		}
	}
	wrong(u.profile.LoadWeights.P50, u.model.Network.Transfer)
	for _, b := range u.profile.Infer {
		wrong(b.P50, u.model.Network.Execution(b.Batch))
	}
}
