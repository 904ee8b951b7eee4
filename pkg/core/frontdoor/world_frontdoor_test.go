package frontdoor

import (
	"slices"
	"time"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/core/quota"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/simtime"
)

// frontDoor is a front door's process: a Machine, driven in the same order as by its
// service (services/frontdoor).
type frontDoor struct {
	simtime.Process
	w        *world
	id       uint64
	m        *Machine
	books    *books
	wake     protocol.Time // of its timer
	watch    liveness.Watch
	state    simtime.Connection // changes of the stage and of models
	owed     int                // events that the driver owes the machine
	arriving *client            // whose message is given to the machine

	simtime.Link
	pending []*Request // to be submitted
	leaving []*Request // to be withdrawn then
	closing bool
}

func worldConfig(id uint64) Config {
	c := testConfig()
	c.ID, c.BufferTimeout, c.Claims = id, 1500*time.Millisecond, 3
	c.MaxInFlight, c.MaxInFlightBytes, c.MaxInFlightOutputs, c.MaxPayload = 12, 150, 120, 30
	c.LargeInput = 8
	c.SlowSlots, c.LargeSlots, c.LargeBody, c.StoreSlots, c.EarlyBytes = 8, 2, 80, 8, 4*(earlyCost+8)
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

// startFrontDoor starts a process, which reads the stored state first.
func (w *world) startFrontDoor() {
	w.started++
	d := &frontDoor{Process: simtime.Process{Clock: &w.Clock}, Link: simtime.NewLink(), w: w, id: w.started, m: New(worldConfig(w.started)), wake: protocol.Never}
	d.books = newBooks(d)
	w.frontDoors = append(w.frontDoors, d)
	for _, name := range []string{"a", "b"} {
		if w.models[name] {
			d.state.Send(&w.Clock, d.On(func() { d.checkedStep(&ModelSeen{spec(name)}) }))
		}
	}
	stage := w.stage
	d.state.Send(&w.Clock, d.On(func() { d.checkedStep(&StageSeen{stage}) }))
	d.Each(protocol.HeartbeatEvery, d.beat)
	d.Each(protocol.HeartbeatEvery, d.missSchedulers)
	d.Each(500*time.Millisecond, d.injectFaults)
}

// injectFaults draws a fault now and then.
func (d *frontDoor) injectFaults() {
	if !d.w.faulty() || d.closing {
		return
	}
	switch n := d.w.RNG.IntN(40); {
	case n == 0:
		d.crash()
	case n == 1:
		d.w.count("stopped")
		d.close()
	case n < 6:
		d.w.count("paused")
		d.PausedUntil = d.w.Now.Add(d.w.UpTo(1200 * time.Millisecond))
		if d.w.oneIn(2) {
			d.cut()
		}
	case n < 10:
		d.cut()
	}
}

// someFrontDoor is one that takes requests; nil if there is none.
func (w *world) someFrontDoor() *frontDoor {
	var open []*frontDoor
	for _, d := range w.frontDoors {
		if d.Connected && !d.closing {
			open = append(open, d)
		}
	}
	if len(open) == 0 {
		return nil
	}
	return open[w.RNG.IntN(len(open))]
}

// frontDoorByID finds a running front door.
func (w *world) frontDoorByID(id uint64) *frontDoor {
	at := slices.IndexFunc(w.frontDoors, func(d *frontDoor) bool { return d.id == id })
	if at < 0 {
		return nil
	}
	return w.frontDoors[at]
}

// checkedStep reports the state of the connection before an event.
func (d *frontDoor) checkedStep(e Event) *Output {
	d.mindConnection()
	return d.step(e)
}

// step applies one event, has the books check the output, and carries it out.
func (d *frontDoor) step(e Event) *Output {
	out := d.m.Step(d.w.Now, e)
	d.w.note("%d %T %d %d %d %d %d", d.id, e, len(out.Submit), len(out.Ended), len(out.Ask), len(out.Claim), out.Wake)
	d.books.check(e, out)
	d.carryOut(out)
	return out
}

func (d *frontDoor) carryOut(out *Output) {
	d.pending, d.leaving = append(d.pending, out.Submit...), append(d.leaving, out.Withdraw...)
	for _, in := range out.Inputs {
		d.sendInput(in)
	}
	if in := out.LargeInput; in != nil {
		large := *in
		d.w.After(d.w.UpTo(20*time.Millisecond), d.On(func() {
			d.sendInput(large)
			d.step(&InputSent{})
		}))
	}
	for _, c := range out.Claim {
		d.owed++
		d.w.stream.claim(d, c)
	}
	for _, q := range out.Ask {
		d.submit(q.Epoch, q.Request)
	}
	ended, store, wake := slices.Clone(out.Ended), out.Store, out.Wake // an answer may take a step
	d.answer(ended)
	if store != nil {
		d.owed++
		d.w.stream.store(d, store)
	}
	if len(ended) > 0 || d.w.oneIn(3) {
		d.flush()
	} else if len(d.pending)+len(d.leaving) > 0 {
		d.w.After(d.w.UpTo(time.Millisecond), d.On(d.flush))
	}
	d.setTimer(wake)
}

// setTimer schedules the Tick that the machine asked for.
func (d *frontDoor) setTimer(wake protocol.Time) {
	if wake >= d.wake {
		return
	}
	d.wake = wake
	d.w.After(wake.Sub(d.w.Now), d.On(func() {
		if d.wake <= d.w.Now {
			d.tick()
		}
	}))
}

func (d *frontDoor) tick() {
	d.wake = protocol.Never
	d.checkedStep(&Tick{})
}

// inbound receives a client's message.
func (d *frontDoor) inbound(c *client) {
	if !d.w.oneIn(4) { // within a burst the service does not check
		d.mindConnection()
	}
	e := c.in
	d.arriving = c
	c.taken = c.mayBeAnswered()
	out := d.step(&e)
	r := out.Admitted
	if r != nil && c.in.Direct {
		r.Driver = c
	}
	switch {
	case out.Refusal != nil:
		d.reply(c, out.Refusal.Code)
	case r == nil:
	case !r.Beside:
		d.decode(c, r)
	default:
		d.owed++
		d.w.After(d.decodingTime(), d.On(func() { d.owed--; d.decode(c, r) }))
	}
}

func (d *frontDoor) decodingTime() time.Duration {
	if d.w.oneIn(10) {
		return d.w.UpTo(500 * time.Millisecond)
	}
	return d.w.UpTo(30 * time.Millisecond)
}

func (d *frontDoor) decode(c *client, r *Request) {
	if c.unread != nil {
		d.step(&Undecoded{r, c.unread})
		d.reply(c, c.unread.Code)
		return
	}
	e := c.read(r.Known)
	e.Request = r
	if out := d.step(&e); out.Rejected != nil {
		d.reply(c, out.Refusal.Code)
	}
	for c.in.Direct && d.w.oneIn(3) { // or twice
		d.w.After(d.w.UpTo(40*time.Millisecond), d.On(func() { d.checkedStep(&ClientGone{r.ID}) }))
	}
}

// flush submits the pending requests that have no answer yet, and withdraws others.
func (d *frontDoor) flush() {
	pending, leaving := d.pending, d.leaving
	d.pending, d.leaving = nil, nil
	defer func() {
		for _, r := range leaving {
			d.say(&sched.Withdraw{ID: r.ID})
		}
	}()
	for _, r := range pending {
		if d.m.Open(r.ID.Seq) {
			d.submit(d.m.LastEpoch(), r)
		}
	}
}

func (d *frontDoor) submit(epoch uint64, r *Request) {
	e := &sched.Submitted{Submitted: r.Submission(d.w.Now), Epoch: epoch}
	d.say(&sched.AnswersReported{FrontDoor: d.id, Epoch: epoch})
	d.say(e)
}

// answer reports requests as answered to the scheduler where required, then answers them.
func (d *frontDoor) answer(ended []Ended) {
	claim := &sched.AnswersReported{FrontDoor: d.id, Epoch: d.m.LastEpoch()}
	for _, e := range ended {
		if e.Claim {
			claim.Answered = append(claim.Answered, e.Request.ID.Seq)
		}
	}
	if len(claim.Answered) > 0 {
		d.say(claim)
	}
	for i := range ended {
		d.reply(d.w.clientOf(ended[i].Request), d.codeToSend(&ended[i]))
	}
}

// codeToSend is what the client gets: the broker does not carry some OKs, and the client is
// told so. The request was counted when it ended.
func (d *frontDoor) codeToSend(e *Ended) protocol.Code {
	const limit = 100
	bytes := int64(limit)
	if d.w.oneIn(40) {
		bytes++
	}
	u := e.SentAt(d.w.Now, bytes, limit)
	switch {
	case e.Refusal != nil:
		return e.Refusal.Code
	case (u != nil) != (bytes > limit):
		d.w.failf("front door %d has %d bytes to send, of %d that the broker carries: %+v", d.id, bytes, limit, u)
	case u == nil:
		return protocol.OK
	}
	d.w.count("not sent")
	before := d.m.Snapshot()
	refusal := d.m.Step(d.w.Now, u).Refusal
	if after := d.m.Snapshot(); refusal == nil || refusal.Code != protocol.PayloadTooLarge || after != before {
		d.w.failf("G13: front door %d tells %v in place of an OK that is not sent; %+v, then %+v", d.id, refusal, before, after)
	}
	return refusal.Code
}

func (d *frontDoor) beat() {
	d.mindConnection()
	h := d.m.Heartbeat(protocol.FrontDoorOpen)
	h.Service, h.ID = protocol.FrontDoor, protocol.DoorName(d.id)
	d.say(&sched.FrontDoorBeat{Heartbeat: h})
}

// schedulerBeat receives the heartbeat of a scheduler.
func (d *frontDoor) schedulerBeat(h protocol.Heartbeat) {
	replaced, _ := d.watch.Beat(h)
	if replaced != nil {
		d.checkedStep(&SchedulerLost{*replaced})
	}
	d.checkedStep(&SchedulerBeat{h})
}

func (d *frontDoor) missSchedulers() {
	for _, h := range d.watch.Tick() {
		d.checkedStep(&SchedulerLost{h})
	}
}

// crash ends the process; another one replaces it.
func (d *frontDoor) crash() {
	d.w.count("crashed")
	d.Incarnation++
	d.Lose()
	d.books.excuseAll("its front door crashed")
	d.gone()
}

// gone replaces a front door that ended.
func (d *frontDoor) gone() {
	w := d.w
	w.frontDoors = slices.DeleteFunc(w.frontDoors, func(o *frontDoor) bool { return o == d })
	w.stream.keeperGone(d)
	w.After(w.UpTo(500*time.Millisecond), w.startFrontDoor)
}

// close stops taking requests, waits for owed events, and for a while for requests in
// flight, and stops.
func (d *frontDoor) close() {
	d.closing = true
	if d.w.stream.keeper == d {
		d.w.stream.changeKeeper()
	}
	patience := d.w.Now.Add(d.w.UpTo(400 * time.Millisecond))
	d.Each(20*time.Millisecond, func() {
		if d.owed == 0 && (d.w.Now > patience || d.m.Snapshot().InFlight == 0) {
			d.stop()
		}
	})
}

func (d *frontDoor) stop() {
	d.checkedStep(&Stop{})
	d.Incarnation++
	d.Connected = false // in the same session: what was sent arrives
	d.gone()
}
