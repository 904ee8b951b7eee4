package frontdoor

import (
	"maps"
	"slices"

	"clockwork/pkg/protocol"
)

// schedulerBeat: the scheduler with the highest epoch is the active one.
func (b *books) schedulerBeat(h protocol.Heartbeat) {
	if h.State == protocol.SchedulerActive {
		b.epochs[h.ID] = h.Epoch
		b.lastBeat = b.Now
	} else {
		delete(b.epochs, h.ID)
	}
	b.followEpoch()
}

// followEpoch: a new epoch gets each open request once.
func (b *books) followEpoch() {
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
		switch x := b.open[seq]; {
		case x.submitted == epoch:
		case x.left:
			b.settle(x, protocol.Cancelled)
		default:
			b.submit(x)
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
	case waits && d.Epoch < x.submitted: // of a former scheduler; the request is another one's now
		b.count("outdated decision")
	case asks && (d.Kind == protocol.Yours || d.Kind == protocol.Taken) && d.Epoch != x.askEpoch:
		b.failf("epoch %d answers a question to epoch %d", d.Epoch, x.askEpoch)
	case d.Kind == protocol.ToWorker && (!waits || !protocol.ValidName(d.Worker)):
	case d.Kind == protocol.ToWorker:
		x.dispatched[d.Worker] = true
		if x.crashes = max(x.crashes, d.Crashes); x.crashes > 0 && x.submitted != b.epoch {
			b.count("blamed by another scheduler")
		}
		if !x.generated {
			b.sendsInput(x, d.Worker)
		} else if o := x.early[d.Worker]; o != nil {
			b.count("answered by its dispatch")
			b.ran(x, o)
		}
	case d.Kind == protocol.Refuse && waits:
		b.settle(x, refusalOf(d))
	case d.Kind == protocol.Answer && waits:
		b.settle(x, "")
	case d.Kind == protocol.Refuse || d.Kind == protocol.Answer:
		b.count("late outcome")
		b.late++
	case d.Kind == protocol.Yours && asks:
		b.count("yours")
		x.owned = true
		b.reply(x)
	case d.Kind == protocol.Taken && asks:
		b.count("taken")
		b.drop(x)
	}
}

// refusalOf is the code that the client gets for a scheduler's refusal.
func refusalOf(d *protocol.Dispatch) protocol.Code {
	if d.Refusal == nil || !d.Refusal.Code.Known() {
		return protocol.Internal
	}
	return d.Refusal.Code
}

// output: only a worker that the request was dispatched to may answer it. With generated
// inputs the output may arrive before the dispatch, and waits for it if there is room.
func (b *books) output(e *OutputArrived) {
	o := e.Output
	if o.ID.Door != b.door.id {
		return
	}
	x := b.open[o.ID.Seq]
	switch {
	case x == nil || x.phase != waiting:
		b.count("late outcome")
		b.late++
	case x.dispatched[e.Worker]:
		b.ran(x, o)
	case x.early[e.Worker] != nil: // sent twice
	case x.generated && b.hasRoomFor(x, e.Worker, o):
		b.count("kept for its dispatch")
		x.early[e.Worker] = o
	default:
		b.count("foreign output")
		if x.generated {
			b.count("no room for an output")
		}
		b.want.foreign = append(b.want.foreign, x)
	}
}

// hasRoomFor reports whether an output may wait for its dispatch: a worker has a quarter of
// the room.
func (b *books) hasRoomFor(of *entry, worker string, o *protocol.Output) bool {
	all, its := earlyCost+len(o.Data), earlyCost+len(o.Data)
	for _, x := range b.open {
		for w, kept := range x.early {
			all += earlyCost + len(kept.Data)
			if w == worker {
				its += earlyCost + len(kept.Data)
			}
		}
	}
	return all <= b.config.EarlyBytes && its <= b.config.EarlyBytes/4 && len(of.early) < maxEarly
}

func (b *books) ran(x *entry, o *protocol.Output) {
	x.ran, x.misfit = true, o.Items != x.batch || len(o.Data) != 8*x.batch
	b.settle(x, "")
}

// overdue is the code of a request without an answer at its deadline.
func (b *books) overdue() protocol.Code {
	if b.epoch == 0 {
		return protocol.SchedulerLost
	}
	return protocol.DeadlineExceeded
}

