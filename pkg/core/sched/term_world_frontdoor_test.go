package sched

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/core/liveness"
	"clockwork/pkg/core/quota"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/simtime"
)

// wDoor is a front door's process: the core of all front doors (package frontdoor), driven in
// the order in which its service does it.
type wDoor struct {
	simtime.Process
	w     *termWorld
	id    uint64
	core  *frontdoor.Machine
	watch liveness.Watch
	wake  protocol.Time // of its timer
	dead  bool
	died  protocol.Time
	quiet bool // it takes no more requests
	sent  uint64
	open  map[uint64]*wRequest // that have no answer of this front door, by RequestID.Seq
	simtime.Link
}

// wRequest is a request, as nobody in the world knows it.
type wRequest struct {
	door     *wDoor
	seq      uint64
	inbox    string
	deadline protocol.Time
	answers  int
	excused  bool // it may have none
}

func (w *termWorld) openDoor() {
	id := uint64(len(w.doors) + 1)
	c := frontdoor.Defaults()
	c.ID, c.Subjects, c.DefaultSLO, c.BufferTimeout = id, wSubjects, 100*time.Millisecond, time.Second
	c.MaxInFlight, c.MaxInFlightBytes, c.MaxInFlightOutputs, c.MaxPayload = 1<<20, 1<<30, 1<<30, 1<<20
	c.Limits = quota.Rules{Others: quota.Unlimited, Anonymous: quota.Unlimited, OtherModels: quota.Unlimited}
	d := &wDoor{Process: simtime.Process{Clock: &w.Clock}, Link: simtime.NewLink(), w: w, id: id, core: frontdoor.New(c), wake: protocol.Never, open: map[uint64]*wRequest{}}
	w.doors = append(w.doors, d)
	d.step(&frontdoor.StageSeen{Stage: protocol.Active})
	for _, m := range wModels {
		d.step(&frontdoor.ModelSeen{Spec: m})
	}
	d.Each(protocol.HeartbeatEvery, d.beat)
	d.Each(protocol.HeartbeatEvery, d.missSchedulers)
	d.Each(w.pace, d.accept)
	d.Each(600*time.Millisecond, func() {
		if w.faulty() {
			d.suffer()
		}
	})
}

// suffer draws a fault now and then.
func (d *wDoor) suffer() {
	switch p := d.w.RNG.Float64(); {
	case p < 0.07:
		d.die()
	case p < 0.15:
		d.PausedUntil = d.w.Now.Add(d.w.UpTo(1200 * time.Millisecond))
	case p < 0.30:
		d.cut()
	}
}

func (w *termWorld) doorOf(id uint64) *wDoor { return w.doors[id-1] }

// beat tells the schedulers that the front door is there, and of an epoch that they should not
// believe.
func (d *wDoor) beat() {
	d.mindLink()
	if !d.Connected {
		return
	}
	h := d.core.Heartbeat(protocol.FrontDoorOpen)
	h.Service, h.ID = protocol.FrontDoor, protocol.DoorName(d.id)
	if d.w.chance(0.2) {
		h.Epoch = d.w.lie()
		d.w.happened.doorLies++
	}
	d.say(&FrontDoorBeat{Heartbeat: h})
}

// schedulerBeat takes the heartbeat of a scheduler.
func (d *wDoor) schedulerBeat(h protocol.Heartbeat) {
	if !d.Connected {
		return
	}
	if replaced, _ := d.watch.Beat(h); replaced != nil {
		d.event(&frontdoor.SchedulerLost{Heartbeat: *replaced})
	}
	d.event(&frontdoor.SchedulerBeat{Heartbeat: h})
}

func (d *wDoor) missSchedulers() {
	for _, h := range d.watch.Tick() {
		d.event(&frontdoor.SchedulerLost{Heartbeat: h})
	}
}

// accept takes a client's request: once there was a scheduler, for this world has no startup
// buffer.
func (d *wDoor) accept() {
	w := d.w
	if d.quiet || d.core.LastEpoch() == 0 || w.Now > w.end.Add(time.Second) || !d.Connected {
		return
	}
	d.mindLink()
	d.sent++
	w.happened.requests++
	r := &wRequest{door: d, inbox: fmt.Sprintf("_INBOX.%d.%d", d.id, d.sent)}
	w.requests[r.inbox] = r
	model := wModels[w.RNG.IntN(len(wModels))]
	admitted := d.step(&frontdoor.Inbound{Model: model.Name, Reply: r.inbox}).Admitted
	budget := 20*time.Millisecond + w.UpTo(400*time.Millisecond)
	if w.chance(0.1) {
		budget += w.UpTo(2 * time.Second) // its front door may be back in time
	}
	r.deadline = w.Now.Add(budget)
	d.take(r, admitted, frontdoor.Decoded{Request: admitted, SLO: budget, Batch: 1, Generated: w.chance(0.5)})
}

// take has the core serve a request, or answers why it does not.
func (d *wDoor) take(r *wRequest, admitted *frontdoor.Request, e frontdoor.Decoded) {
	if admitted == nil || d.step(&e).Rejected != nil {
		d.reply(r)
		return
	}
	r.seq = admitted.ID.Seq
	if d.core.Open(r.seq) {
		d.open[r.seq] = r
	}
}

