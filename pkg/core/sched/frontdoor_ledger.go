package sched

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/protocol"
)

// frontDoors are the books on who waits for whose answer (package protocol, who
// answers a request). A request is in its front door's ledger from its submission
// until the front door says that it answers; so what is left when a front door is
// lost, nobody has answered. Everything that reaches the term from a front door
// comes in the order in which the front door sent it.
type frontDoors struct {
	watch    liveness.Watch
	ledgers  map[uint64]*ledger // by front door
	waiting  int                // clients, in all of them
	answered map[uint64]*answeredFor
	sum      int           // requests, in all of answered
	question uint64        // the last one about a front door
	next     protocol.Time // when one that is lost is to be looked after
	tooMany  bool          // it was said that not all can be kept
}

// ledger is one front door's.
type ledger struct {
	door    uint64
	clients map[uint64]client // by the number of their request
	sweep   protocol.Time     // when to look for those that nobody will answer

	// Of a front door that is not heard:
	lost          bool
	since         protocol.Time // when it was missed
	next          protocol.Time // when to look after it
	queriedAt     protocol.Time // when the broker was last asked who listens there
	firstQuestion uint64        // of the first of the two questions; 0 for none
	noResponders  [2]bool       // on which of its two subjects nobody does
}

// client is where somebody waits, and from when on its front door does not answer
// unasked if the broker had lost it.
type client struct {
	reply string
	json  bool
	due   protocol.Time
}

// answeredFor are the requests that were answered for a front door.
type answeredFor struct {
	seqs map[uint64]struct{}
	last protocol.Time // when the last one was
}

// Bounds of the books.
const (
	// maxWaiting is of all front doors together. For those above it nobody answers
	// when their front door is lost. As many are remembered that were answered; more
	// are not answered.
	maxWaiting = 1 << 18
	// askEvery and askFor are how often, and for how long, the broker is asked about
	// a front door that is missed. What was answered for one is remembered so long,
	// which is more than protocol.LateReplyFor.
	askEvery = 500 * time.Millisecond
	askFor   = 10 * time.Minute
	// staleAfter is how long after its deadline a request of a front door that is
	// heard is forgotten: what said that it was answered was lost with a connection.
	staleAfter = time.Minute
	// sweepEvery is how often those are looked for.
	sweepEvery = 10 * time.Second
)

func newFrontDoors(question uint64) frontDoors {
	return frontDoors{
		ledgers: map[uint64]*ledger{}, answered: map[uint64]*answeredFor{},
		question: question, next: protocol.Never,
	}
}

// answersReported brings the ledgers up to date. A front door that reports to another epoch is
// that scheduler's to answer for.
func (t *Term) answersReported(e *AnswersReported) {
	if !t.started {
		return
	}
	if e.Epoch != t.epoch {
		t.doors.drop(e.FrontDoor)
		return
	}
	t.doors.strike(e.FrontDoor, e.Answered)
}

// submitted gives the core a request, and notes where its client waits.
func (t *Term) submitted(e *Submitted) {
	if !t.started {
		return // front doors submit again what they have once an epoch is active
	}
	if e.Budget <= 0 {
		t.lateAnswer(e)
		return
	}
	if e.Epoch == t.epoch && e.Reply != "" && len(e.Reply) <= protocol.MaxReply && t.config.Subjects.IsClients(e.Reply) {
		t.keptAll(t.doors.note(t.now, &e.Submitted))
	}
	t.submit.Submission = e.Submission
	t.decide(&t.submit)
}

// keptAll tells people once that not everybody who waits can be kept.
func (t *Term) keptAll(kept bool) {
	if !kept && !t.doors.tooMany {
		t.doors.tooMany = true
		t.note(Note{Kind: NoteTooManyWaiting, Count: maxWaiting})
	}
}

// lateAnswer says whose the answer is. A scheduler of another epoch than the front
// door speaks of has no say.
func (t *Term) lateAnswer(e *Submitted) {
	if e.Epoch != t.epoch {
		return
	}
	word := protocol.Taken
	if !t.doors.isAnswered(e.ID) {
		word = protocol.Yours
		t.doors.strike(e.ID.Door, []uint64{e.ID.Seq})
	}
	t.out.Verdicts = append(t.out.Verdicts, protocol.Dispatch{ID: e.ID, Kind: word})
}

