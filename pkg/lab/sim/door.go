package sim

import (
	"time"

	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// door is the front door: it keeps each request until its one answer.
type door struct {
	slots []request
	free  []int32
	open  int
}

// request is one that is open. Its slot is used again for others; life tells
// them apart.
type request struct {
	arrival  workload.Arrival
	life     uint32
	ordered  bool // a worker was sent an action with it
	taken    protocol.Time
	deadline protocol.Time
	cold     bool
	open     bool
	early    bool // it came before activation
}

// doorID is the only front door's.
const doorID = 1

// slotBits of a request's number are its slot, the rest its life.
const slotBits = 24

func (d *door) keep(a workload.Arrival) int32 {
	d.open++
	var slot int32
	if n := len(d.free); n > 0 {
		slot = d.free[n-1]
		d.free = d.free[:n-1]
	} else {
		slot = int32(len(d.slots))
		d.slots = append(d.slots, request{})
	}
	r := &d.slots[slot]
	*r = request{arrival: a, life: r.life + 1, open: true}
	return slot
}

// at returns the request of an event, nil if it was answered.
func (d *door) at(slot int32, life uint32) *request {
	if r := &d.slots[slot]; r.life == life {
		return r
	}
	return nil
}

func (d *door) drop(slot int32) {
	d.slots[slot].life++
	d.slots[slot].open = false
	d.free = append(d.free, slot)
	d.open--
}

// id names a request; never two alike.
func (r *request) id(slot int32) protocol.RequestID { return id(slot, r.life) }

func id(slot int32, life uint32) protocol.RequestID {
	return protocol.RequestID{Door: doorID, Seq: uint64(life)<<slotBits | uint64(slot)}
}

func where(id protocol.RequestID) (slot int32, life uint32) {
	return int32(id.Seq & (1<<slotBits - 1)), uint32(id.Seq >> slotBits)
}

// arrive sends a request from its client.
func (s *world) arrive(a workload.Arrival) {
	if a.SLO == 0 {
		a.SLO = s.config.DefaultSLO
	}
	slot := s.door.keep(a)
	s.report.offered(a)
	s.after(s.link.delay(), event{kind: atDoor, slot: slot, life: s.door.slots[slot].life})
}

// take has the request at the door: its deadline counts from now.
func (s *world) take(e event) {
	r := &s.door.slots[e.slot]
	r.taken, r.deadline = s.now, s.now.Add(r.arrival.SLO)
	if s.unheard {
		s.report.Faults.Waited++
	} else {
		s.tell(r, e)
	}
	s.after(r.arrival.SLO, event{kind: due, slot: e.slot, life: e.life})
}

// tell submits a request to the scheduler.
func (s *world) tell(r *request, e event) {
	message := event{kind: submitted, slot: e.slot, life: e.life}
	if s.trouble != nil {
		said := s.submission(r, e.slot)
		message.of = &said // it may outlive the request
	}
	s.send(nil, s.link.delay(), message)
}

// submission is what the scheduler is told of a request now.
func (s *world) submission(r *request, slot int32) protocol.Submission {
	return protocol.Submission{
		ID: r.id(slot), Model: s.models[r.arrival.Model].Name, Batch: r.arrival.Batch,
		Budget: r.deadline.Sub(s.now), Elapsed: s.now.Sub(r.taken),
	}
}

// submitted has a request at the scheduler, which ignores it before it is
// activated. Without faults every message finds it open, and need not say what it
// says.
func (s *world) submitted(e event) {
	if !s.started() {
		return
	}
	s.submit.Epoch = s.epoch
	if s.trouble != nil {
		s.submit.Submission = *e.of.(*protocol.Submission)
		s.step(&s.submit)
		return
	}
	if r := s.door.at(e.slot, e.life); r != nil {
		s.submit.Submission = s.submission(r, e.slot)
		s.step(&s.submit)
	}
}

// forward sends the payload to the worker that is to run the request.
func (s *world) forward(e event) {
	r := s.door.at(e.slot, e.life)
	if r == nil {
		return
	}
	h, size := e.of.(*host), s.models[r.arrival.Model].ItemBytes()*int64(r.arrival.Batch)
	s.send(h, s.link.payload(size), event{kind: staged, of: h, slot: e.slot, life: e.life, size: int32(size)})
}

// answer gives a request its one answer.
func (s *world) answer(e event, code protocol.Code) {
	r := s.door.at(e.slot, e.life)
	if r == nil {
		return
	}
	if code == protocol.OK && s.now > r.deadline {
		code = protocol.DeadlineExceeded
	}
	if code == protocol.DeadlineExceeded && r.ordered && !r.early {
		s.report.Missed++
	}
	s.checkAnswer(r, code)
	back := s.now.Add(s.link.delay())
	if r.early {
		s.early.answered(s.report.Startup, code)
	} else {
		s.report.answered(s.now, r, code)
		s.source.Done(r.arrival, back.Add(-time.Duration(s.zero)))
	}
	s.door.drop(e.slot)
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
