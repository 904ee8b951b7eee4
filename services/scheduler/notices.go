package scheduler

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// This file sends everything that is not a decision on a request: queries of
// workers and of the broker, answers on behalf of lost front doors, and log
// lines.

// ask queries a worker's state.
func (t *term) ask(q sched.WorkerQuestion) {
	r, err := t.caller.Do(t.ctx, q.ID, protocol.Action{
		Kind: protocol.GetWorkerState, Incarnation: q.Incarnation, Epoch: q.Epoch, Lean: q.Lean, Latest: protocol.Never,
	})
	answer := sched.WorkerAnswered{WorkerQuestion: q}
	if err == nil {
		answer.State, answer.Obeys = r.State, r.Epoch
	}
	t.take(&answer)
}

// noWorker takes the place of a worker in the subject of an empty message to a front door.
const noWorker = "nobody"

// queryResponders sends an empty message to both subjects of a front door. If
// there is no subscriber, the broker replies so, after all messages that the
// front door sent; a front door that is alive ignores the empty messages.
func (t *term) queryResponders(q sched.FrontDoorQuestion) {
	s := t.bus.Subjects
	for _, ask := range []struct {
		number  uint64
		subject string
		nothing []byte
	}{
		{q.Dispatch, s.Dispatch(q.FrontDoor), wire.Dispatches.Encode(&[]protocol.Dispatch{})},
		{q.Output, s.OutputOf(q.FrontDoor, noWorker), wire.Outputs.Encode(&[]protocol.Output{})},
	} {
		answer := s.Submit(q.FrontDoor) + "." + strconv.FormatUint(ask.number, 10)
		if err := t.bus.Control.PublishRequest(ask.subject, answer, ask.nothing); err != nil {
			t.bus.Log.Debug("broker not asked about a front door", "error", err) // repeated later
		}
	}
}

// answerFor answers requests on behalf of a lost front door. Other schedulers
// that may know these requests are informed first, as front doors do.
func (t *term) answerFor(o sched.OwedAnswers) {
	for part := range slices.Chunk(o.Answers, maxDispatches) {
		b := protocol.SubmissionBatch{Door: o.FrontDoor, Epoch: t.epoch}
		for _, a := range part {
			b.Answered = append(b.Answered, a.Seq)
		}
		err := bus.PublishCut(t.bus.Control, wire.Submissions, t.bus.Subjects.Submit(o.FrontDoor), &b, bus.HalfBatches)
		for i := 0; err == nil && i < len(part); i++ {
			err = t.bus.Control.PublishMsg(frontDoorLost(o.FrontDoor, part[i]))
		}
		if err != nil {
			t.bus.Log.Warn("requests of a lost front door not answered", "frontdoor", protocol.DoorName(o.FrontDoor), "error", err)
			return
		}
	}
}

func frontDoorLost(door uint64, a sched.OwedAnswer) *nats.Msg {
	encoding := protocol.Msgpack
	if a.JSON {
		encoding = protocol.JSON
	}
	return bus.ErrorReply(encoding, a.Reply, protocol.Errorf(protocol.FrontDoorLost, "front door %s was lost while it had the request", protocol.DoorName(door)))
}

// say logs a note of the core.
func (t *term) say(n sched.Note) {
	log := t.bus.Log
	switch n.Kind {
	case sched.NoteStarted:
		log.Info("activated", "epoch", t.epoch, "workers", n.Count)
	case sched.NoteActive:
		log.Info("active", "epoch", t.epoch, "workers", n.Count)
	case sched.NoteWorkerJoined:
		log.Info("worker joined", "worker", n.ID, "workers", n.Count)
	case sched.NoteWorkerLeft:
		log.Info("worker left", "worker", n.ID, "workers", n.Count)
	case sched.NoteWorkerLost:
		log.Warn("worker lost; its requests are planned anew", "worker", n.ID, "workers", n.Count)
	case sched.NoteTooManyWorkers:
		log.Warn("worker ignored: too many", "worker", n.ID, "limit", n.Count)
	case sched.NoteFrontDoorLost:
		log.Warn("front door lost", "frontdoor", n.ID, "unanswered", n.Count)
	case sched.NoteAnswering:
		log.Warn("answering for a lost front door", "frontdoor", n.ID, "requests", n.Count)
	case sched.NoteTooManyWaiting:
		log.Warn("too many open requests: if a front door dies, some of its requests get no answer", "limit", n.Count)
	case sched.NoteEpochDoubted:
		t.bus.Doubt(fmt.Sprintf("%s says that it obeys epoch %d, this is %d", n.ID, n.Epoch, t.epoch))
	case sched.NoteForgotten:
		log.Warn("connection to the broker was lost: if their front door dies, these requests get no answer", "requests", n.Count)
	}
}

// incident logs an incident of the core: one line for each.
func (t *term) incident(i *sched.Incident) {
	log := t.bus.Log.With("model", i.Model)
	if i.Worker != "" {
		log = log.With("worker", i.Worker, "gpu", i.GPU)
	}
	switch i.Kind {
	case sched.ExecutionCrashed:
		log.Warn("an executor ended while it executed the model; its requests run once more, alone, or not again", "requests", i.Requests)
	case sched.ExecutionHung:
		log.Warn("an execution of the model hung; its requests run once more, alone, or not again", "requests", i.Requests)
	case sched.WorkerCrashed:
		log.Warn("a worker was lost while it executed a request whose earlier executor had ended too; it does not run again", "requests", i.Requests)
	case sched.GPUStalled:
		t.bus.Log.Warn("GPU stalled: it gets no work, and its models are loaded elsewhere", "worker", i.Worker, "gpu", i.GPU)
	case sched.GPUServes:
		t.bus.Log.Info("GPU serves again", "worker", i.Worker, "gpu", i.GPU)
	case sched.ModelQuarantined:
		t.core.Snapshot(&t.snapshot)
		list := t.snapshot.Quarantined()
		t.quarantined.Store(&list)
		log.Warn("model quarantined: its executions ended or hung what executed them too often", "for", i.For, "refused", i.Requests)
	}
}
