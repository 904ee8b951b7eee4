package scheduler

import (
	"cmp"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// ledgers say which clients wait for the answer of which front door. A request
// is in its door's from its submission until the door says that it answers; so
// what is left when a door is gone, nobody has answered. The term's lock guards
// them, and everything that reaches them from a door comes in the order in which
// the door sent it.
type ledgers struct {
	doors   map[uint64]*ledger
	waiting int // clients, in all of them
}

// ledger is one front door's.
type ledger struct {
	door    uint64
	clients map[uint64]client // by the number of their request
	sweep   protocol.Time     // when to look for those that nobody will answer

	// Of a door that is not heard:
	lost     bool
	since    protocol.Time // when it was missed
	asked    protocol.Time // when the broker was last asked who listens there
	question uint64        // the number of that question
	nobody   int           // on how many of its two subjects nobody does
	timer    *time.Timer   // of what is next to do; nil while it is heard
}

// client is where somebody waits, and from when on the door does not answer any
// more if the broker had lost it.
type client struct {
	reply string
	json  bool
	due   protocol.Time
}

// owed is a request that its door cannot answer any more.
type owed struct {
	seq uint64
	client
}

// Bounds of the ledgers.
const (
	// maxWaiting is of all doors together. For those above it nobody answers when
	// their door is killed.
	maxWaiting = 1 << 18
	// answerAfter is how long after its deadline a lost door's request is
	// answered: twice what a door that had lost the broker allows itself. Clocks
	// may differ by a thousandth besides.
	answerAfter = 50 * time.Millisecond
	clockDrift  = 1024
	// stale is how long after its deadline a request of a door that is heard is
	// forgotten: what said that it was answered was lost with a connection.
	stale = time.Minute
	// sweepEvery is how often those are looked for.
	sweepEvery = 10 * time.Second
)

// submitted takes a request in.
func (l *ledgers) submitted(now protocol.Time, r *protocol.Submitted) (kept bool) {
	if l.waiting >= maxWaiting {
		return false
	}
	of := l.doors[r.ID.Door]
	if of == nil {
		of = &ledger{door: r.ID.Door, clients: map[uint64]client{}, sweep: now.Add(sweepEvery)}
		l.doors[r.ID.Door] = of
	}
	budget := min(max(0, r.Budget), protocol.MaxSLO)
	before := len(of.clients)
	of.clients[r.ID.Seq] = client{r.Reply, r.JSON, now.Add(budget + budget/clockDrift + answerAfter)}
	l.waiting += len(of.clients) - before
	return true
}

// answered strikes requests out.
func (l *ledgers) answered(door uint64, seqs []uint64) {
	of := l.doors[door]
	if of == nil {
		return
	}
	before := len(of.clients)
	for _, seq := range seqs {
		delete(of.clients, seq)
	}
	l.waiting += len(of.clients) - before
}

// due strikes out what a door owes at an instant, and returns it in the order
// of its numbers.
func (l *ledgers) due(of *ledger, at protocol.Time) (list []owed) {
	for seq, c := range of.clients {
		if c.due <= at {
			list = append(list, owed{seq, c})
			delete(of.clients, seq)
		}
	}
	l.waiting -= len(list)
	slices.SortFunc(list, func(a, b owed) int { return cmp.Compare(a.seq, b.seq) })
	return list
}

// next is when a door will owe something, Never if it does not.
func (of *ledger) next() protocol.Time {
	first := protocol.Never
	for _, c := range of.clients {
		first = min(first, c.due)
	}
	return first
}

// heard says that a door lives: what it owes it answers itself.
func (l *ledgers) heard(now protocol.Time, door uint64) {
	of := l.doors[door]
	if of == nil {
		return
	}
	of.found()
	if now >= of.sweep {
		of.sweep = now.Add(sweepEvery)
		l.due(of, now.Add(-stale))
	}
}

// found ends the search for a door.
func (of *ledger) found() {
	of.lost, of.nobody = false, 0
	if of.timer != nil {
		of.timer.Stop()
		of.timer = nil
	}
}

// drop forgets a door.
func (l *ledgers) drop(door uint64) {
	if of := l.doors[door]; of != nil {
		of.found()
		l.waiting -= len(of.clients)
		delete(l.doors, door)
	}
}

// clear forgets all doors, and returns how many clients waited.
func (l *ledgers) clear() (waited int) {
	waited = l.waiting
	for door := range l.doors {
		l.drop(door)
	}
	return waited
}
