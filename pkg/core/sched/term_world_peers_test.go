package sched

import (
	"fmt"
	"slices"
	"time"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/simtime"
)

// wWorker executes at once, and obeys the highest epoch it has seen.
type wWorker struct {
	simtime.Process
	w           *termWorld
	id          string
	incarnation uint64
	obeys       uint64
	orders      map[uint64]int // obeyed in this life, by epoch
	clock       uint64         // the epoch that its clock is synchronised to
	mute        protocol.Time  // until then it sends no heartbeats
	stopping    bool
	liar        bool
}

func (x *wWorker) begin() {
	w := x.w
	x.Each(protocol.HeartbeatEvery, x.beat)
	x.Each(50*time.Millisecond, func() { // it asks whoever leads for the time
		for _, s := range w.schedulers {
			if s.term == nil || w.chance(0.5) {
				continue
			}
			epoch := s.term.Epoch()
			w.loose(x.On(func() {
				if epoch > x.clock {
					x.clock = epoch
					x.beat()
				}
			}))
		}
	})
	x.Each(700*time.Millisecond, func() {
		switch p := w.RNG.Float64(); {
		case !w.faulty():
		case p < 0.05:
			x.restart(w.UpTo(900 * time.Millisecond))
		case p < 0.12:
			x.PausedUntil = w.Now.Add(w.UpTo(1200 * time.Millisecond))
		case p < 0.20: // its clock steps: it measures anew
			x.clock = 0
		case p < 0.23: // and lies
			x.clock += 7
			w.After(w.UpTo(300*time.Millisecond), x.On(func() { x.clock = 0 }))
		case p < 0.45: // its heartbeats stay away, but not for long enough to be missed
			x.mute = w.Now.Add(w.UpTo(protocol.HeartbeatLost))
		case p < 0.47: // it finishes and ends
			x.stopping = true
			w.After(w.UpTo(300*time.Millisecond), x.On(func() { x.restart(w.UpTo(900 * time.Millisecond)) }))
		}
	})
}

// restart ends this life, and begins the next after a while.
func (x *wWorker) restart(away time.Duration) {
	x.Incarnation++
	x.w.After(away, func() {
		x.Incarnation++
		x.incarnation++
		x.obeys, x.clock, x.stopping, x.orders = 0, 0, false, nil
		x.begin()
	})
}

// worldModels are the models of every epoch.
var worldModels = []protocol.ModelSpec{{Name: "m", Digest: "m"}, {Name: "n", Digest: "n"}}

// holds reports whether this life of a worker could load a model.
func (x *wWorker) holds(model string) bool {
	return model == "m" || (x.incarnation+uint64(x.id[1]))%3 > 0
}

// says is the epoch that the worker says it obeys.
func (x *wWorker) says() uint64 {
	if x.liar && x.w.chance(0.5) {
		return x.w.lie()
	}
	return x.obeys
}

// state is what the worker says of itself.
func (x *wWorker) state() protocol.WorkerState {
	state := protocol.WorkerState{ID: x.id, Incarnation: x.incarnation, Epoch: x.says()}
	state.GPUs = []protocol.GPUState{{PagesUsed: x.obeyedBefore(x.obeys)}} // stands for what is on the GPU
	for _, m := range worldModels {
		if x.holds(m.Name) {
			state.Models = append(state.Models, m)
		}
	}
	return state
}

// obeyedBefore counts the orders of earlier epochs that this life of the worker obeyed.
func (x *wWorker) obeyedBefore(epoch uint64) (n int) {
	for of, count := range x.orders {
		if of < epoch {
			n += count
		}
	}
	return n
}

// announced is what the controller says of the worker.
func (x *wWorker) announced() protocol.WorkerState {
	state := x.state()
	state.Models = nil
	for _, m := range worldModels {
		if !x.holds(m.Name) {
			state.Lacks = append(state.Lacks, protocol.Lack{Model: m.Name, Code: protocol.ModelNotFound})
		}
	}
	return state
}