// settle: OK only within the deadline (G2). If the scheduler may have answered meanwhile,
// the front door asks.
func (b *books) settle(x *entry, fault protocol.Code) {
	for _, worker := range slices.Sorted(maps.Keys(x.early)) {
		if !x.dispatched[worker] {
			b.count("never dispatched")
			b.want.foreign = append(b.want.foreign, x)
		}
	}
	x.early = nil
	if fault == "" && b.Now >= x.deadline {
		fault = b.overdue()
	}
	x.fault = fault
	if !b.down && b.mayBeAnsweredByScheduler(x) {
		x.phase, x.askEpoch, x.outage = asked, b.broken, b.outage
		b.ask(x)
		return
	}
	b.reply(x)
}

func (b *books) mayBeAnsweredByScheduler(x *entry) bool {
	return !x.c.in.Direct && x.submitted != 0 && x.breaks != b.breaks && !x.owned && b.Now > x.deadline.Add(protocol.LateReplyUnasked)
}

func (b *books) ask(x *entry) {
	b.count("asked")
	x.askAt = b.Now.Add(protocol.HeartbeatEvery)
	b.want.asks[x.seq] = x.askEpoch
}

// reply: the answer waits while the broker is not reached.
func (b *books) reply(x *entry) {
	if b.down && !x.c.in.Direct {
		b.count("held")
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

// clientGone: the scheduler is told. Without one, what no worker was given ends.
func (b *books) clientGone(seq uint64) {
	x := b.open[seq]
	if x == nil || x.left {
		return
	}
	x.left = true
	if b.epoch == 0 && len(x.dispatched) == 0 {
		b.count("ended with its client")
		b.settle(x, protocol.Cancelled)
		return
	}
	b.withdraw(x)
}

// withdraw: the scheduler is told of what it has.
func (b *books) withdraw(x *entry) {
	if b.epoch != 0 && x.submitted == b.epoch {
		b.count("withdrawn")
		b.want.withdraw = append(b.want.withdraw, x)
	}
}

// drop: the scheduler answered, or may have, so the front door does not.
func (b *books) drop(x *entry) {
	b.count("left")
	delete(b.open, x.seq)
	b.left++
	x.c.excuse("its answer was left to a scheduler")
}

// expire settles the requests whose deadline has come.
func (b *books) expire() {
	for _, seq := range b.numbers(waiting) {
		if x := b.open[seq]; b.Now >= x.deadline {
			if len(x.dispatched) > 0 {
				x.missed = b.Now
				b.tardy = append(b.tardy, x)
			}
			b.settle(x, "")
		}
	}
}

// repeatQueries: questions are repeated. If the scheduler is gone, the front door answers if it
// cannot have been declared lost, else nobody does.
func (b *books) askAgain() {
	for _, seq := range b.numbers(asked) {
		x := b.open[seq]
		switch {
		case b.Now < x.askAt:
		case b.Now > x.deadline.Add(protocol.LateReplyFor):
			b.drop(x)
		case b.down || b.epoch == 0 || b.epoch == x.askEpoch:
			b.ask(x)
		case x.outage < protocol.HeartbeatLost/2:
			b.reply(x)
		default:
			b.drop(x)
		}
	}
}

// connectionBroke: what is due is settled with the epoch and the outage of this break.
func (b *books) connectionBroke() {
	b.breaks++
	b.down, b.broken, b.outage = false, b.latest, b.Now.Sub(b.lastBeat)
	for _, x := range b.open {
		if x.phase == asked {
			x.outage = max(x.outage, b.outage)
		}
	}
	others := b.others
	b.others = nil
	for _, x := range others {
		b.reply(x)
	}
	for _, seq := range b.numbers(heldBack) {
		x := b.open[seq]
		b.settle(x, x.fault)
	}
	b.expire()
}

// stop: requests are refused, except those that the scheduler may have answered.
func (b *books) stop() {
	for _, seq := range b.numbers(waiting, heldBack) {
		x := b.open[seq]
		if x.phase == waiting {
			b.withdraw(x)
		}
		if b.mayBeAnsweredByScheduler(x) {
			b.drop(x)
			continue
		}
		b.shutDown(x)
	}
	for _, x := range b.others {
		b.shutDown(x)
	}
	b.others = nil
	for _, seq := range b.numbers(asked) {
		b.drop(b.open[seq])
	}
}

func (b *books) shutDown(x *entry) {
	x.fault, x.misfit = protocol.ShuttingDown, false
	down := b.down
	b.down = false // there is no later
	b.reply(x)
	b.down = down
}
