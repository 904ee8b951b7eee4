package sim

import (
	"fmt"
	"time"

	"clockwork/pkg/emulation"
	"clockwork/pkg/protocol"
	"clockwork/pkg/sched"
	"clockwork/pkg/workload"
	"clockwork/pkg/zoo"
)

// world is one simulation.
type world struct {
	config   Config
	calendar calendar
	now      protocol.Time
	wake     protocol.Time
	core     sched.Core
	source   *workload.Source
	link     link
	noise    noise
	models   []emulation.Model // by index of the instances
	specs    []protocol.ModelSpec
	byName   map[string]*emulation.Model
	hosts    []*host
	byWorker map[string]*host
	door     door
	submit   sched.Submit
	result   sched.Result
	report   *Report
	hash     uint64
}

// Progress is told of a run's virtual time from time to time.
type Progress func(now, of time.Duration)

// Run simulates a workload until it ends and everything is answered.
func Run(config Config, w workload.Workload, progress Progress) (*Report, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	s, err := newWorld(config, w)
	if err != nil {
		return nil, err
	}
	s.activate()
	s.run(progress, w.Length)
	s.finish()
	return s.report, nil
}

func newWorld(config Config, w workload.Workload) (*world, error) {
	s := &world{
		config: config, wake: protocol.Never, byName: map[string]*emulation.Model{}, byWorker: map[string]*host{},
		link:  link{config.Network, dice(config.Seed, 1)},
		noise: noise{config.Noise, dice(config.Seed, 2)},
	}
	instances := w.Instances()
	s.models = make([]emulation.Model, len(instances))
	for i, in := range instances {
		network := zoo.Find(in.Path)
		if network == nil {
			return nil, fmt.Errorf("simulate %s: the zoo has no model %s", w.Name, in.Path)
		}
		s.models[i] = emulation.Model{ModelSpec: network.Spec("emulated", zoo.Version, config.PageSize, config.MaxBatch), Network: network}
		s.models[i].Name = in.Name
		s.models[i].AnyBatch = !config.Padded
		s.specs = append(s.specs, s.models[i].ModelSpec)
		s.byName[in.Name] = &s.models[i]
	}
	var err error
	s.source, err = w.Source(func(path string) time.Duration { return zoo.Find(path).Execution(1) })
	if err != nil {
		return nil, err
	}
	if s.core, err = sched.New(config.Policy, config.Core); err != nil {
		return nil, err
	}
	s.report = newReport(config, w)
	return s, nil
}

// activate tells the core of the models, their profiles and the workers.
func (s *world) activate() {
	state := protocol.ClockworkState{PageSize: s.config.PageSize, Models: s.specs}
	seen := map[string]bool{}
	for i := range s.models {
		if m := &s.models[i]; !seen[m.Digest] {
			seen[m.Digest] = true
			state.Profiles = append(state.Profiles, profile(m, s.config.Noise.Spread))
		}
	}
	s.step(&sched.Activate{Epoch: 1, Issuer: 1, State: state})
	for i := range s.config.Workers {
		s.step(&sched.WorkerJoined{State: s.newHost(fmt.Sprintf("w%d", i)).state()})
	}
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

const gpuType = "v100"

// run lets everything happen in the order of time: events, then the core's
// wake-up, then arrivals.
func (s *world) run(progress Progress, length time.Duration) {
	for told := protocol.Time(0); ; {
		event, arrival := s.calendar.next(), s.source.Peek()
		next := min(event, s.wake, arrival)
		if next == protocol.Never || arrival == protocol.Never && s.door.open == 0 && event == protocol.Never {
			return
		}
		s.now = max(s.now, next)
		if progress != nil && s.now.Sub(told) >= time.Second {
			told = s.now
			progress(time.Duration(s.now), length)
		}
		switch next {
		case event:
			s.happen(s.calendar.take())
		case s.wake:
			s.wake = protocol.Never
			s.report.Steps++
			s.step(&sched.Tick{})
		default:
			a, _ := s.source.Next()
			s.arrive(a)
		}
	}
}

// happen carries out one event.
func (s *world) happen(e event) {
	s.hash = mix(s.hash, uint64(e.at)^uint64(e.kind)<<56^uint64(uint32(e.slot))<<24)
	s.report.Events++
	switch e.kind {
	case atDoor:
		s.take(e)
	case submitted:
		s.submission(e)
	case ordered:
		o := e.order()
		o.Worker.Receive(o)
	case dispatched:
		s.forward(e)
	case staged:
		o := e.order()
		o.Worker.Stage(o, int(e.lane))
	case ended:
		o := e.order()
		o.Worker.End(o)
	case woken:
		e.of.(*emulation.GPU).Wake(int(e.lane))
	case reported:
		s.result.Result = e.order().Result()
		s.step(&s.result)
	case answered:
		s.answer(e, protocol.OK)
	case refused:
		s.answer(e, e.of.(protocol.Code))
	case due:
		s.answer(e, protocol.DeadlineExceeded)
	}
}

// after puts an event d from now.
func (s *world) after(d time.Duration, e event) {
	e.at = s.now.Add(d)
	s.calendar.add(e)
}

// mix folds a value into a hash.
func mix(h, v uint64) uint64 {
	h = (h ^ v) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}