func (x *wWorker) beat() {
	w := x.w
	if w.Now < x.mute {
		return
	}
	h := protocol.Heartbeat{Service: protocol.Worker, ID: x.id, Incarnation: x.incarnation, Epoch: x.says(), ClockEpoch: x.clock}
	if turn := w.Now / protocol.Time(700*time.Millisecond) % 4; turn > 0 { // a GPU hangs, then its executor is another
		h.GPUs = []protocol.GPUBeat{{}, {Stalled: turn == 1, Executor: uint32(turn) / 2}}[:1+turn%2]
	}
	if x.stopping {
		h.State = protocol.Stopping
		w.said[fmt.Sprint(x.id, x.incarnation, protocol.Stopping)] = true
	}
	w.said[fmt.Sprint(x.id, x.incarnation, x.clock)] = true
	for _, s := range w.schedulers {
		w.loose(s.On(func() {
			if s.term == nil || s.deaf > w.Now {
				return
			}
			s.silent[x.id] = 0
			s.known[x.id] = append(s.known[x.id], h.Incarnation)
			s.claims[x.id] = max(h.Epoch, h.ClockEpoch)
			s.step(&WorkerBeat{h})
		}))
	}
	w.loose(func() { w.controller.workerBeat(h, x) })
}

// order has an action arrive.
func (x *wWorker) order(s *wScheduler, a protocol.Action) {
	w := x.w
	w.loose(x.On(func() {
		r := protocol.Result{Action: a.ID, Issuer: a.Issuer, Worker: x.id, Kind: a.Kind, Code: protocol.OK, Incarnation: x.incarnation}
		switch {
		case a.Epoch < x.obeys:
			r.Code = protocol.StaleEpoch
		case a.Incarnation != x.incarnation:
			r.Code = protocol.StaleIncarnation
		default:
			x.obeys = a.Epoch
			if x.orders == nil {
				x.orders = map[uint64]int{}
			}
			x.orders[a.Epoch]++
			for _, ref := range a.Requests {
				w.doorOf(ref.ID.Door).toDoor(func(d *wDoor) { d.output(ref.ID.Seq) })
			}
		}
		r.Epoch = x.obeys
		if w.faulty() && w.chance(0.01) { // it lies: no scheduler has had that epoch
			r.Epoch = w.lie()
			w.happened.lies++
		}
		w.loose(s.On(func() {
			if s.term != nil && s.term.config.Issuer == r.Issuer {
				s.step(&Result{r})
			}
		}))
	}))
}

// wController never fails: it starts the scheduler and announces workers, until that is
// confirmed.
type wController struct {
	w         *termWorld
	watch     liveness.Watch
	states    map[string]protocol.WorkerState
	confirmed map[string]wJoin
	ready     map[*wScheduler]uint64 // epochs of those who lead
}

type wJoin struct{ incarnation, epoch uint64 }

var workerIDs = []string{"w0", "w1", "w2", "w3"}

func (c *wController) begin() {
	c.states, c.ready = map[string]protocol.WorkerState{}, map[*wScheduler]uint64{}
	c.w.Every(protocol.HeartbeatEvery, func() {
		for _, h := range c.watch.Tick() {
			delete(c.states, h.ID)
		}
	})
	c.w.Every(300*time.Millisecond, c.announce)
}

func (c *wController) workerBeat(h protocol.Heartbeat, x *wWorker) {
	if h.State == protocol.Stopping {
		return
	}
	c.watch.Beat(h)
	if c.states[h.ID].Incarnation < h.Incarnation && x.incarnation == h.Incarnation {
		c.states[h.ID] = x.announced()
	}
}

func (c *wController) schedulerBeat(h protocol.Heartbeat) {
	s := c.w.schedulers[h.ID[1]-'1']
	if h.State != protocol.SchedulerReady {
		return
	}
	c.ready[s] = h.Epoch
	state := protocol.ClockworkState{Models: worldModels}
	for _, id := range workerIDs {
		if w, has := c.states[id]; has {
			state.Workers = append(state.Workers, w)
		}
	}
	c.w.loose(s.On(func() { s.step(&Started{state}) }))
}

