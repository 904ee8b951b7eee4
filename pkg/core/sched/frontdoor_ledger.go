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

// frontDoors records the unanswered requests of each front door, for the case that the
// front door is lost (package protocol, who answers a request). A request is in its
// front door's ledger from its submission until the front door claims it; so the
// requests that are left when a front door is lost have no answer. The messages of a
// front door reach the term in the order in which the front door sent them.
//
// Invariants: waiting and sum are the numbers of requests in ledgers and answered, each
// at most maxWaiting.
type frontDoors struct {
	// watch follows the front doors' heartbeats.
	watch liveness.Watch
	// ledgers are by front door; one begins with the front door's first request.
	ledgers map[uint64]*ledger
	waiting int
	// answered are the requests that this term answered, by front door. They stay for
	// at least askFor after the front door's last one.
	answered map[uint64]*answeredFor
	sum      int
	// question is the last ledger.firstQuestion. It starts at TermConfig.Question and
	// grows by 2.
	question uint64
	// next is the earliest ledger.next of a lost front door, Never without one.
	next protocol.Time
	// tooMany: NoteTooManyWaiting was output; it is output once per term.
	tooMany bool
}

// ledger holds the unanswered requests of one front door.
type ledger struct {
	door uint64
	// clients are the waiting clients, by RequestID.Seq.
	clients map[uint64]client
	// sweep is the earliest time of the next search for stale requests, which a
	// heartbeat of the front door triggers.
	sweep protocol.Time

	// lost: the front door's heartbeats are missing, and it has not been heard since.
	// The fields below are valid while lost.
	lost bool
	// since is when the heartbeats were found missing.
	since protocol.Time
	// next is when pursue must run again: a request becomes due, or the broker is
	// queried again.
	next protocol.Time
	// queriedAt is when the broker was last asked who subscribes to the front door's
	// two subjects. firstQuestion is the number of the question about its dispatch
	// subject, that of the output subject is one higher; 0 for no open question.
	queriedAt     protocol.Time
	firstQuestion uint64
	// noResponders says for each of the two questions whether the broker answered that
	// nobody subscribes.
	noResponders [2]bool
}

// client is where a client waits for its reply.
type client struct {
	// reply is the reply subject, json the encoding (otherwise msgpack).
	reply string
	json  bool
	// due is when the scheduler may answer in place of a lost front door:
	// AnswerLostAfter past the deadline, plus the drift of the clocks. The front door
	// asks before it answers that late.
	due protocol.Time
}

// answeredFor are the requests of one front door that this term answered.
type answeredFor struct {
	// seqs are the requests, by RequestID.Seq.
	seqs map[uint64]struct{}
	last protocol.Time // when the last of them was answered
}

// Bounds of the ledgers.
const (
	// maxWaiting bounds the waiting clients of all front doors together. Clients beyond
	// it get no answer if their front door is lost. It also bounds the remembered
	// answers; beyond it, the term does not answer.
	maxWaiting = 1 << 18
	// askEvery is the interval, and askFor the duration, of the queries to the broker
	// about a lost front door. Answers are remembered for askFor as well, which is more
	// than protocol.LateReplyFor.
	askEvery = 500 * time.Millisecond
	askFor   = 10 * time.Minute
	// staleAfter is how long after it is due a request of a live front door is removed:
	// its claim was lost with a connection.
	staleAfter = time.Minute
	// sweepEvery is the minimum interval between two searches for such requests.
	sweepEvery = 10 * time.Second
)

func newFrontDoors(question uint64) frontDoors {
	return frontDoors{
		ledgers: map[uint64]*ledger{}, answered: map[uint64]*answeredFor{},
		question: question, next: protocol.Never,
	}
}

// answersReported removes the requests that a front door claims. If the front door
// reports to another epoch, its whole ledger is dropped: that epoch's scheduler answers
// for it.
func (t *Term) answersReported(e *AnswersReported) {
	if !t.started {
		return
	}
	if e.Epoch != t.Epoch() {
		t.doors.drop(e.FrontDoor)
		return
	}
	t.doors.strike(e.FrontDoor, e.Answered)
	if len(e.Answered) > 0 {
		t.answered = Answered{e.FrontDoor, e.Answered}
		t.decide(&t.answered)
	}
}

// submitted passes a request to the core, and records the client in the ledger if the
// term may have to answer it: the batch is of this epoch, and the reply subject is valid.
func (t *Term) submitted(e *Submitted) {
	if !t.started {
		return // front doors submit their requests again once an epoch is active
	}
	if e.Budget <= 0 {
		t.lateAnswer(e)
		return
	}
	if e.Epoch == t.Epoch() && e.Reply != "" && len(e.Reply) <= protocol.MaxReply && t.config.Subjects.IsClients(e.Reply) {
		t.keptAll(t.doors.note(t.now, &e.Submitted))
	}
	t.submit.Submission = e.Submission
	t.decide(&t.submit)
}

// keptAll outputs NoteTooManyWaiting the first time that a client was not recorded.
func (t *Term) keptAll(kept bool) {
	if !kept && !t.doors.tooMany {
		t.doors.tooMany = true
		t.note(Note{Kind: NoteTooManyWaiting, Count: maxWaiting})
	}
}

