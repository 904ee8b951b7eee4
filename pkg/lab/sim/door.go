package sim

import (
	"math"
	"time"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/core/quota"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// door is the front door: pkg/core/frontdoor, which decides, and when it is woken.
type door struct {
	core *frontdoor.Machine
	wake protocol.Time
	open int // requests that were sent and have no answer

	inbound  frontdoor.Inbound // used for each, as those below are
	decoded  frontdoor.Decoded
	dispatch frontdoor.Dispatched
	arrived  frontdoor.OutputArrived
	output   protocol.Output
}

// request is a client's, from when it is sent to its one answer.
type request struct {
	arrival         workload.Arrival
	taken, deadline protocol.Time // as the front door has them
	submitted       bool          // to a scheduler, at least once
	ordered         bool          // a worker was sent an action with it
	cold            bool
	early           bool // it came before activation
}

// doorID is the only front door's, inbox where every client waits.
const (
	doorID = 1
	inbox  = "_INBOX.client"
)

// newDoor opens a front door without limits: what is simulated is the scheduler.
func (s *world) newDoor() {
	c := frontdoor.Defaults()
	c.ID, c.Subjects, c.DefaultSLO, c.BufferTimeout = doorID, protocol.Subjects{Prefix: "clockwork"}, s.config.DefaultSLO, bufferTimeout
	c.MaxInFlight, c.MaxInFlightBytes, c.MaxPayload, c.StoreSlots = math.MaxInt, math.MaxInt64, math.MaxInt64, math.MaxInt
	c.Limits = quota.Rules{Others: quota.Unlimited, Anonymous: quota.Unlimited, OtherModels: quota.Unlimited}
	s.door = door{core: frontdoor.New(c), wake: protocol.Never}
	s.door.inbound.Reply = inbox
	for i := range s.specs {
		s.stepDoor(&frontdoor.ModelSeen{Spec: s.specs[i]})
	}
}

// arrive sends a request from its client.
func (s *world) arrive(a workload.Arrival) {
	if a.SLO == 0 {
		a.SLO = s.config.DefaultSLO
	}
	s.door.open++
	s.report.offered(a)
	s.after(s.network.delay(), event{kind: atDoor, of: &request{arrival: a}})
}

// take has a request at the front door.
func (s *world) take(r *request) {
	m, d := &s.models[r.arrival.Model], &s.door
	d.inbound.Model = m.Name
	admitted := s.stepDoor(&d.inbound)
	if admitted == nil {
		s.broken("G1", "a request for %s is not admitted", m.Name)
		return
	}
	admitted.Driver = r
	r.taken, r.deadline = s.now, s.now.Add(r.arrival.SLO)
	if d.core.Epoch() == 0 && !r.early {
		s.report.Faults.Waited++
	}
	d.decoded = frontdoor.Decoded{Request: admitted, SLO: r.arrival.SLO, Batch: r.arrival.Batch}
	s.stepDoor(&d.decoded)
}

// stepDoor gives the front door one event and carries out what it decided; it returns
// the request of an Inbound event.
func (s *world) stepDoor(e frontdoor.Event) *frontdoor.Request {
	out := s.door.core.Step(s.now, e)
	admitted, store := out.Admitted, out.Store
	for _, r := range out.Submit {
		s.submitFrom(r)
	}
	for _, in := range out.Inputs {
		size := in.Request.Model.ItemBytes() * int64(in.Request.Batch)
		h := s.byWorker[in.Worker]
		s.send(h, s.network.payload(size), event{kind: staged, of: h, seq: in.Request.ID.Seq, size: int32(size)})
	}
	if out.Wake < s.door.wake {
		s.door.wake = out.Wake
		s.after(max(0, out.Wake.Sub(s.now)), event{kind: due})
	}
	for i := range out.Ended {
		s.answer(&out.Ended[i])
	}
	if len(out.Claim) > 0 {
		s.claim(append([]frontdoor.Claim(nil), out.Claim...))
	}
	if store != nil {
		s.stored(store)
	}
	return admitted
}

// submitFrom has a submission on its way to the scheduler. Who answers for a front door
// that is lost is not simulated here, so nobody's inbox goes along.
func (s *world) submitFrom(r *frontdoor.Request) {
	client := r.Driver.(*request)
	if client.submitted {
		s.report.Faults.Resubmitted++
	}
	client.submitted, client.taken, client.deadline = true, r.Arrived, r.Deadline
	message := event{kind: submitted, of: r}
	if s.faults != nil {
		said := s.submission(r)
		message.of = &said // it may outlive the request
	}
	s.send(nil, s.network.delay(), message)
}

// submission is what the scheduler is told of a request now.
func (s *world) submission(r *frontdoor.Request) protocol.Submission {
	return r.Submission(s.now).Submission
}

// submitted has a request at the scheduler, which ignores it before it is
// activated. Without faults every message finds it open, and need not say what it
// says.
func (s *world) submitted(e event) {
	if !s.started() {
		return
	}
	s.submit.Epoch = s.epoch
	switch of := e.of.(type) {
	case *protocol.Submission:
		s.submit.Submission = *of
	case *frontdoor.Request:
		if !s.door.core.Open(of.ID.Seq) {
			return
		}
		s.submit.Submission = s.submission(of)
	}
	s.step(&s.submit)
}

// dispatched has the scheduler's word at the front door: which worker runs a request.
func (s *world) dispatched(e event) {
	d := &s.door.dispatch
	d.Dispatch = protocol.Dispatch{ID: protocol.RequestID{Door: doorID, Seq: e.seq}, Kind: protocol.ToWorker, Worker: e.of.(*host).ID(), Cold: e.size > 0}
	s.stepDoor(d)
}

// refused has a refusal at the front door.
func (s *world) refused(e event) {
	d := &s.door.dispatch
	d.Dispatch = protocol.Dispatch{ID: protocol.RequestID{Door: doorID, Seq: e.seq}, Kind: protocol.Refuse, Refusal: e.of.(*protocol.Error)}
	s.stepDoor(d)
}

// outputAt has an output of a worker at the front door.
func (s *world) outputAt(e event) {
	d := &s.door
	d.output = protocol.Output{ID: protocol.RequestID{Door: doorID, Seq: e.seq}, Items: int(e.size)}
	d.arrived = frontdoor.OutputArrived{Worker: e.of.(*host).ID(), Output: &d.output}
	s.stepDoor(&d.arrived)
}

// wakeDoor lets time pass for the front door.
func (s *world) wakeDoor() {
	s.door.wake = protocol.Never
	s.stepDoor(&frontdoor.Tick{})
}

// answer has a request's one answer on its way to the client.
func (s *world) answer(e *frontdoor.Ended) {
	r, code := e.Request.Driver.(*request), protocol.OK
	if e.Refusal != nil {
		code = e.Refusal.Code
	}
	r.cold = e.Request.Cold
	if e.Request.Buffered != 0 && e.Request.ID.Seq == 0 {
		s.report.Startup.TimedOut++
		return
	}
	if code == protocol.DeadlineExceeded && r.ordered && !r.early {
		s.report.Missed++
	}
	s.checkAnswer(r, code)
	back := s.now.Add(s.network.delay())
	if r.early {
		s.buffered.answered(s.report.Startup, code)
		return
	}
	s.report.answered(s.now, r, code)
	s.source.Done(r.arrival, back.Add(-time.Duration(s.zero)))
	s.door.open--
}

// finish closes the report.
func (s *world) finish() {
	s.report.Hash = s.hash
	s.report.Took = s.now.Sub(s.zero)
	s.report.Core = forgotten(s.core.Stats(), s.past)
	for _, h := range s.hosts {
		s.report.GPUs = append(s.report.GPUs, h.uses...)
	}
}