func (c *wController) announce() {
	w := c.w
	for _, s := range w.schedulers {
		if s.term == nil || !s.term.Active() {
			continue
		}
		for _, id := range workerIDs {
			state, has := c.states[id]
			if !has || c.confirmed[id] == (wJoin{state.Incarnation, s.term.Epoch()}) {
				continue
			}
			w.loose(s.On(func() {
				if s.term == nil {
					return
				}
				s.step(&WorkerAnnounced{state})
				if s.term != nil {
					join := wJoin{state.Incarnation, s.term.Epoch()}
					w.loose(func() { c.confirmed[id] = join })
				}
			}))
		}
	}
}

// wDoor is a front door that keeps to the contract (package protocol, who answers a
// request).
type wDoor struct {
	simtime.Process
	w          *termWorld
	id         uint64
	connected  bool
	dead       bool
	quiet      bool // it takes no more requests
	reconnects int
	out, in    simtime.Connection
	session    int               // of the connection
	actives    map[string]uint64 // the epochs of the schedulers that say they are
	epoch      uint64
	watch      liveness.Watch
	lastBeat   protocol.Time // that reached the broker
	away       time.Duration // between two heartbeats, at the last reconnect
	seq        uint64
	open       map[uint64]*wOpen
}

// wOpen is a request that the front door has to answer.
type wOpen struct {
	deadline   protocol.Time
	reconnects int    // at its submission
	epoch      uint64 // that it was submitted to before the last break
	ready      bool   // there is an answer
	asking     bool
}

func (w *termWorld) openDoor() {
	d := &wDoor{Process: simtime.Process{Clock: &w.Clock}, w: w, id: uint64(len(w.doors) + 1), connected: true, actives: map[string]uint64{}, open: map[uint64]*wOpen{}, lastBeat: w.Now}
	w.doors = append(w.doors, d)
	d.Each(protocol.HeartbeatEvery, func() { d.beat(); d.look() })
	d.Each(8*time.Millisecond, d.accept)
	d.Each(5*time.Millisecond, d.work)
	d.Each(600*time.Millisecond, func() {
		switch p := w.RNG.Float64(); {
		case !w.faulty():
		case p < 0.07:
			d.die()
		case p < 0.15:
			d.PausedUntil = w.Now.Add(w.UpTo(1200 * time.Millisecond))
		case p < 0.30:
			d.cut()
		}
	})
}

func (w *termWorld) doorOf(id uint64) *wDoor { return w.doors[id-1] }

// say publishes on the front door's connection; every scheduler hears it in order. What
// is under way when the connection breaks is lost.
func (d *wDoor) say(e TermEvent) {
	if !d.connected {
		return
	}
	session := d.session
	d.out.Send(&d.w.Clock, func() {
		if d.session != session {
			return
		}
		for _, s := range d.w.schedulers {
			s.hear(e)
		}
	})
}

// toDoor delivers something to a front door, if it is connected.
func (d *wDoor) toDoor(do func(d *wDoor)) {
	session := d.session
	if d.w.faulty() && d.w.chance(0.01) {
		return
	}
	d.in.Send(&d.w.Clock, d.On(func() {
		if d.connected && d.session == session {
			do(d)
		}
	}))
}

func (d *wDoor) beat() {
	if !d.connected {
		return
	}
	d.lastBeat = d.w.Now
	epoch := d.epoch
	if d.w.chance(0.2) {
		epoch = d.w.lie()
		d.w.happened.doorLies++
	}
	d.say(&FrontDoorBeat{protocol.Heartbeat{Service: protocol.FrontDoor, ID: protocol.DoorName(d.id), Incarnation: d.id, Epoch: epoch}})
}

// cut breaks the connections; they are made again after a while.
func (d *wDoor) cut() {
	w := d.w
	d.connected = false
	d.session++
	w.After(w.UpTo(1300*time.Millisecond), d.On(func() {
		d.connected, d.reconnects = true, d.reconnects+1
		d.away = max(d.away, w.Now.Sub(d.lastBeat))
		d.beat()
		for _, seq := range d.seqs() {
			if o := d.open[seq]; !o.ready && !o.asking { // a question names the epoch of before the break
				d.submit(seq, o)
			}
		}
	}))
}

