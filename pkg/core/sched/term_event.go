package sched

import "clockwork/pkg/protocol"

// TermEvent is an input of Term.Step: one of the types in this file, Result, Withdraw or Tick.
// The latter three are passed on to the core.
type TermEvent interface{ termEvent() }

// Started carries the models, profiles and workers of the epoch. It may arrive more
// than once.
type Started struct{ State protocol.ClockworkState }

// WorkerAnnounced reports that a worker holds the models of the epoch. It joins once its
// clock is known.
type WorkerAnnounced struct{ State protocol.WorkerState }

// WorkerBeat is a worker's heartbeat, with the epoch to whose clock the worker knows the
// offset.
type WorkerBeat struct{ protocol.Heartbeat }

// WorkerAnswered ends a query of TermOutput.Ask. State is the result of GetWorkerState,
// nil if none arrived or it was refused. Obeys is the epoch that the result names, 0 for
// none.
type WorkerAnswered struct {
	WorkerQuestion
	State *protocol.WorkerState
	Obeys uint64
}

// SchedulerBeat is the heartbeat of another scheduler.
type SchedulerBeat struct{ protocol.Heartbeat }

// FrontDoorBeat is a front door's heartbeat.
type FrontDoorBeat struct {
	protocol.Heartbeat
	// Missed is as in NoResponders.
	Missed uint64
}

// AnswersReported is a SubmissionBatch without its requests, which follow as Submitted in
// their order.
type AnswersReported struct {
	// Epoch is the epoch that the front door reports to.
	FrontDoor, Epoch uint64
	// Answered are the requests that the front door claims, by RequestID.Seq.
	Answered []uint64
}

// Submitted is a request. A Budget of 0 or less asks who owns the answer (package
// protocol, who answers a request).
type Submitted struct {
	protocol.Submitted
	Epoch uint64 // of its batch
}

// NoResponders is the broker's answer to one of the two questions of a FrontDoorQuestion:
// nobody subscribes to that subject.
type NoResponders struct {
	FrontDoor, Question uint64
	// Missed is how often messages of front doors may have been lost on their way to this
	// process, up to the step with this event: connections that broke, messages that were
	// dropped. It counts on from TermConfig.Missed.
	Missed uint64
}

// HeartbeatDue advances the time in which heartbeats are missed. It comes every
// protocol.HeartbeatEvery, except for the time in which this process was paused.
type HeartbeatDue struct{}

func (*Started) termEvent()         {}
func (*WorkerAnnounced) termEvent() {}
func (*WorkerBeat) termEvent()      {}
func (*WorkerAnswered) termEvent()  {}
func (*SchedulerBeat) termEvent()   {}
func (*FrontDoorBeat) termEvent()   {}
func (*AnswersReported) termEvent() {}
func (*Submitted) termEvent()       {}
func (*NoResponders) termEvent()    {}
func (*HeartbeatDue) termEvent()    {}
func (*Result) termEvent()          {}
func (*Withdraw) termEvent()        {}
func (*Tick) termEvent()            {}

// TermOutput is the work for the driver after one Step, in the order of its fields. It is
// valid until the next Step. Output is the core's; its Wake covers core and term.
type TermOutput struct {
	Output
	// Verdicts answer the front doors' questions about late answers: Yours or Taken.
	Verdicts []protocol.Dispatch
	// Ask are workers to query with GetWorkerState, because they join, or were lost and
	// are heard again. Each query ends with one WorkerAnswered.
	Ask []WorkerQuestion
	// Questions are queries to the broker about lost front doors.
	Questions []FrontDoorQuestion
	// Owed are the answers to send in place of lost front doors: FRONT_DOOR_LOST to
	// each client, after the claim of its request.
	Owed []OwedAnswers
	// Activated: the term became active in this step. Its heartbeat is sent at once.
	Activated bool
	// Resign is why the process must give up the lease, "" if it keeps the lease.
	Resign string
	// Notes are for logs and displays.
	Notes []Note
}

// WorkerQuestion is a query of one incarnation of a worker. The question carries the epoch,
// so that the worker obeys it from then on. Lean asks for the GPUs alone. Number counts the
// questions of the term.
type WorkerQuestion struct {
	ID          string
	Incarnation uint64
	Epoch       uint64
	Lean        bool
	Number      uint64
}

// FrontDoorQuestion asks the broker whether anybody subscribes to a front door's dispatch
// subject and to its output subject. Dispatch and Output are the numbers of these two
// questions, which the answers carry.
type FrontDoorQuestion struct{ FrontDoor, Dispatch, Output uint64 }

// OwedAnswers are the answers that a lost front door did not give, in order of its
// requests.
type OwedAnswers struct {
	// FrontDoor is confirmed dead by the broker.
	FrontDoor uint64
	Answers   []OwedAnswer
}

// OwedAnswer is one client to answer.
type OwedAnswer struct {
	// Seq is the request's RequestID.Seq.
	Seq uint64
	// Reply is the client's reply subject, JSON the encoding (otherwise msgpack).
	Reply string
	JSON  bool
}

// Note is an entry for logs and displays.
type Note struct {
	Kind NoteKind
	// ID is the worker's or the front door's, "" for kinds that concern none.
	ID string
	// Count has the meaning that the kind gives it.
	Count int
	// Epoch is that of NoteEpochDoubted, Set that of NoteSetSwitched.
	Epoch, Set uint64
}

// NoteKind is one of the kinds of this file.
type NoteKind uint8

const (
	// NoteStarted: the epoch began with Count workers.
	NoteStarted NoteKind = iota + 1
	// NoteActive: requests are served, with Count workers.
	NoteActive
	// NoteWorkerJoined, NoteWorkerLeft and NoteWorkerLost: the core has Count workers
	// now. A worker that left had finished its actions; the requests of a lost worker
	// are planned again.
	NoteWorkerJoined
	NoteWorkerLeft
	NoteWorkerLost
	// NoteTooManyWorkers: the worker is ignored, because Count are followed already.
	NoteTooManyWorkers
	// NoteFrontDoorLost: Count of its requests are unanswered.
	NoteFrontDoorLost
	// NoteAnswering: the term answers Count requests of the lost front door.
	NoteAnswering
	// NoteTooManyWaiting: more than Count clients wait. Those beyond get no answer if
	// their front door is lost. Output once per term.
	NoteTooManyWaiting
	// NoteForgotten: messages of front doors may have been missed. If these front doors
	// are lost, Count requests get no answer.
	NoteForgotten
	// NoteEpochDoubted: worker ID names a newer epoch than this one, which no scheduler has
	// told of. That is ignored; a worker that obeys it is of no use and does not belong.
	NoteEpochDoubted
	// NoteSetSwitched: Count models are served now, those of this Set.
	NoteSetSwitched
)
