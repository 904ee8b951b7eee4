package sim

import (
	"fmt"
	"time"

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

// early is the buffer of requests that came before activation.
type early struct {
	waiting []buffered // in order of arrival
	open    int        // handed on, and not answered
}

type buffered struct {
	arrival workload.Arrival
	stored  protocol.Time
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
		d := dice(s.config.Seed, seedOfEarly)
		var send func()
		send = func() {
			if s.begun {
				return
			}
			s.store(workload.Arrival{Model: d.IntN(len(s.models)), SLO: s.config.DefaultSLO, Batch: 1})
			s.later(exponential(d, time.Duration(1e9/rate)), send)
		}
		s.later(0, send)
	}
}

// store keeps an early request, until the controller answers it for being late.
func (s *world) store(a workload.Arrival) {
	s.report.Startup.Early++
	s.early.waiting = append(s.early.waiting, buffered{a, s.now})
	s.later(bufferTimeout, s.controller.expire)
}

// handOn gives the front door what waited for activation, in order. Its SLO
// begins now.
func (s *world) handOn() {
	if s.controller == nil {
		return
	}
	r := s.report.Startup
	r.Took = s.now.Sub(0)
	for _, b := range s.early.waiting {
		r.HandedOn++
		s.early.open++
		slot := s.door.keep(b.arrival)
		s.door.slots[slot].early = true
		s.take(event{slot: slot, life: s.door.slots[slot].life})
	}
	s.early.waiting = nil
	if r.Early != r.HandedOn+r.TimedOut {
		s.broken("G3", "%d requests were stored, %d answered and %d handed on", r.Early, r.TimedOut, r.HandedOn)
	}
}

// answered counts an early request's answer.
func (e *early) answered(r *StartupReport, code protocol.Code) {
	e.open--
	if code == protocol.OK {
		r.OK++
	}
}