// lateAnswer decides who owns the answer of a request: Taken if this term answered it,
// otherwise Yours, and the request leaves the ledger. A front door that names another
// epoch gets no verdict, because this term cannot decide for that epoch.
func (t *Term) lateAnswer(e *Submitted) {
	if e.Epoch != t.Epoch() {
		return
	}
	word := protocol.Taken
	if !t.doors.isAnswered(e.ID) {
		word = protocol.Yours
		t.doors.strike(e.ID.Door, []uint64{e.ID.Seq})
	}
	t.out.Verdicts = append(t.out.Verdicts, protocol.Dispatch{ID: e.ID, Kind: word, Epoch: t.Epoch()})
}

// frontDoorBeat takes a front door's heartbeat, which ends its loss.
func (t *Term) frontDoorBeat(h protocol.Heartbeat) {
	door, err := protocol.ParseDoor(h.ID)
	if err != nil {
		return
	}
	t.doors.watch.Beat(h)
	t.doors.heard(t.now, door)
}

// frontDoorLost handles missing heartbeats of a front door: the core drops its requests,
// and the term begins to query the broker about it. The front door may be dead, stopped
// or cut off. In the last two cases its earlier messages may still arrive, and it may
// continue.
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

// pursueAll calls pursue for the lost front doors whose time has come.
func (t *Term) pursueAll() {
	for _, door := range slices.Sorted(maps.Keys(t.doors.ledgers)) {
		if of := t.doors.ledgers[door]; of.lost && of.next <= t.now {
			t.pursue(of)
		}
	}
	t.doors.schedule()
}

// pursue continues with a lost front door: it waits until a request is due, then queries
// the broker every askEvery. It gives up after askFor, and ends when no request is left.
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

// noResponders takes the broker's answer that nobody subscribes to one subject of a front
// door. Such answers for both subjects mean that both connections of the front door are
// closed. All messages that it sent have arrived, because the broker's answers follow
// them on its submission subject. That declares the front door lost, and the term owns
// the answers that were due when the broker was queried.
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

// messagesMissed clears the ledgers if messages may have been lost since the last call: a
// claim may be among them, and no answer is better than two. It precedes what declares a
// front door dead. Submissions do not call it: those that were received before the loss may
// be processed after it, and their claims may be lost as well.
func (t *Term) messagesMissed(count uint64) {
	if count <= t.missed {
		return
	}
	t.missed = count
	if n := t.doors.clear(); n > 0 {
		t.note(Note{Kind: NoteForgotten, Count: n})
	}
}

// note records a request's client; false if there is no space. A front door that submits
// is alive: if it was lost, it is found, and if no heartbeat has arrived yet, its
// heartbeats are expected from now on.
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

// expect starts to watch a front door, so that its loss is detected even if no heartbeat
// ever arrives.
func (f *frontDoors) expect(door uint64) {
	f.watch.Expect(protocol.Heartbeat{Service: protocol.FrontDoor, ID: protocol.DoorName(door), Incarnation: door})
}

// strike removes requests that their front door claims.
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

// take removes the requests that were due when the broker was queried, remembers them as
// answered, and returns where to send the answers, in order of the requests. A request
// that cannot be remembered is removed without an answer.
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

// remember records that this term answers a request; false if there is no space.
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

// isAnswered reports whether this term answered a request of a lost front door.
func (f *frontDoors) isAnswered(id protocol.RequestID) bool {
	a := f.answered[id.Door]
	if a == nil {
		return false
	}
	_, is := a.seqs[id.Seq]
	return is
}

// forgetAnswered removes the answered requests of front doors whose last answer is more
// than askFor ago: no front door replies that late.
func (f *frontDoors) forgetAnswered(now protocol.Time) {
	maps.DeleteFunc(f.answered, func(_ uint64, a *answeredFor) bool {
		old := now.Sub(a.last) > askFor
		if old {
			f.sum -= len(a.seqs)
		}
		return old
	})
}

// due returns when the first request of a ledger is due, Never if it is empty.
func (of *ledger) due() protocol.Time {
	first := protocol.Never
	for _, c := range of.clients {
		first = min(first, c.due)
	}
	return first
}

// heard handles a sign of life: a lost front door is found and owns its answers again.
// From time to time it also removes stale requests.
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

// found ends the loss of a front door; open questions about it are ignored.
func (f *frontDoors) found(of *ledger) {
	of.lost, of.firstQuestion, of.noResponders = false, 0, [2]bool{}
	f.schedule()
}

// drop removes a front door's ledger.
func (f *frontDoors) drop(door uint64) {
	if of := f.ledgers[door]; of != nil {
		f.waiting -= len(of.clients)
		delete(f.ledgers, door)
		f.schedule()
	}
}

// clear removes all ledgers, and returns how many clients were in them.
func (f *frontDoors) clear() (waited int) {
	waited = f.waiting
	clear(f.ledgers)
	f.waiting, f.next = 0, protocol.Never
	return waited
}

// schedule sets next from the ledgers of the lost front doors.
func (f *frontDoors) schedule() {
	f.next = protocol.Never
	for _, of := range f.ledgers {
		if of.lost {
			f.next = min(f.next, of.next)
		}
	}
}

// draw writes the front doors for Term.String.
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
