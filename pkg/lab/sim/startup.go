package sim

import (
	"fmt"
	"time"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// Startup configures the phase before activation: the stack runs
// pkg/core/startup. Clients load the workload's models, 10 s later the emulated
// GPUs are measured, and the scheduler is activated with these measurements.
type Startup struct {
	On bool
	// Early is how many requests per second clients send during the startup, to
	// random models. They wait in the startup buffer and are not counted in the
	// report's other figures.
	Early float64
}

func (s Startup) validate() error {
	if !(s.Early >= 0 && s.Early <= 1e6) || s.Early > 0 && !s.On {
		return fmt.Errorf("validate startup: %v early requests a second: expected 0 to 1000000, with a startup", s.Early)
	}
	return nil
}

// StartupReport describes the time before activation, and the answers of
// requests sent then.
type StartupReport struct {
	// Took is the time until the activation.
	Took time.Duration `json:"took_ns"`
	// Loads counts the loads answered OK, Measured the sampled actions of the
	// profiles. Error is the largest relative error of a profile's median.
	Loads    int     `json:"loads"`
	Measured int     `json:"measured"`
	Error    float64 `json:"profile_error"`
	// Early counts the buffered requests. Of these TimedOut got BUFFER_TIMEOUT,
	// HandedOn were submitted to the scheduler, and OK of those were answered in
	// time.
	Early    int `json:"early"`
	TimedOut int `json:"timed_out"`
	HandedOn int `json:"handed_on"`
	OK       int `json:"ok"`
}

// bufferTimeout is how long a request may wait for activation.
const bufferTimeout = 10 * time.Second

// bufferedRequests is the startup buffer: the requests sent before activation,
// by their sequence numbers in it. The front door knows them too.
type bufferedRequests struct {
	stored []*request // by sequence number, which starts at 1
	open   int        // submitted and not answered
}

// startUp starts the stack's startup phase.
func (s *world) startUp() {
	s.report.Startup = &StartupReport{}
	for _, l := range s.loads {
		s.controller.loads = append(s.controller.loads, load{Load: l})
	}
	s.background(startupWithin, func() {
		if !s.begun {
			s.broken("G5", "the stack is not active after %v, but %v", startupWithin, s.controller.store.stage)
		}
	})
	s.later(0, s.controller.start)
	for i := range s.hosts {
		h := s.hosts[i]
		s.later(time.Duration(i+1)*time.Millisecond, func() { s.controller.workers.heard(protocol.Heartbeat{ID: h.ID(), Incarnation: h.Incarnation()}) })
	}
	if rate := s.config.Startup.Early; rate > 0 {
		d := newRNG(s.config.Seed, seedOfEarly)
		var send func()
		send = func() {
			if s.begun {
				return
			}
			s.report.Startup.Early++
			s.take(&request{arrival: workload.Arrival{Model: d.IntN(len(s.models)), SLO: s.config.DefaultSLO, Batch: 1}, early: true})
			s.later(exponential(d, time.Duration(1e9/rate)), send)
		}
		s.later(0, send)
	}
}

// stored writes a request to the buffer without delay and reports it to the
// buffer's owner.
func (s *world) stored(r *frontdoor.Request) {
	client := r.Driver.(*request)
	s.buffered.stored = append(s.buffered.stored, client)
	seq := uint64(len(s.buffered.stored))
	s.doors[0].step(&frontdoor.Stored{Request: r})
	s.doors[0].step(&frontdoor.BufferSeen{BufferedID: frontdoor.BufferedID{Seq: seq}, Model: r.Name, Reply: inbox, Budget: client.arrival.SLO, Driver: client})
}

// claim takes requests out of the buffer without delay.
func (s *world) claim(claims []frontdoor.Claim) {
	for _, c := range claims {
		client := c.Driver.(*request)
		s.doors[0].step(&frontdoor.Claimed{BufferedID: c.BufferedID, Mine: true, Read: frontdoor.Decoded{Batch: client.arrival.Batch}})
	}
}

// handOver reports the activation to the front door: buffered requests are
// submitted in order, and their SLO starts now.
func (s *world) handOver() {
	before := s.report.Startup
	if before != nil {
		before.Took = s.now.Sub(0)
		before.HandedOn = before.Early - before.TimedOut
		s.buffered.open = before.HandedOn
	}
	for _, d := range s.doors {
		d.step(&frontdoor.StageSeen{Stage: protocol.Active})
	}
	s.frontDoorsHear(s.scheduler.heartbeat())
	if before != nil && s.doors[0].core.Snapshot().Waiting > 0 {
		s.broken("G3", "%d requests still wait after the activation", s.doors[0].core.Snapshot().Waiting)
	}
}

// frontDoorsHear delivers a scheduler's heartbeat to the front doors.
func (s *world) frontDoorsHear(beat protocol.Heartbeat) {
	for _, d := range s.doors {
		if !d.away() {
			d.step(&frontdoor.SchedulerBeat{Heartbeat: beat})
		}
	}
}

// answered counts the answer of an early request.
func (e *bufferedRequests) answered(r *StartupReport, code protocol.Code) {
	e.open--
	if code == protocol.OK {
		r.OK++
	}
}
