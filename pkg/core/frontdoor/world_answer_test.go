package frontdoor

import (
	"clockwork/pkg/protocol"
)

// schedulerBeat: the highest epoch is in charge.
func (b *books) schedulerBeat(h protocol.Heartbeat) {
	if h.State == protocol.SchedulerActive {
		b.epochs[h.ID] = h.Epoch
		b.lastBeat = b.now
	} else {
		delete(b.epochs, h.ID)
	}
	b.settle()
}

// settle submits what waits to whoever is new in charge, once.
func (b *books) settle() {
	epoch := uint64(0)
	for _, e := range b.epochs {
		epoch = max(epoch, e)
	}
	changed := epoch != b.epoch
	b.epoch = epoch
	if !changed || epoch == 0 {
		return
	}
	b.latest = epoch
	for _, seq := range b.numbers(waiting) {
		if x := b.open[seq]; x.submitted != epoch {
			b.submits(x)
		}
	}
}

func (b *books) dispatched(d *protocol.Dispatch) {
	if d.ID.Door != b.door.id {
		return
	}
	x := b.open[d.ID.Seq]
	waits, asks := x != nil && x.phase == waiting, x != nil && x.phase == asked
	switch {
	case d.Kind == protocol.ToWorker && (!waits || !protocol.ValidName(d.Worker)):
	case d.Kind == protocol.ToWorker:
		x.dispatched[d.Worker] = true
		if !x.generated {
			b.want.input = x
		}
	case d.Kind == protocol.Refuse && waits:
		b.ends(x, refusalOf(d))
	case d.Kind == protocol.Answer && waits:
		b.ends(x, "")
	case d.Kind == protocol.Refuse || d.Kind == protocol.Answer:
		b.happens("late word")
		b.late++
	case d.Kind == protocol.Yours && asks:
		b.happens("yours")
		x.owned = true
		b.gives(x)
	case d.Kind == protocol.Taken && asks:
		b.happens("taken")
		b.leaves(x)
	}
}

// refusalOf is what a client is told where a scheduler refuses.
func refusalOf(d *protocol.Dispatch) protocol.Code {
	if d.Refusal == nil || !d.Refusal.Code.Known() {
		return protocol.Internal
	}
	return d.Refusal.Code
}

// output: only a worker that was given a request answers it. One of generated inputs
// may run before its front door hears where.
func (b *books) output(e *OutputArrived) {
	o := e.Output
	if o.ID.Door != b.door.id {
		return
	}
	x := b.open[o.ID.Seq]
	switch {
	case x == nil || x.phase != waiting:
		b.happens("late word")
		b.late++
	case !x.dispatched[e.Worker] && (!x.generated || len(x.dispatched) > 0):
		b.happens("foreign output")
		b.want.foreign = x
	default:
		x.ran, x.misfit = true, o.Items != x.batch || len(o.Data) != 8*x.batch
		b.ends(x, "")
	}
}

// overdue is what a request is told that has no answer at its deadline.
func (b *books) overdue() protocol.Code {
	if b.epoch == 0 {
		return protocol.SchedulerLost
	}
	return protocol.DeadlineExceeded
}

// ends settles what a request's answer is: OK only within its deadline (G2). What is so
// late that a scheduler may have answered it is asked about.
func (b *books) ends(x *entry, fault protocol.Code) {
	if fault == "" && b.now >= x.deadline {
		fault = b.overdue()
	}
	x.fault = fault
	if !b.down && b.mayBeTheSchedulers(x) {
		x.phase, x.askEpoch, x.outage = asked, b.broken, b.outage
		b.asks(x)
		return
	}
	b.gives(x)
}

func (b *books) mayBeTheSchedulers(x *entry) bool {
	return x.submitted != 0 && x.breaks != b.breaks && !x.owned && b.now > x.deadline.Add(protocol.LateReplyUnasked)
}

func (b *books) asks(x *entry) {
	b.happens("asked")
	x.askAt = b.now.Add(protocol.HeartbeatEvery)
	b.want.asks[x.seq] = x.askEpoch
}

// gives: a request is answered, once the broker is reached.
func (b *books) gives(x *entry) {
	if b.down {
		b.happens("held")
		if x.phase = heldBack; x.seq == 0 {
			b.others = append(b.others, x)
		}
		return
	}
	if x.fault == "" && x.misfit {
		x.fault = protocol.Internal
	}
	delete(b.open, x.seq)
	b.answered++
	b.want.ended[x.c] = x
}

// leaves: an answer that is not the front door's, or may not be, is not given.
func (b *books) leaves(x *entry) {
	b.happens("left")
	delete(b.open, x.seq)
	b.left++
	x.c.excuse("its answer was left to a scheduler")
}

// expire answers each request whose deadline has come.
func (b *books) expire() {
	for _, seq := range b.numbers(waiting) {
		if x := b.open[seq]; b.now >= x.deadline {
			b.ends(x, "")
		}
	}
}

// askAgain repeats questions. A scheduler that is gone gives no word: then the answer is
// the front door's if nobody can have missed it, and else nobody's.
func (b *books) askAgain() {
	for _, seq := range b.numbers(asked) {
		x := b.open[seq]
		switch {
		case b.now < x.askAt:
		case b.now > x.deadline.Add(protocol.LateReplyFor):
			b.leaves(x)
		case b.down || b.epoch == 0 || b.epoch == x.askEpoch:
			b.asks(x)
		case x.outage < protocol.HeartbeatLost/2:
			b.gives(x)
		default:
			b.leaves(x)
		}
	}
}

// connectionBroke: from now on what was submitted before may be the scheduler's that was
// active then, and what is due is settled at once.
func (b *books) connectionBroke() {
	b.breaks++
	b.down, b.broken, b.outage = false, b.latest, b.now.Sub(b.lastBeat)
	for _, x := range b.open {
		if x.phase == asked {
			x.outage = max(x.outage, b.outage)
		}
	}
	others := b.others
	b.others = nil
	for _, x := range others {
		b.gives(x)
	}
	for _, seq := range b.numbers(heldBack) {
		x := b.open[seq]
		b.ends(x, x.fault)
	}
	b.expire()
}

// stop refuses what is left, but for what the scheduler may own.
func (b *books) stop() {
	for _, seq := range b.numbers(waiting, heldBack) {
		x := b.open[seq]
		if b.mayBeTheSchedulers(x) {
			b.leaves(x)
			continue
		}
		b.stops(x)
	}
	for _, x := range b.others {
		b.stops(x)
	}
	b.others = nil
	for _, seq := range b.numbers(asked) {
		b.leaves(b.open[seq])
	}
}

func (b *books) stops(x *entry) {
	x.fault, x.misfit = protocol.ShuttingDown, false
	down := b.down
	b.down = false // whether the answer arrives or not, it is the last moment
	b.gives(x)
	b.down = down
}
