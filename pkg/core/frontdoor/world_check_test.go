package frontdoor

import (
	"maps"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// books are a second, simple account of one front door. They work out the expected output
// of each event from events alone.
type books struct {
	*world
	door *frontDoor

	stepped protocol.Time // time of the last event
	stage   protocol.Stage
	models  map[string]bool
	actives
	lastBeat protocol.Time // of an active scheduler
	down     bool
	breaks   int
	// reconnects are those that the machine was told of.
	reconnects uint64
	broken     uint64 // the epoch when the connection broke last
	outage     time.Duration

	taking map[*Request]*entry // being decoded or stored
	open   map[uint64]*entry   // accepted, by number
	others []*entry            // refusals without a number that wait for the broker
	tardy  []*entry            // answered at their deadline although a worker had them
	seq    uint64
	large  largeBooks
	keeping
	allowances

	received, answered, left, late int64
	want                           wanted
}

// actives are the schedulers whose heartbeats say that they are active.
type actives struct {
	epochs        map[string]uint64
	epoch, latest uint64 // of the active one, 0 for none; the last one that was not 0
}

// entry is a request at a front door.
type entry struct {
	c                 *client
	phase             phase
	seq               uint64
	model, tenant     string
	bytes             int // of the message
	arrived, deadline protocol.Time
	slots             int
	accepting         bool
	payload, batch    int
	generated         bool
	crashes           uint8  // as schedulers said
	submitted         uint64 // the epoch it was submitted to last, 0 for none
	breaks            int    // when it was accepted
	dispatched        map[string]bool
	early             map[string]*protocol.Output // of workers that it was not dispatched to
	fault             protocol.Code               // of its answer, "" for OK
	missed            protocol.Time               // when it was answered although a worker had it
	to                string                      // it was dispatched to last
	ran               bool                        // a worker sent an output
	misfit            bool                        // of a wrong size
	left              bool                        // its client went away
	owned             bool                        // the scheduler said that the answer is the front door's
	askAt             protocol.Time
	askEpoch          uint64
	outage            time.Duration
}

// phase is where a request is.
type phase uint8

const (
	decoding phase = iota + 1
	storing
	waiting  // for its outcome
	heldBack // its answer waits for the broker
	asked    // whose its answer is
)

// wanted is the expected output of a step.
type wanted struct {
	admitted, ignored, store bool
	rejected                 *client
	refused                  protocol.Code
	submit, withdraw         []*entry
	asks                     map[uint64]uint64 // epochs by number
	input, large             *entry
	foreign                  []*entry
	ended                    map[*client]*entry
	claims                   []BufferedID
}

func newBooks(d *frontDoor) *books {
	return &books{world: d.w, door: d, models: map[string]bool{}, actives: actives{epochs: map[string]uint64{}}, taking: map[*Request]*entry{},
		open: map[uint64]*entry{}, keeping: newKeeping(), allowances: newAllowances(&d.m.config)}
}

// check checks the output of a step.
func (b *books) check(e Event, out *Output) {
	b.checkOverdue()
	b.want = wanted{asks: map[uint64]uint64{}, ended: map[*client]*entry{}}
	b.apply(e, out)
	b.keepBuffer()
	b.compare(e, out)
	b.checkAccounts()
	b.checkWake(e, out)
}

// checkOverdue: nothing was due before this event, unless the front door was paused.
func (b *books) checkOverdue() {
	if due := b.due(); due < b.Now && b.stepped < b.Now && b.door.PausedUntil < b.Now {
		b.failf("front door %d missed what was due at %v, was paused until %v, its timer is set to %v\n%v", b.door.id, due, b.door.PausedUntil, b.door.wake, b.door.m)
	}
	b.stepped = b.Now
}

func (b *books) apply(e Event, out *Output) {
	switch e := e.(type) {
	case *Inbound:
		b.inbound(e, out)
	case *Decoded:
		b.decoded(e)
	case *Undecoded:
		x := b.taking[e.Request]
		b.giveBack(x)
		b.reject(e.Request, x, e.Fault.Code)
	case *ClientGone:
		b.clientGone(e.ID.Seq)
	case *Stored:
		b.stored(e)
	case *StageSeen:
		b.stage = e.Stage
	case *ModelSeen:
		b.models[e.Spec.Name] = true
	case *ModelDropped:
		delete(b.models, e.Name)
	case *SchedulerBeat:
		b.schedulerBeat(e.Heartbeat)
	case *SchedulerLost:
		delete(b.epochs, e.ID)
		b.followEpoch()
	case *Dispatched:
		b.dispatched(&e.Dispatch)
	case *OutputArrived:
		b.output(e)
	case *InputSent:
		b.inputSent()
	case *Connection:
		if was := b.down; !e.Up {
			b.down = true
		} else if was || e.Breaks > b.reconnects {
			b.connectionBroke()
		}
		b.reconnects = e.Breaks
	case *BufferSeen:
		b.bufferSeen(e)
	case *Claimed:
		b.claimed(e)
	case *BufferLost:
		b.bufferLost()
	case *BufferReleased:
		b.keeperEnded()
	case *Stop:
		b.stop()
	case *Tick:
		b.expire()
		b.askAgain()
	}
}

func (b *books) serves() bool  { return b.stage == protocol.Active && b.latest != 0 }
func (b *books) serving() bool { return b.stage == protocol.Active && b.epoch != 0 }

// numbers are those of the requests in some phases, in order.
func (b *books) numbers(of ...phase) (list []uint64) {
	for _, seq := range slices.Sorted(maps.Keys(b.open)) {
		if slices.Contains(of, b.open[seq].phase) {
			list = append(list, seq)
		}
	}
	return list
}

// due is when the next Tick is required.
func (b *books) due() protocol.Time {
	due := b.bufferDue()
	for _, x := range b.open {
		switch x.phase {
		case waiting:
			due = min(due, x.deadline)
		case asked:
			due = min(due, x.askAt)
		}
	}
	return due
}

// checkWake: the machine asks for a Tick in time, and after a Tick not at once again.
func (b *books) checkWake(e Event, out *Output) {
	if due := b.due(); out.Wake > due {
		b.failf("front door %d wants to be woken at %v, and something is due at %v", b.door.id, out.Wake, due)
	}
	if _, tick := e.(*Tick); tick && out.Wake <= b.Now {
		b.failf("front door %d was woken, and wants to be woken at %v again\n%v", b.door.id, out.Wake, b.door.m)
	}
}

// checkAccounts: the counts are those of the books (G13).
func (b *books) checkAccounts() {
	s, m := b.door.m.Snapshot(), b.door.m
	counts := Counts{Received: b.received, Answered: b.answered, Left: b.left, Late: b.late}
	bytes := int64(0)
	for _, x := range b.open {
		if x.phase == waiting {
			bytes += int64(x.payload)
		}
	}
	flight, buffered := len(b.open)+len(b.others), len(b.unclaimed)+len(b.claiming)+len(b.undecided)
	if s.Counts != counts || s.InFlight != flight || s.Bytes != bytes || s.Waiting != buffered {
		b.failf("G13: front door %d counts %+v, the books %+v, %d in flight with %d bytes, %d in the buffer", b.door.id, s, counts, flight, bytes, buffered)
	}
	if m.slow.taken != b.slow.taken() || m.stores.taken != b.stores.taken() {
		b.failf("G13: front door %d has given %d and %d slots, the books %d and %d", b.door.id, m.slow.taken, m.stores.taken, b.slow.taken(), b.stores.taken())
	}
	if b.epoch != m.Epoch() || b.latest != m.LastEpoch() || b.stage != s.Stage {
		b.failf("front door %d follows epoch %d after %d, the books %d after %d", b.door.id, m.Epoch(), m.LastEpoch(), b.epoch, b.latest)
	}
	b.checkBalance()
}

// checkBalance: each received request is counted once (G13).
func (b *books) checkBalance() {
	here := int64(len(b.taking) + len(b.open) + len(b.others))
	if b.received+b.tookOver != b.answered+b.left+here+b.storedAll {
		b.failf("G13: front door %d: %d received, %d taken over; %d answered, %d left, %d here, %d stored", b.door.id, b.received, b.tookOver, b.answered, b.left, here, b.storedAll)
	}
}

// excuseAll allows that requests of a crashed front door get no answer, also those it may
// have claimed.
func (b *books) excuseAll(why string) {
	for _, x := range b.taking {
		x.c.excuse(why)
	}
	for _, x := range b.open {
		x.c.excuse(why)
	}
	for _, x := range b.others {
		x.c.excuse(why)
	}
	for _, k := range slices.Concat(b.claiming, slices.Collect(maps.Values(b.undecided))) {
		if k.client != nil {
			k.client.excuse(why)
		}
	}
}

// checkEnd: after some time without faults nothing is left.
func (b *books) checkEnd() {
	if n := len(b.taking) + len(b.open) + len(b.others) + len(b.unclaimed) + len(b.claiming) + len(b.undecided); n > 0 {
		b.failf("G13: front door %d is not done with %d requests\n%v", b.door.id, n, b.door.m)
	}
	if b.door.m.slow.by == nil || len(b.door.m.slow.by)+len(b.door.m.stores.by) > 0 {
		b.failf("G11: front door %d remembers who had slots", b.door.id)
	}
}
