package frontdoor

import (
	"slices"
	"time"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/core/quota"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// door is a front door's process: a Machine, and around it what its service does
// (services/frontdoor), step by step in the same order.
type door struct {
	process
	id    uint64
	m     *Machine
	books *books
	wake  protocol.Time // when its timer is set to
	watch liveness.Watch
	state fifo // what the store says of stage and models
	owed  int  // events that it owes the machine

	connection
	pending []*Request // to be submitted
	closing bool
}

func worldConfig(id uint64) Config {
	c := testConfig()
	c.ID, c.BufferTimeout, c.Claims = id, 1500*time.Millisecond, 3
	c.MaxInFlight, c.MaxInFlightBytes, c.MaxPayload = 12, 150, 30
	c.SlowSlots, c.LargeSlots, c.LargeBody, c.StoreSlots = 8, 2, 80, 8
	limit := func(change func(*quota.Limit)) quota.Limit {
		l := quota.Unlimited
		change(&l)
		return l
	}
	c.Limits = quota.Rules{
		Tenants: map[string]quota.Limit{
			"alice": limit(func(l *quota.Limit) { l.Requests = 3 }),
			"bob":   limit(func(l *quota.Limit) { l.Bytes = 220 }),
			"carol": limit(func(l *quota.Limit) { l.Rate, l.Burst = 10, 3 }),
		},
		Others: quota.Unlimited, Anonymous: quota.Unlimited, OtherModels: quota.Unlimited,
		Models: map[string]quota.Limit{"b": limit(func(l *quota.Limit) { l.Requests = 6 })},
	}
	return c
}

// openDoor begins a front door, which reads the state and has troubles of its own.
func (w *world) openDoor() {
	w.opened++
	d := &door{process: process{w: w}, id: w.opened, m: New(worldConfig(w.opened)), wake: protocol.Never}
	d.connected, d.sees = true, true
	d.books = newBooks(d)
	w.doors = append(w.doors, d)
	for _, name := range []string{"a", "b"} {
		if w.models[name] {
			d.state.send(w, d.on(func() { d.heed(&ModelSeen{spec(name)}) }))
		}
	}
	stage := w.stage
	d.state.send(w, d.on(func() { d.heed(&StageSeen{stage}) }))
	d.each(protocol.HeartbeatEvery, d.beat)
	d.each(protocol.HeartbeatEvery, d.missSchedulers)
	d.each(500*time.Millisecond, d.trouble)
}

// trouble is what happens to a front door now and then.
func (d *door) trouble() {
	if !d.w.faulty() || d.closing {
		return
	}
	switch n := d.w.rng.IntN(40); {
	case n == 0:
		d.die()
	case n == 1:
		d.w.happens("stopped")
		d.close()
	case n < 6:
		d.w.happens("stood still")
		d.still = d.w.now.Add(d.w.upTo(1200 * time.Millisecond))
		if d.w.one(2) {
			d.cut()
		}
	case n < 10:
		d.cut()
	}
}

// someDoor is a front door that the broker sends requests, nil if there is none.
func (w *world) someDoor() *door {
	var open []*door
	for _, d := range w.doors {
		if d.connected && !d.closing {
			open = append(open, d)
		}
	}
	if len(open) == 0 {
		return nil
	}
	return open[w.rng.IntN(len(open))]
}

// doorOf finds a front door that lives.
func (w *world) doorOf(id uint64) *door {
	at := slices.IndexFunc(w.doors, func(d *door) bool { return d.id == id })
	if at < 0 {
		return nil
	}
	return w.doors[at]
}

// heed minds the connection before an event.
func (d *door) heed(e Event) *Output {
	d.mindConnection()
	return d.step(e)
}

// step gives the machine one event, has the books look at it, and does what it says.
func (d *door) step(e Event) *Output {
	out := d.m.Step(d.w.now, e)
	d.w.note("%d %T %d %d %d %d %d", d.id, e, len(out.Submit), len(out.Ended), len(out.Ask), len(out.Claim), out.Wake)
	d.books.check(e, out)
	d.carryOut(out)
	return out
}

func (d *door) carryOut(out *Output) {
	d.pending = append(d.pending, out.Submit...)
	for _, in := range out.Inputs {
		d.sendInput(in)
	}
	for _, c := range out.Claim {
		d.owed++
		d.w.stream.claim(d, c)
	}
	for _, q := range out.Ask {
		d.submit(q.Epoch, q.Request)
	}
	d.answer(out.Ended)
	if out.Store != nil {
		d.owed++
		d.w.stream.store(d, out.Store)
	}
	if len(out.Ended) > 0 || d.w.one(3) {
		d.flush()
	} else if len(d.pending) > 0 {
		d.w.after(d.w.upTo(time.Millisecond), d.on(d.flush))
	}
	d.setTimer(out.Wake)
}

// setTimer has a Tick come when the machine asked for it.
func (d *door) setTimer(wake protocol.Time) {
	if wake >= d.wake {
		return
	}
	d.wake = wake
	d.w.after(wake.Sub(d.w.now), d.on(func() {
		if d.wake <= d.w.now {
			d.tick()
		}
	}))
}

func (d *door) tick() {
	d.wake = protocol.Never
	d.heed(&Tick{})
}

// inbound takes a client's message.
func (d *door) inbound(c *client) {
	if !d.w.one(4) { // within a burst it does not look
		d.mindConnection()
	}
	e := c.in
	c.taken = c.mayBeAnswered()
	out := d.step(&e)
	switch r := out.Admitted; {
	case out.Refused != nil:
		d.reply(c.in.Reply, out.Refused.Code)
	case r == nil:
	case !r.Beside:
		d.decode(c, r)
	default:
		d.owed++
		d.w.after(d.decodingTakes(), d.on(func() { d.owed--; d.decode(c, r) }))
	}
}

func (d *door) decodingTakes() time.Duration {
	if d.w.one(10) {
		return d.w.upTo(500 * time.Millisecond)
	}
	return d.w.upTo(30 * time.Millisecond)
}

func (d *door) decode(c *client, r *Request) {
	if c.unread != nil {
		d.step(&Undecoded{r, c.unread})
		d.reply(r.Reply, c.unread.Code)
		return
	}
	e := c.read(r.Known)
	e.Request = r
	if out := d.step(&e); out.Rejected != nil {
		d.reply(r.Reply, out.Refused.Code)
	}
}

// flush submits what is pending and has no answer yet.
func (d *door) flush() {
	pending := d.pending
	d.pending = nil
	for _, r := range pending {
		if d.m.Open(r.ID.Seq) {
			d.submit(d.m.LastEpoch(), r)
		}
	}
}

func (d *door) submit(epoch uint64, r *Request) {
	e := &sched.Submitted{Submitted: r.Submission(d.w.now), Epoch: epoch}
	d.say(&sched.AnswersReported{FrontDoor: d.id, Epoch: epoch})
	d.say(e)
}

// answer claims requests where that is due, and answers them.
func (d *door) answer(ended []Ended) {
	claim := &sched.AnswersReported{FrontDoor: d.id, Epoch: d.m.LastEpoch()}
	for _, e := range ended {
		if e.Claim {
			claim.Answered = append(claim.Answered, e.Request.ID.Seq)
		}
	}
	if len(claim.Answered) > 0 {
		d.say(claim)
	}
	for _, e := range ended {
		code := protocol.OK
		if e.Refusal != nil {
			code = e.Refusal.Code
		}
		d.reply(e.Request.Reply, code)
	}
}

func (d *door) beat() {
	d.mindConnection()
	d.say(&sched.FrontDoorBeat{Heartbeat: protocol.Heartbeat{Service: protocol.FrontDoor, ID: protocol.DoorName(d.id), Incarnation: d.id}})
}

// schedulerBeat hears a scheduler.
func (d *door) schedulerBeat(h protocol.Heartbeat) {
	replaced, _ := d.watch.Beat(h)
	if replaced != nil {
		d.heed(&SchedulerLost{*replaced})
	}
	d.heed(&SchedulerBeat{h})
}

func (d *door) missSchedulers() {
	for _, h := range d.watch.Tick() {
		d.heed(&SchedulerLost{h})
	}
}

// die ends the process; another one begins.
func (d *door) die() {
	d.w.happens("died")
	d.life++
	d.connected = false
	d.session++
	d.books.excuseAll("its front door died")
	d.gone()
}

// gone has another front door in the place of one that is no more.
func (d *door) gone() {
	w := d.w
	w.doors = slices.DeleteFunc(w.doors, func(o *door) bool { return o == d })
	w.stream.keeperGone(d)
	w.after(w.upTo(500*time.Millisecond), w.openDoor)
}

// close takes nothing more, waits for what is owed, and for a while for what is in
// flight, and stops.
func (d *door) close() {
	d.closing = true
	if d.w.stream.keeper == d {
		d.w.stream.changeKeeper()
	}
	patience := d.w.now.Add(d.w.upTo(400 * time.Millisecond))
	d.each(20*time.Millisecond, func() {
		if d.owed == 0 && (d.w.now > patience || d.m.Snapshot().InFlight == 0) {
			d.stop()
		}
	})
}

func (d *door) stop() {
	d.heed(&Stop{})
	d.life++
	d.connected = false // what was sent arrives
	d.gone()
}
