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
	world *world
	id    uint64
	core  *frontdoor.Machine
	wake  protocol.Time
	ownership

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
	owned
}

// inbox is the reply subject of every client of a front door that lives on.
const inbox = "_INBOX.client"

// doorBits is where the number of a front door begins in a key: that of a request, as
// events have it.
const doorBits = 48

func keyOf(id protocol.RequestID) uint64 { return id.Door<<doorBits | id.Seq }

func idOf(key uint64) protocol.RequestID {
	return protocol.RequestID{Door: key >> doorBits, Seq: key & (1<<doorBits - 1)}
}

// doorOf returns the front door of a request, nil if it is not reached.
func (s *world) doorOf(key uint64) *door {
	d := s.doors[key>>doorBits-1]
	if d.away() {
		return nil
	}
	return d
}

// openRequest returns a request that its front door has not answered yet, nil if there is
// none.
func (s *world) openRequest(id protocol.RequestID) *request {
	if r := s.doors[id.Door-1].core.Request(id.Seq); r != nil {
		return r.Driver.(*request)
	}
	return nil
}

// newDoor makes a front door without limits: the simulation is about the
// scheduler.
func (s *world) newDoor() *door {
	c := frontdoor.Defaults()
	c.ID, c.Subjects, c.DefaultSLO, c.BufferTimeout = uint64(len(s.doors)+1), protocol.Subjects{Prefix: "clockwork"}, s.config.DefaultSLO, bufferTimeout
	c.MaxInFlight, c.MaxInFlightBytes, c.MaxInFlightOutputs, c.MaxPayload, c.StoreSlots = math.MaxInt, math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt
	c.Limits = quota.Rules{Others: quota.Unlimited, Anonymous: quota.Unlimited, OtherModels: quota.Unlimited}
	d := &door{world: s, id: c.ID, core: frontdoor.New(c), wake: protocol.Never}
	d.inbound.Reply = inbox
	s.doors = append(s.doors, d)
	for i := range s.specs {
		d.step(&frontdoor.ModelSeen{Spec: s.specs[i]})
	}
	if s.begun {
		d.step(&frontdoor.StageSeen{Stage: protocol.Active})
	}
	return d
}

// arrive sends a request from its client.
func (s *world) arrive(a workload.Arrival) {
	if a.SLO == 0 {
		a.SLO = s.config.DefaultSLO
	}
	s.open++
	s.report.offered(a)
	s.after(s.network.delay(), event{kind: atDoor, of: &request{arrival: a}})
}

// take delivers a request to a front door.
func (s *world) take(r *request) {
	m, d := &s.models[r.arrival.Model], s.someDoor(r)
	if d == nil {
		s.abandon(r)
		return
	}
	d.inbound.Model = m.Name
	admitted := d.step(&d.inbound)
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
	d.step(&d.decoded)
}

// step applies one event to the front door and carries out its output. For
// an Inbound event it returns the admitted request.
func (d *door) step(e frontdoor.Event) *frontdoor.Request {
	if d.dead {
		return nil
	}
	s := d.world
	out := d.core.Step(s.now, e)
	admitted, store := out.Admitted, out.Store
	for _, r := range out.Submit {
		d.submit(r)
	}
	for _, in := range out.Inputs {
		size := in.Request.Model.ItemBytes() * int64(in.Request.Batch)
		if h := s.byWorker[in.Worker]; d.disconnectedUntil <= s.now {
			s.send(h, s.network.payload(size), event{kind: staged, of: h, seq: keyOf(in.Request.ID), size: int32(size)})
		}
	}
	for _, q := range out.Ask {
		d.submitTo(q.Epoch, q.Request)
	}
	if out.Wake < d.wake {
		d.wake = out.Wake
		s.after(max(0, out.Wake.Sub(s.now)), event{kind: due, of: d})
	}
	d.claim(out.Ended)
	for i := range out.Ended {
		d.answer(&out.Ended[i])
	}
	if len(out.Claim) > 0 {
		s.claim(append([]frontdoor.Claim(nil), out.Claim...))
	}
	if store != nil {
		s.stored(store)
	}
	return admitted
}

// submit sends a submission to the scheduler. Where no front door dies, it carries no
// client's inbox.
func (d *door) submit(r *frontdoor.Request) {
	s, client := d.world, r.Driver.(*request)
	if client.submitted {
		s.report.Faults.Resubmitted++
	}
	client.submitted, client.taken, client.deadline = true, r.Arrived, r.Deadline
	if s.owning() {
		d.submitTo(d.core.LastEpoch(), r)
		return
	}
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

// submitted delivers a submission to the schedulers, which ignore it before their
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
			if s.openRequest(of.ID) == nil {
				return
			}
			x.submit.Submission = s.submission(of)
		}
		x.step(&x.submit)
	})
}

// dispatched delivers to the front door which worker executes a request.
func (s *world) dispatched(e event) {
	if d := s.doorOf(e.seq); d != nil {
		d.dispatch.Dispatch = protocol.Dispatch{ID: idOf(e.seq), Kind: protocol.ToWorker, Epoch: e.epoch, Worker: e.of.(*host).ID(), Cold: e.size > 0}
		d.step(&d.dispatch)
	}
}

// refused delivers a scheduler's refusal to the front door.
func (s *world) refused(e event) {
	if d := s.doorOf(e.seq); d != nil {
		d.dispatch.Dispatch = protocol.Dispatch{ID: idOf(e.seq), Kind: protocol.Refuse, Epoch: e.epoch, Refusal: e.of.(*protocol.Error)}
		d.step(&d.dispatch)
	}
}

// outputAt delivers a worker's output to the front door.
func (s *world) outputAt(e event) {
	if d := s.doorOf(e.seq); d != nil {
		d.output = protocol.Output{ID: idOf(e.seq), Items: int(e.size)}
		d.arrived = frontdoor.OutputArrived{Worker: e.of.(*host).ID(), Output: &d.output}
		d.step(&d.arrived)
	}
}

// tick sends a Tick to the front door.
func (d *door) tick() {
	d.wake = protocol.Never
	d.step(&frontdoor.Tick{})
}

// answer counts and sends a request's one answer to its client.
func (d *door) answer(e *frontdoor.Ended) {
	s := d.world
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
	if r.early {
		s.buffered.answered(s.report.Startup, code)
		return
	}
	if s.owning() {
		d.reply(r, code)
		return
	}
	s.answered(r, code)
}

// answered counts the answer that a client gets.
func (s *world) answered(r *request, code protocol.Code) {
	back := s.now.Add(s.network.delay())
	s.report.answered(s.now, r, code)
	s.source.Done(r.arrival, back.Add(-time.Duration(s.zero)))
	s.open--
}

// finish completes the report.
func (s *world) finish() {
	s.report.Hash = s.hash
	s.report.Took = s.now.Sub(s.zero)
	s.report.Core = withDead(s.core.Stats(), s.deadStats)
	for _, h := range s.hosts {
		s.report.GPUs = append(s.report.GPUs, h.uses...)
	}
}
