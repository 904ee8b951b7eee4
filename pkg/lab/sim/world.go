package sim

import (
	"fmt"
	"slices"
	"time"

	"clockwork/pkg/adapter/backend/zoo"
	"clockwork/pkg/core/clocksync"
	"clockwork/pkg/core/liveness"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/core/work/virtual"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// world is one simulation.
type world struct {
	*scheduler
	outage
	deposed      []*scheduler // alive, and without the lease
	config       Config
	events       eventQueue
	now          protocol.Time
	event        event // the current one
	idle         int   // future events that do not keep the run alive
	source       *workload.Source
	loads        []workload.Load
	length       time.Duration // of the workload
	begun        bool          // the workload has started, at zero
	zero         protocol.Time
	ended        protocol.Time // when a request was last unanswered
	network      networkModel
	jitter       jitter
	models       []model // by index of the instance
	specs        []protocol.ModelSpec
	byName       map[string]*model
	pendingCalls map[commandKey]func(protocol.Result) // of the controller and the profiler
	hosts        []*host
	byWorker     map[string]*host
	doors        []*door // by id-1, the dead ones too
	open         int     // requests without an answer
	inboxes      map[string]*request
	// brokerBack is when the broker is back, lostBefore the number of the last event that
	// was made before it went. stillSince is since when the scheduler has missed nothing.
	brokerBack, undisturbedSince protocol.Time
	lostBefore                   uint64
	buffered                     bufferedRequests
	faults                       *faultInjector // nil in a run without faults
	controller                   *controller    // nil in a run without a startup
	report                       *Report
	hash                         uint64
	err                          error // the first broken guarantee
}

// Progress is called from time to time with a run's virtual time.
type Progress func(now, of time.Duration)

// Run simulates a workload until it ends and every request is answered. The
// error names an invalid part of the config or the workload, or the first broken
// guarantee with seed, time and event.
func Run(config Config, w workload.Workload, progress Progress) (*Report, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	s, err := newWorld(config, w)
	if err != nil {
		return nil, err
	}
	s.start()
	s.run(progress)
	s.checkRest()
	if s.err != nil {
		return nil, fmt.Errorf("simulate %s: %w", w.Name, s.err)
	}
	s.finish()
	return s.report, nil
}

func newWorld(config Config, w workload.Workload) (*world, error) {
	if config.pace == (pace{}) {
		config.pace = pace{protocol.HeartbeatEvery, liveness.CampaignEvery, clocksync.QueryEvery}
	}
	s := &world{
		config: config, length: w.Length, loads: w.Loads, scheduler: &scheduler{},
		byName: map[string]*model{}, inboxes: map[string]*request{}, pendingCalls: map[commandKey]func(protocol.Result){}, byWorker: map[string]*host{},
		network: networkModel{config.Network, newRNG(config.Seed, seedOfNetwork)},
		jitter:  jitter{config.Noise, newRNG(config.Seed, seedOfNoise)},
	}
	instances := w.Instances()
	s.models = make([]model, len(instances))
	for i, in := range instances {
		network := config.Hardware.Network(in.Path)
		if network == nil {
			return nil, fmt.Errorf("simulate %s: the zoo has no model %s", w.Name, in.Path)
		}
		s.models[i] = model{ModelSpec: network.Spec(backend, zoo.Version, config.PageSize, config.MaxBatch), Network: network, measured: config.Hardware.Find(in.Path)}
		s.models[i].Name = in.Name
		s.models[i].AnyBatch = !config.Padded
		s.specs = append(s.specs, s.models[i].ModelSpec)
		s.byName[in.Name] = &s.models[i]
	}
	var err error
	s.source, err = w.Source(func(path string) time.Duration { return config.Hardware.Network(path).Execution(1) })
	if err != nil {
		return nil, err
	}
	if s.core, err = policies.New(config.Policy, config.Core); err != nil {
		return nil, err
	}
	s.report = newReport(config, w)
	return s, nil
}

// start makes the workers and the fault injector, and brings the stack up.
func (s *world) start() {
	s.elect(s.core)
	s.newDoor()
	for i := range s.config.Workers {
		s.newHost(nameOf(i))
	}
	if s.config.Startup.On {
		s.startUp()
	}
	if s.config.Faults.Any() {
		s.faults = newFaultInjector(s)
		draw, readings := newRNG(s.config.Seed, seedOfClocks), newRNG(s.config.Seed, seedOfReadings)
		for _, h := range s.hosts {
			h.startClock(s.config.Faults, draw, readings)
		}
		s.faults.startBeats()
	}
	if s.controller == nil {
		s.activateAtOnce()
	}
}

// begin starts the workload at the activation; the workload's time counts from
// here.
func (s *world) begin() {
	if s.begun {
		return
	}
	s.begun, s.zero, s.report.zero, s.ended = true, s.now, s.now, s.now
	s.handOver()
}

// over reports whether the workload has ended and everything is answered.
func (s *world) over() bool {
	return s.begun && s.open == 0 && s.source.Peek() == protocol.Never
}

// run processes everything in order of time; at equal times first events, then
// the core's wake-up, then arrivals.
func (s *world) run(progress Progress) {
	spins := 0
	for reported := protocol.Time(0); s.err == nil; {
		event, wake, arrival := s.events.next(), s.due(), s.arrival()
		next := min(event, wake, arrival)
		if next == protocol.Never || arrival == protocol.Never && s.atRest() {
			return
		}
		s.now = max(s.now, next)
		if progress != nil && s.now.Sub(reported) >= time.Second {
			reported = s.now
			progress(max(0, s.now.Sub(s.zero)), s.length)
		}
		switch next {
		case event:
			spins = 0
			s.event = s.events.take()
			s.happen(&s.event)
		case wake:
			s.wake = protocol.Never
			s.report.Steps++
			if spins++; spins > maxSpins {
				s.broken("G11", "the core has itself woken for ever")
			}
			s.step(&sched.Tick{})
		default:
			a, _ := s.source.Next()
			s.arrive(a)
		}
	}
}

// maxSpins bounds the core's wake-ups in a row without any other event.
const maxSpins = 100_000

// arrival returns when the next request is sent.
func (s *world) arrival() protocol.Time {
	at := s.source.Peek()
	switch {
	case !s.begun:
		return protocol.Never
	case at == protocol.Never:
		return at
	}
	return at.Add(time.Duration(s.zero))
}

// atRest reports whether no work is left. With faults that includes the core's
// timers, and workers that will come back.
func (s *world) atRest() bool {
	if !s.begun || s.open > 0 {
		s.ended = s.now
		return false
	}
	if s.faults != nil && s.now > s.ended.Add(restWithin) {
		s.broken("G11", "the stack does not come to rest within %v: %s", restWithin, s.whyNotAtRest())
	}
	return len(s.events.heap) == s.idle && !slices.ContainsFunc(s.hosts, (*host).Waits) && (s.faults == nil || s.wake == protocol.Never && len(s.deposed) == 0 && s.together())
}

// whyNotAtRest says what keeps the stack from rest.
func (s *world) whyNotAtRest() string {
	text := fmt.Sprintf("%d events, wake %v, %d deposed schedulers, the scheduler is silent: %v", len(s.events.heap)-s.idle, s.wake, len(s.deposed), s.scheduler.silent())
	for _, h := range s.hosts {
		text += fmt.Sprintf("; %s#%d is silent: %v, joined: %v, heard %v, missed %v", h.ID(), h.Incarnation(), h.silent(),
			s.term.Has(h.ID(), h.Incarnation()), h.heard, h.missed)
	}
	return text + "\n" + s.term.String()
}

// together reports whether the scheduler has the current incarnation of every
// worker, and has heard how it is since it missed anything of the worker.
func (s *world) together() bool {
	for _, h := range s.hosts {
		if h.silent() || h.heard <= h.missed || s.scheduler.silent() || !s.term.Has(h.ID(), h.Incarnation()) {
			return false
		}
	}
	return true
}

// happen processes one event.
func (s *world) happen(e *event) {
	s.hash = mix(s.hash, uint64(e.at)^uint64(e.kind)<<56^e.seq<<24)
	s.report.Events++
	if s.faults != nil && (s.lostWithBroker(e) || s.faults.holds(*e)) {
		return
	}
	switch e.kind {
	case atDoor:
		s.take(e.of.(*request))
	case submitted:
		s.submitted(*e)
	case ordered:
		o := e.of.(*sent)
		o.to.wakeClock()
		o.to.Receive(o.action)
	case dispatched:
		s.dispatched(*e)
	case staged:
		e.of.(*host).Input(idOf(e.seq), int64(e.size))
	case ended:
		r := e.of.(*virtual.Run)
		r.GPU.Worker.End(r)
	case woken:
		s.idle--
		e.of.(*host).Wake(e.seq)
	case reported:
		r := e.of.(*protocol.Result)
		s.schedulers(func(x *scheduler) {
			if r.Issuer == x.issuer() {
				x.result.Result = *r
				x.step(&x.result)
			}
		})
	case answered:
		s.outputAt(*e)
	case refused:
		s.refused(*e)
	case due:
		e.of.(*door).tick()
	case called, messaged:
		e.of.(func())()
	case waiting:
		s.idle--
		e.of.(func())()
	}
	if s.report.Events%accountsEvery == 0 {
		s.checkAccounts()
	}
}

// lostWithBroker reports whether an event is a message that was under way when the broker
// was restarted.
func (s *world) lostWithBroker(e *event) bool {
	if s.events.taken > s.lostBefore || !e.kind.message() {
		return false
	}
	s.report.Faults.Lost++
	if r, is := e.of.(*request); is {
		s.abandon(r)
	}
	return true
}

// accountsEvery is the number of events between two checks of the accounts.
const accountsEvery = 4096

// after schedules an event after d.
func (s *world) after(d time.Duration, e event) {
	e.at = s.now.Add(d)
	s.events.add(e)
}

// later calls do after d; for rare events.
func (s *world) later(d time.Duration, do func()) { s.after(d, event{kind: called, of: do}) }

// background calls do after d; the call does not keep the run alive.
func (s *world) background(d time.Duration, do func()) {
	s.idle++
	s.after(d, event{kind: waiting, of: do})
}

// send delivers a message from or to worker h (nil: no worker) after d, subject
// to faults.
func (s *world) send(h *host, d time.Duration, e event) {
	if s.faults == nil {
		s.after(d, e)
		return
	}
	s.faults.carry(h, d, e)
}

// sendCall is send for rare messages.
func (s *world) sendCall(h *host, d time.Duration, do func()) {
	s.send(h, d, event{kind: messaged, of: do})
}

// mix adds a value to a hash.
func mix(h, v uint64) uint64 {
	h = (h ^ v) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}
