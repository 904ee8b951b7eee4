package sim

import (
	"math"
	"time"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/core/quota"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// door drives pkg/core/frontdoor.
type door struct {
	core *frontdoor.Machine
	wake protocol.Time
	open int // requests without an answer

	inbound  frontdoor.Inbound // reused for every event, as the fields below
	decoded  frontdoor.Decoded
	dispatch frontdoor.Dispatched
	arrived  frontdoor.OutputArrived
	output   protocol.Output
}

// request is a client's request, from its sending to its one answer.
type request struct {
	arrival         workload.Arrival
	taken, deadline protocol.Time // as the front door sees them
	submitted       bool          // to a scheduler, at least once
	ordered         bool          // a worker was sent an action with it
	cold            bool
	early           bool // sent before activation
}

// doorID is the id of the only front door, inbox the reply subject of every
// client.
const (
	doorID = 1
	inbox  = "_INBOX.client"
)

// newDoor makes a front door without limits: the simulation is about the
// scheduler.
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

// take delivers a request to the front door.
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

// stepDoor applies one event to the front door and carries out its output. For
// an Inbound event it returns the admitted request.
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

// submitFrom sends a submission to the scheduler. The loss of a front door is
// not simulated, so the submission carries no client's inbox.
func (s *world) submitFrom(r *frontdoor.Request) {
	client := r.Driver.(*request)
	if client.submitted {
		s.report.Faults.Resubmitted++
	}
	client.submitted, client.taken, client.deadline = true, r.Arrived, r.Deadline
	message := event{kind: submitted, of: r}
	if s.faults != nil {
		said := s.submission(r)
		message.of = &said // a message with faults may outlive the request
	}
	s.send(nil, s.network.delay(), message)
}

// submission returns the current submission of a request.
func (s *world) submission(r *frontdoor.Request) protocol.Submission {
	return r.Submission(s.now).Submission
}

// submitted delivers a submission to the scheduler, which ignores it before its
// activation. Without faults the event holds the request itself and its
// submission is built on delivery.
func (s *world) submitted(e event) {
	s.schedulers(func(x *scheduler) {
		if !x.started() {
			return
		}
		x.submit.Epoch = s.epoch
		switch of := e.of.(type) {
		case *protocol.Submission:
			x.submit.Submission = *of
		case *frontdoor.Request:
			if !s.door.core.Open(of.ID.Seq) {
				return
			}
			x.submit.Submission = s.submission(of)
		}
		x.step(&x.submit)
	})
}

// dispatched delivers to the front door which worker executes a request.
func (s *world) dispatched(e event) {
	d := &s.door.dispatch
	d.Dispatch = protocol.Dispatch{ID: protocol.RequestID{Door: doorID, Seq: e.seq}, Kind: protocol.ToWorker, Worker: e.of.(*host).ID(), Cold: e.size > 0}
	s.stepDoor(d)
}

// refused delivers a scheduler's refusal to the front door.
func (s *world) refused(e event) {
	d := &s.door.dispatch
	d.Dispatch = protocol.Dispatch{ID: protocol.RequestID{Door: doorID, Seq: e.seq}, Kind: protocol.Refuse, Refusal: e.of.(*protocol.Error)}
	s.stepDoor(d)
}

// outputAt delivers a worker's output to the front door.
func (s *world) outputAt(e event) {
	d := &s.door
	d.output = protocol.Output{ID: protocol.RequestID{Door: doorID, Seq: e.seq}, Items: int(e.size)}
	d.arrived = frontdoor.OutputArrived{Worker: e.of.(*host).ID(), Output: &d.output}
	s.stepDoor(&d.arrived)
}

// wakeDoor sends a Tick to the front door.
func (s *world) wakeDoor() {
	s.door.wake = protocol.Never
	s.stepDoor(&frontdoor.Tick{})
}

// answer counts and sends a request's one answer to its client.
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

// finish completes the report.
func (s *world) finish() {
	s.report.Hash = s.hash
	s.report.Took = s.now.Sub(s.zero)
	s.report.Core = forgotten(s.core.Stats(), s.past)
	for _, h := range s.hosts {
		s.report.GPUs = append(s.report.GPUs, h.uses...)
	}
}