// die ends the process. Another one begins.
func (d *wDoor) die() {
	w := d.w
	d.Incarnation++
	d.dead, d.connected = true, false
	d.session++
	for _, seq := range d.seqs() {
		r := w.requests[protocol.RequestID{Door: d.id, Seq: seq}]
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

func (d *wDoor) seqs() (list []uint64) {
	for seq := range d.open {
		list = append(list, seq)
	}
	slices.Sort(list)
	return list
}

// schedulerBeat follows who is active.
func (d *wDoor) schedulerBeat(h protocol.Heartbeat) {
	if !d.connected {
		return
	}
	d.watch.Beat(h)
	if h.State == protocol.SchedulerActive {
		d.actives[h.ID] = h.Epoch
	} else {
		delete(d.actives, h.ID)
	}
	d.settle()
}

// settle submits again what another scheduler was in charge of.
func (d *wDoor) settle() {
	epoch := uint64(0)
	for _, e := range d.actives {
		epoch = max(epoch, e)
	}
	if epoch == 0 || epoch == d.epoch {
		return
	}
	d.epoch = epoch
	d.say(&AnswersReported{FrontDoor: d.id, Epoch: d.epoch})
	for _, seq := range d.seqs() {
		if o := d.open[seq]; !o.ready && !o.asking { // whoever is new has no say on late answers
			d.submit(seq, o)
		}
	}
}

// look counts for the schedulers.
func (d *wDoor) look() {
	for _, h := range d.watch.Tick() {
		delete(d.actives, h.ID)
	}
	d.settle()
}

func (d *wDoor) accept() {
	w := d.w
	if d.quiet || d.epoch == 0 || w.Now > w.end.Add(time.Second) || !d.connected {
		return
	}
	d.seq++
	w.happened.requests++
	w.requests[protocol.RequestID{Door: d.id, Seq: d.seq}] = &wRequest{}
	budget := 20*time.Millisecond + w.UpTo(400*time.Millisecond)
	if w.chance(0.1) {
		budget += w.UpTo(2 * time.Second) // its front door may be back in time
	}
	o := &wOpen{deadline: w.Now.Add(budget)}
	d.open[d.seq] = o
	d.submit(d.seq, o)
}

// submit gives a request to the scheduler; one without budget asks whose it is.
func (d *wDoor) submit(seq uint64, o *wOpen) {
	if !o.asking {
		budget := o.deadline.Sub(d.w.Now)
		if budget <= 0 {
			return
		}
		o.reconnects = max(o.reconnects, 0)
		if o.epoch == 0 {
			o.epoch, o.reconnects = d.epoch, d.reconnects
		}
	}
	d.say(&AnswersReported{FrontDoor: d.id, Epoch: d.epoch})
	d.say(&Submitted{Epoch: d.epoch, Submitted: protocol.Submitted{Reply: fmt.Sprintf("inbox.%d.%d", d.id, seq), Submission: protocol.Submission{
		ID: protocol.RequestID{Door: d.id, Seq: seq}, Model: "m", Batch: 1, Budget: o.deadline.Sub(d.w.Now)}}})
}

func (d *wDoor) output(seq uint64) {
	if o := d.open[seq]; o != nil {
		o.ready = true
		d.answer(seq, o)
	}
}

// dispatched takes a decision, or a word on a late answer.
func (d *wDoor) dispatched(x protocol.Dispatch) {
	o := d.open[x.ID.Seq]
	if o == nil {
		return
	}
	switch x.Kind {
	case protocol.Refuse:
		o.ready = true
		d.answer(x.ID.Seq, o)
	case protocol.Yours:
		if o.asking {
			d.w.happened.yours++
			d.reply(x.ID.Seq)
		}
	case protocol.Taken:
		if o.asking {
			d.w.happened.taken++
			delete(d.open, x.ID.Seq)
		}
	}
}

// work answers what is due, and asks about what is late.
func (d *wDoor) work() {
	for _, seq := range d.seqs() {
		if o := d.open[seq]; o.ready || o.deadline <= d.w.Now {
			d.answer(seq, o)
		}
	}
}

// answer gives the one answer, if the front door owns it.
func (d *wDoor) answer(seq uint64, o *wOpen) {
	w := d.w
	if !d.connected {
		return // it cannot now
	}
	if d.reconnects == o.reconnects || w.Now <= o.deadline.Add(protocol.LateReplyUnasked) {
		d.reply(seq)
		return
	}
	if o.epoch != d.epoch { // another scheduler: it cannot know
		if d.away < protocol.HeartbeatLost/2 {
			d.reply(seq)
			return
		}
		w.happened.none++
		w.requests[protocol.RequestID{Door: d.id, Seq: seq}].excused = true
		delete(d.open, seq)
		return
	}
	if !o.asking || w.chance(0.05) {
		o.asking = true
		d.submit(seq, o)
	}
}

// reply claims a request and answers it. A process that dies between the two has
// answered nothing; here it does not.
func (d *wDoor) reply(seq uint64) {
	w := d.w
	delete(d.open, seq)
	d.say(&AnswersReported{FrontDoor: d.id, Epoch: d.epoch, Answered: []uint64{seq}})
	session := d.session
	d.out.Send(&w.Clock, func() {
		if d.session == session {
			w.answered(protocol.RequestID{Door: d.id, Seq: seq})
		} else { // the claim may have arrived just before the connection broke
			w.requests[protocol.RequestID{Door: d.id, Seq: seq}].excused = true
		}
	})
	if w.faulty() && w.chance(0.001) { // the claim is lost with the connection
		w.happened.claims++
		d.cut()
	}
}

// answered counts an answer at its client.
func (w *termWorld) answered(id protocol.RequestID) {
	r := w.requests[id]
	if r.answers++; r.answers > 1 {
		w.broken("G1: request %v is answered twice", id)
	}
}

// checkEnd looks at a world in which all has been well for a while.
func (w *termWorld) checkEnd() {
	if w.fault != "" {
		return
	}
	for _, d := range w.doors {
		for seq := uint64(1); seq <= d.seq; seq++ {
			id := protocol.RequestID{Door: d.id, Seq: seq}
			if r := w.requests[id]; r.answers == 0 && !r.excused {
				w.broken("G1: request %v was never answered; front door dead %v", id, d.dead)
			}
		}
	}
	var leads *wScheduler
	for _, s := range w.schedulers {
		if s.term != nil && s.term.Active() {
			if leads != nil {
				w.broken("G7: two schedulers are active in peace")
			}
			leads = s
		}
	}
	if leads == nil {
		w.broken("G7: no scheduler is active in peace")
		return
	}
	serving := 0
	for _, x := range w.workers {
		if x.liar {
			continue
		}
		if leads.term.Has(x.id, x.incarnation) {
			serving++
		} else if x.obeys > leads.term.Epoch() {
			continue // a forged order; it comes back with the next scheduler, if others serve now
		}
		// An announcement that came too late may stay: of an incarnation that is no more.
		if leads.term.workers.joining[x.id].Incarnation >= x.incarnation {
			w.broken("G11: %s#%d still waits\n%v", x.id, x.incarnation, leads.term)
		}
		if !leads.term.Has(x.id, x.incarnation) || leads.core.members[x.id] != x.incarnation {
			w.broken("G7: %s#%d does not belong in peace\n%v", x.id, x.incarnation, leads.term)
		}
	}
	if serving == 0 {
		w.broken("G7: nobody serves in peace\n%v", leads.term)
	}
	t := leads.term
	for id := range t.workers.away {
		if x := w.workers[id[1]-'0']; !x.liar && x.obeys <= t.Epoch() {
			w.broken("G11: %s is missed in peace\n%v", id, t)
		}
	}
	if t.doors.waiting != 0 {
		w.broken("G11: the books are not empty in peace: %d wait\n%v", t.doors.waiting, t)
	}
	sum := 0
	for _, of := range t.doors.ledgers {
		sum += len(of.clients)
	}
	if sum != t.doors.waiting {
		w.broken("G11: %d are counted, %d wait", t.doors.waiting, sum)
	}
}