// event is a step that comes from outside: the state of the connection is reported before it.
func (d *wDoor) event(e frontdoor.Event) {
	d.mindLink()
	d.step(e)
}

func (d *wDoor) step(e frontdoor.Event) *frontdoor.Output {
	left := d.core.Snapshot().Left
	out := d.core.Step(d.w.Now, e)
	d.checkAccounts(out)
	d.carryOut(out)
	if d.core.Snapshot().Left > left {
		d.abandoned(e)
	}
	return out
}

// checkAccounts: what came in is answered, left to a scheduler, or in flight (G13).
func (d *wDoor) checkAccounts(out *frontdoor.Output) {
	s := d.core.Snapshot()
	decoding := int64(0)
	if out.Admitted != nil {
		decoding = 1
	}
	if s.Received != s.Answered+s.Left+int64(s.InFlight)+decoding {
		d.w.broken("G13: the accounts of front door %d do not close: %+v", d.id, s)
	}
}

func (d *wDoor) carryOut(out *frontdoor.Output) {
	for _, r := range out.Submit {
		d.submit(d.core.LastEpoch(), r)
	}
	for _, q := range out.Ask {
		d.submit(q.Epoch, q.Request)
	}
	for _, in := range out.Inputs {
		id, x := in.Request.ID, d.w.worker(in.Worker)
		d.Publish(&d.w.Clock, func() { d.w.loose(x.On(func() { x.core.Input(id, 0) })) }, func() {})
	}
	d.answer(out.Ended)
	if out.Wake < d.wake {
		d.wake = out.Wake
		d.w.After(out.Wake.Sub(d.w.Now), d.On(d.tick))
	}
}

func (d *wDoor) tick() {
	if d.wake <= d.w.Now {
		d.wake = protocol.Never
		d.event(&frontdoor.Tick{})
	}
}

// submit gives a request to the scheduler; one without budget asks whose it is.
func (d *wDoor) submit(epoch uint64, r *frontdoor.Request) {
	d.say(&AnswersReported{FrontDoor: d.id, Epoch: epoch})
	d.say(&Submitted{Epoch: epoch, Submitted: r.Submission(d.w.Now)})
}

// answer claims requests where a scheduler has them, and answers them then.
func (d *wDoor) answer(ended []frontdoor.Ended) {
	claim := &AnswersReported{FrontDoor: d.id, Epoch: d.core.LastEpoch()}
	for i := range ended {
		if ended[i].Claim {
			claim.Answered = append(claim.Answered, ended[i].Request.ID.Seq)
		}
	}
	if len(claim.Answered) > 0 {
		d.say(claim)
	}
	for i := range ended {
		if e := &ended[i]; e.Refusal == nil {
			d.w.happened.ok++
			if d.w.Now >= e.Request.Deadline {
				d.w.broken("G2: front door %d says OK to %v after its deadline", d.id, e.Request.ID)
			}
		}
		delete(d.open, ended[i].Request.ID.Seq)
		d.reply(d.w.requests[ended[i].Request.Reply])
	}
	if len(ended) > 0 && d.w.faulty() && d.w.chance(0.001) { // the claim is lost with the connection
		d.w.happened.claims++
		d.cut()
	}
}

// output takes what a worker made of a request.
func (d *wDoor) output(worker string, out *protocol.Output) {
	d.event(&frontdoor.OutputArrived{Worker: worker, Output: out})
}

// dispatched takes a decision, or a word on a late answer.
func (d *wDoor) dispatched(x protocol.Dispatch) {
	if d.core.Open(x.ID.Seq) {
		switch x.Kind {
		case protocol.Yours:
			d.w.happened.yours++
		case protocol.Taken:
			d.w.happened.taken++
		}
	}
	d.event(&frontdoor.Dispatched{Dispatch: x})
}

// abandoned notes which requests the front door left to a scheduler: to one that says it has
// answered, or that may have.
func (d *wDoor) abandoned(e frontdoor.Event) {
	word, _ := e.(*frontdoor.Dispatched)
	for _, seq := range slices.Sorted(maps.Keys(d.open)) {
		if d.core.Open(seq) {
			continue
		}
		if word == nil || word.Kind != protocol.Taken {
			d.w.happened.none++
			d.open[seq].excused = true
		}
		delete(d.open, seq)
	}
}

// die ends the process. Another one begins.
func (d *wDoor) die() {
	w := d.w
	d.Incarnation++
	d.dead, d.died = true, w.Now
	d.Lose()
	for seq, r := range d.open { // map order does not matter
		r.excused = r.excused || w.rough || !d.isKnown(seq)
	}
	w.After(w.UpTo(500*time.Millisecond), w.openDoor)
}

// isKnown reports whether the scheduler has a request in its books: then it owes the
// answer. It may have been claimed already.
func (d *wDoor) isKnown(seq uint64) bool {
	for _, s := range d.w.schedulers {
		if s.term == nil {
			continue
		}
		if of := s.term.doors.ledgers[d.id]; of != nil {
			_, waits := of.clients[seq]
			return waits
		}
	}
	return false
}

// answered counts an answer at its client.
func (w *termWorld) answered(inbox string) {
	r := w.requests[inbox]
	if r.answers++; r.answers > 1 {
		w.broken("G1: request %d of front door %d is answered twice", r.seq, r.door.id)
	}
}
