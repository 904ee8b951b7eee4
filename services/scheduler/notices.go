package scheduler

import (
	"fmt"
	"log/slog"
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
			name := protocol.DoorName(o.FrontDoor)
			t.bus.Notice(slog.LevelWarn, "requests of a lost front door not answered", name, "frontdoor", name, "error", err)
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

// say logs a note of the core. Most are caused by what others send.
func (t *term) say(n sched.Note) {
	log := t.bus.Log
	info := func(what string, args ...any) { t.bus.Notice(slog.LevelInfo, what, n.ID, args...) }
	warn := func(what string, args ...any) { t.bus.Notice(slog.LevelWarn, what, n.ID, args...) }
	switch n.Kind {
	case sched.NoteStarted:
		log.Info("activated", "epoch", t.epoch, "workers", n.Count)
	case sched.NoteActive:
		log.Info("active", "epoch", t.epoch, "workers", n.Count)
	case sched.NoteWorkerJoined:
		info("worker joined", "worker", n.ID, "workers", n.Count)
	case sched.NoteWorkerLeft:
		info("worker left", "worker", n.ID, "workers", n.Count)
	case sched.NoteWorkerLost:
		warn("worker lost; its requests are planned anew", "worker", n.ID, "workers", n.Count)
	case sched.NoteTooManyWorkers:
		warn("worker ignored: too many", "worker", n.ID, "limit", n.Count)
	case sched.NoteFrontDoorLost:
		warn("front door lost", "frontdoor", n.ID, "unanswered", n.Count)
	case sched.NoteAnswering:
		warn("answering for a lost front door", "frontdoor", n.ID, "requests", n.Count)
	case sched.NoteTooManyWaiting:
		log.Warn("too many open requests: if a front door dies, some of its requests get no answer", "limit", n.Count)
	case sched.NoteEpochDoubted:
		t.bus.Doubt(fmt.Sprintf("%s says that it obeys epoch %d, this is %d", n.ID, n.Epoch, t.epoch))
	case sched.NoteSetSwitched:
		log.Info("another set of models is served", "set", n.Set, "models", n.Count)
	case sched.NoteForgotten:
		warn("connection to the broker was lost: if their front door dies, these requests get no answer", "requests", n.Count)
	}
}

// incident logs an incident of the core. What workers and models do causes them, at any rate.
func (t *term) incident(i *sched.Incident) {
	gpu := fmt.Sprint(i.Worker, "/", i.GPU)
	model := []any{"model", i.Model}
	if i.Worker != "" {
		model = append(model, "worker", i.Worker, "gpu", i.GPU)
	}
	blame := func(what string) { t.bus.Notice(slog.LevelWarn, what, gpu, append(model, "requests", i.Requests)...) }
	switch i.Kind {
	case sched.ExecutionCrashed:
		blame("an executor ended while it executed the model; its requests run once more, alone, or not again")
	case sched.ExecutionHung:
		blame("an execution of the model hung; its requests run once more, alone, or not again")
	case sched.WorkerCrashed:
		blame("a worker was lost while it executed a request whose earlier executor had ended too; it does not run again")
	case sched.GPUStalled:
		t.bus.Notice(slog.LevelWarn, "GPU stalled: it gets no work, and its models are loaded elsewhere", gpu, "worker", i.Worker, "gpu", i.GPU)
	case sched.GPUServes:
		t.bus.Notice(slog.LevelInfo, "GPU serves again", gpu, "worker", i.Worker, "gpu", i.GPU)
	case sched.ModelQuarantined:
		t.bus.Notice(slog.LevelWarn, "model quarantined: its executions ended or hung what executed them too often", i.Model,
			append(model, "for", i.For, "refused", i.Requests)...)
	}
}
