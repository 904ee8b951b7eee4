package sched

import "clockwork/pkg/protocol"

// TermEvent is what can happen in a term. Result and Tick are given on to the core.
type TermEvent interface{ termEvent() }

// Started brings the models, profiles and workers of the epoch. It may come more
// than once.
type Started struct{ State protocol.ClockworkState }

// WorkerAnnounced says that a worker holds the models of the epoch; it joins once
// its clock is known.
type WorkerAnnounced struct{ State protocol.WorkerState }

// WorkerBeat is a worker's heartbeat.
type WorkerBeat struct{ protocol.Heartbeat }

// WorkerAnswered is what came of TermOutput.Ask; State is nil if nothing did.
type WorkerAnswered struct {
	ID          string
	Incarnation uint64
	State       *protocol.WorkerState
}

// FrontDoorBeat is a front door's heartbeat.
type FrontDoorBeat struct{ protocol.Heartbeat }

// AnswersReported is what a SubmissionBatch carries beside its requests, which follow
// as Submitted in their order: the epoch that the front door thinks is active, and
// the requests that it answers.
type AnswersReported struct {
	FrontDoor, Epoch uint64
	Answered         []uint64
}

// Submitted is a request; a Budget of 0 or less asks whose the answer is (package
// protocol, who answers a request).
type Submitted struct {
	protocol.Submitted
	Epoch uint64 // of its batch
}

// NoResponders is the broker's answer to one half of a FrontDoorQuestion.
type NoResponders struct{ FrontDoor, Question uint64 }

// MessagesMissed says that the broker may not have got through with something: a
// connection broke, or messages were dropped.
type MessagesMissed struct{}

// HeartbeatDue comes every protocol.HeartbeatEvery, and not for the time in which
// this process was stopped.
type HeartbeatDue struct{}

func (*Started) termEvent()         {}
func (*WorkerAnnounced) termEvent() {}
func (*WorkerBeat) termEvent()      {}
func (*WorkerAnswered) termEvent()  {}
func (*FrontDoorBeat) termEvent()   {}
func (*AnswersReported) termEvent() {}
func (*Submitted) termEvent()       {}
func (*NoResponders) termEvent()    {}
func (*MessagesMissed) termEvent()  {}
func (*HeartbeatDue) termEvent()    {}
func (*Result) termEvent()          {}
func (*Tick) termEvent()            {}

// TermOutput is what a Step wants done, in the order of its fields; it may be used
// until the next Step. The Output is the core's, with a Wake that counts for both.
type TermOutput struct {
	Output
	// Verdicts answer the questions of front doors about late answers: Yours or Taken.
	Verdicts []protocol.Dispatch
	// Ask are workers that were missed and live on: GetWorkerState, whose answer is
	// a WorkerAnswered.
	Ask []WorkerQuestion
	// Questions are to be put to the broker.
	Questions []FrontDoorQuestion
	// Owed are the answers of lost front doors, FRONT_DOOR_LOST to each; their
	// claims go out first.
	Owed []OwedAnswers
	// Activated: the term is active as of this step; its heartbeat is due now.
	Activated bool
	// Resign is why the lease is to be given up, "" while it is not.
	Resign string
	// Notes are for people.
	Notes []Note
}

// WorkerQuestion asks a worker for its state.
type WorkerQuestion struct {
	ID          string
	Incarnation uint64
}

// FrontDoorQuestion asks the broker who listens on a front door's dispatch and
// output subject; each question has its number.
type FrontDoorQuestion struct{ FrontDoor, Dispatch, Output uint64 }

// OwedAnswers are what a lost front door owed, in the order of its requests.
type OwedAnswers struct {
	FrontDoor uint64
	Answers   []OwedAnswer
}

// OwedAnswer is where a client waits.
type OwedAnswer struct {
	Seq   uint64 // of the request
	Reply string
	JSON  bool // else msgpack
}

// Note is something that people want to know.
type Note struct {
	Kind  NoteKind
	ID    string // of the worker or front door
	Count int    // as the kind says
}

// NoteKind is what a Note is about.
type NoteKind uint8

const (
	// NoteStarted: the epoch began with Count workers.
	NoteStarted NoteKind = iota + 1
	// NoteActive: requests are served, with Count workers.
	NoteActive
	// NoteWorkerJoined, NoteWorkerLeft and NoteWorkerLost: Count workers are there
	// now. One that left had finished; of one that is lost, requests are planned anew.
	NoteWorkerJoined
	NoteWorkerLeft
	NoteWorkerLost
	// NoteTooManyWorkers: the worker is ignored, since Count are followed.
	NoteTooManyWorkers
	// NoteFrontDoorLost: Count of its requests are unanswered.
	NoteFrontDoorLost
	// NoteAnswering: Count requests of the lost front door are answered.
	NoteAnswering
	// NoteTooManyWaiting: more than Count clients wait; for those above, nobody
	// answers if their front door dies. Said once a term.
	NoteTooManyWaiting
	// NoteForgotten: something of what front doors said may have been missed. If
	// they die, these Count requests are not answered.
	NoteForgotten
)
