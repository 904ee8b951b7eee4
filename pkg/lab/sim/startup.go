package sim

import (
	"fmt"
	"time"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// Startup is the phase before activation: the stack runs pkg/core/startup. Clients
// load the workload's models, 10 s later the emulated GPUs are measured, and the
// scheduler is activated with what was measured.
type Startup struct {
	On bool
	// Early is how many requests a second clients send meanwhile, to any model.
	// They wait in the buffer and are not among those that the report is about.
	Early float64
}

func (s Startup) validate() error {
	if !(s.Early >= 0 && s.Early <= 1e6) || s.Early > 0 && !s.On {
		return fmt.Errorf("validate startup: %v early requests a second: expected 0 to 1000000, with a startup", s.Early)
	}
	return nil
}

// StartupReport is what happened before activation, and what became of requests
// that came so early.
type StartupReport struct {
	// Took is how long it was until the activation.
	Took time.Duration `json:"took_ns"`
	// Loads were answered OK; Measured actions made the profiles, whose medians
	// are wrong by up to Error, as a part of the zoo's times.
	Loads    int     `json:"loads"`
	Measured int     `json:"measured"`
	Error    float64 `json:"profile_error"`
	// Early requests were stored: of these TimedOut got BUFFER_TIMEOUT, HandedOn
	// went to the scheduler, and OK of those were answered in time.
	Early    int `json:"early"`
	TimedOut int `json:"timed_out"`
	HandedOn int `json:"handed_on"`
	OK       int `json:"ok"`
}

// bufferTimeout is how long a request waits for activation.
const bufferTimeout = 10 * time.Second

// early is the startup buffer: requests that came before activation, by their numbers
// in it. The front door keeps it too.
type bufferedRequests struct {
	stored []*request // by number, from 1 on
	open   int        // handed over, and not answered
}

// startUp begins a startup instead of an activated stack.
func (s *world) startUp() {
	s.report.Startup = &StartupReport{}
	s.controller = newController(s)
	s.later(0, s.controller.start)
	for i := range s.hosts {
		h := s.hosts[i]
		s.later(time.Duration(i+1)*time.Millisecond, func() { s.controller.heard(protocol.Heartbeat{ID: h.ID(), Incarnation: h.Incarnation()}) })
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

// stored has a request in the buffer at once, where its keeper sees it.
func (s *world) stored(r *frontdoor.Request) {
	client := r.Driver.(*request)
	s.buffered.stored = append(s.buffered.stored, client)
	seq := uint64(len(s.buffered.stored))
	s.stepDoor(&frontdoor.Stored{Request: r})
	s.stepDoor(&frontdoor.BufferSeen{Seq: seq, Model: r.Name, Reply: inbox, Budget: client.arrival.SLO, Driver: client})
}

// claim takes requests out of the buffer at once.
func (s *world) claim(claims []frontdoor.Claim) {
	for _, c := range claims {
		client := c.Driver.(*request)
		s.stepDoor(&frontdoor.Claimed{Seq: c.Seq, Mine: true, Read: frontdoor.Decoded{Batch: client.arrival.Batch}})
	}
}

// handOver has the front door see that requests are served: what waited for activation
// is submitted, in order, and its SLO begins now.
func (s *world) handOver() {
	before := s.report.Startup
	if before != nil {
		before.Took = s.now.Sub(0)
		before.HandedOn = before.Early - before.TimedOut
		s.buffered.open = before.HandedOn
	}
	s.stepDoor(&frontdoor.StageSeen{Stage: protocol.Active})
	s.frontDoorHears(s.epoch)
	if before != nil && s.door.core.Snapshot().Waiting > 0 {
		s.broken("G3", "%d requests still wait after the activation", s.door.core.Snapshot().Waiting)
	}
}

// frontDoorHears has the front door hear that the scheduler of an epoch is active.
func (s *world) frontDoorHears(epoch uint64) {
	s.stepDoor(&frontdoor.SchedulerBeat{Heartbeat: protocol.Heartbeat{ID: schedulerID(epoch), Incarnation: epoch, Epoch: epoch, State: protocol.SchedulerActive}})
}

// answered counts an early request's answer.
func (e *bufferedRequests) answered(r *StartupReport, code protocol.Code) {
	e.open--
	if code == protocol.OK {
		r.OK++
	}
}