func (t *Term) frontDoorBeat(h protocol.Heartbeat) {
	door, err := protocol.ParseDoor(h.ID)
	if err != nil {
		return
	}
	t.doors.watch.Beat(h)
	t.doors.heard(t.now, door)
}

// frontDoorLost begins to look after a front door that is missed. It may be dead,
// stopped or cut off, and in the last two cases what it has said may still arrive,
// or it may go on.
func (t *Term) frontDoorLost(h protocol.Heartbeat) {
	door, err := protocol.ParseDoor(h.ID)
	if err != nil {
		return
	}
	t.decide(&DoorLost{Door: door})
	if of := t.doors.ledgers[door]; of != nil {
		t.note(Note{Kind: NoteFrontDoorLost, ID: h.ID, Count: len(of.clients)})
		of.lost, of.since = true, t.now
		t.pursue(of)
		t.doors.schedule()
	}
}

// pursueAll looks after the front doors that it is time for.
func (t *Term) pursueAll() {
	for _, door := range slices.Sorted(maps.Keys(t.doors.ledgers)) {
		if of := t.doors.ledgers[door]; of.lost && of.next <= t.now {
			t.pursue(of)
		}
	}
	t.doors.schedule()
}

// pursue does what is next for a front door that is missed: it asks about it when
// requests are due, and sleeps until then.
func (t *Term) pursue(of *ledger) {
	next := of.due()
	if next == protocol.Never || t.now.Sub(of.since) > askFor {
		t.doors.drop(of.door)
		return
	}
	if next <= t.now {
		t.doors.question += 2
		of.firstQuestion, of.queriedAt, of.noResponders = t.doors.question, t.now, [2]bool{}
		t.out.Questions = append(t.out.Questions, FrontDoorQuestion{of.door, of.firstQuestion, of.firstQuestion + 1})
		next = t.now.Add(askEvery)
	}
	of.next = next
}

// noResponders takes the broker's answer about one subject of a front door. Two
// mean that both of its connections were gone: all it said on them has been heard
// before, since those answers come on the same subject behind it. That declares it
// lost, and what was due when the question was asked is the term's to answer.
func (t *Term) noResponders(door, question uint64) {
	of := t.doors.ledgers[door]
	if of == nil || !of.lost || of.firstQuestion == 0 || question != of.firstQuestion && question != of.firstQuestion+1 {
		return
	}
	if of.noResponders[question-of.firstQuestion] = true; !of.noResponders[0] || !of.noResponders[1] {
		return
	}
	of.firstQuestion = 0
	answers := t.doors.take(t.now, of)
	if len(answers) > 0 {
		t.note(Note{Kind: NoteAnswering, ID: protocol.DoorName(door), Count: len(answers)})
		t.out.Owed = append(t.out.Owed, OwedAnswers{door, answers})
	}
	t.pursue(of)
	t.doors.schedule()
}

// messagesMissed forgets the ledgers: something that front doors said may have been
// missed, and no answer is better than two.
func (t *Term) messagesMissed() {
	if n := t.doors.clear(); n > 0 {
		t.note(Note{Kind: NoteForgotten, Count: n})
	}
}

// note takes a request in. Whoever submits lives: it may have been missed, or not
// have been heard yet.
func (f *frontDoors) note(now protocol.Time, r *protocol.Submitted) (kept bool) {
	if f.waiting >= maxWaiting {
		return false
	}
	of := f.ledgers[r.ID.Door]
	if of == nil {
		of = &ledger{door: r.ID.Door, clients: map[uint64]client{}, sweep: now.Add(sweepEvery)}
		f.ledgers[r.ID.Door] = of
		f.expect(of.door)
	} else if of.lost {
		f.found(of)
		f.expect(of.door)
	}
	budget := min(r.Budget, protocol.MaxSLO)
	before := len(of.clients)
	of.clients[r.ID.Seq] = client{r.Reply, r.JSON, now.Add(budget + budget/protocol.AnswerLostDrift + protocol.AnswerLostAfter)}
	f.waiting += len(of.clients) - before
	return true
}

// expect has a front door missed if it dies before its heartbeat was heard.
func (f *frontDoors) expect(door uint64) {
	f.watch.Expect(protocol.Heartbeat{Service: protocol.FrontDoor, ID: protocol.DoorName(door), Incarnation: door})
}

// strike takes requests out that their front door answers.
func (f *frontDoors) strike(door uint64, seqs []uint64) {
	of := f.ledgers[door]
	if of == nil {
		return
	}
	before := len(of.clients)
	for _, seq := range seqs {
		delete(of.clients, seq)
	}
	f.waiting += len(of.clients) - before
}

// take strikes out what a front door owed when the broker was asked, and remembers
// that it is answered.
func (f *frontDoors) take(now protocol.Time, of *ledger) (answers []OwedAnswer) {
	f.forgetAnswered(now)
	for _, seq := range slices.Sorted(maps.Keys(of.clients)) {
		c := of.clients[seq]
		if c.due > of.queriedAt {
			continue
		}
		delete(of.clients, seq)
		f.waiting--
		if f.remember(now, of.door, seq) {
			answers = append(answers, OwedAnswer{seq, c.reply, c.json})
		}
	}
	return answers
}

// remember notes that a request is answered for its front door, if there is room.
func (f *frontDoors) remember(now protocol.Time, door, seq uint64) bool {
	if f.sum >= maxWaiting {
		return false
	}
	a := f.answered[door]
	if a == nil {
		a = &answeredFor{seqs: map[uint64]struct{}{}}
		f.answered[door] = a
	}
	before := len(a.seqs)
	a.seqs[seq], a.last = struct{}{}, now
	f.sum += len(a.seqs) - before
	return true
}

// isAnswered reports whether a request was answered for its front door.
func (f *frontDoors) isAnswered(id protocol.RequestID) bool {
	a := f.answered[id.Door]
	if a == nil {
		return false
	}
	_, is := a.seqs[id.Seq]
	return is
}

// forgetAnswered makes room.
func (f *frontDoors) forgetAnswered(now protocol.Time) {
	maps.DeleteFunc(f.answered, func(_ uint64, a *answeredFor) bool {
		old := now.Sub(a.last) > askFor
		if old {
			f.sum -= len(a.seqs)
		}
		return old
	})
}

// due is when a front door will owe something, Never if it does not.
func (of *ledger) due() protocol.Time {
	first := protocol.Never
	for _, c := range of.clients {
		first = min(first, c.due)
	}
	return first
}

// heard says that a front door lives: what it owes it answers itself.
func (f *frontDoors) heard(now protocol.Time, door uint64) {
	of := f.ledgers[door]
	if of == nil {
		return
	}
	if of.lost {
		f.found(of)
	}
	if now < of.sweep {
		return
	}
	of.sweep = now.Add(sweepEvery)
	before := len(of.clients)
	maps.DeleteFunc(of.clients, func(_ uint64, c client) bool { return c.due <= now.Add(-staleAfter) })
	f.waiting += len(of.clients) - before
}

// found ends the search for a front door.
func (f *frontDoors) found(of *ledger) {
	of.lost, of.firstQuestion, of.noResponders = false, 0, [2]bool{}
	f.schedule()
}

// drop forgets who waits for a front door.
func (f *frontDoors) drop(door uint64) {
	if of := f.ledgers[door]; of != nil {
		f.waiting -= len(of.clients)
		delete(f.ledgers, door)
		f.schedule()
	}
}

// clear forgets who waits for whom, and returns how many did.
func (f *frontDoors) clear() (waited int) {
	waited = f.waiting
	clear(f.ledgers)
	f.waiting, f.next = 0, protocol.Never
	return waited
}

// schedule settles when a lost front door is to be looked after.
func (f *frontDoors) schedule() {
	f.next = protocol.Never
	for _, of := range f.ledgers {
		if of.lost {
			f.next = min(f.next, of.next)
		}
	}
}

// draw lists the front doors.
func (f *frontDoors) draw(b *strings.Builder) {
	for _, of := range slices.SortedFunc(maps.Values(f.ledgers), func(a, b *ledger) int { return cmp.Compare(a.door, b.door) }) {
		fmt.Fprintf(b, "front door %s waiting %d", protocol.DoorName(of.door), len(of.clients))
		if of.lost {
			fmt.Fprintf(b, " lost since %v, looked after at %v", of.since, of.next)
		}
		b.WriteString("\n")
	}
	for _, door := range slices.Sorted(maps.Keys(f.answered)) {
		fmt.Fprintf(b, "front door %s answered for %d\n", protocol.DoorName(door), len(f.answered[door].seqs))
	}
}
