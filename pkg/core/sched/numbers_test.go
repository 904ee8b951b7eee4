package sched

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/hostile"
)

// TestAnyNumberOfAPeerIsTaken has a term serve two requests, while one number of what others
// send is an extreme one: nothing panics, and no sum of the core is below zero.
func TestAnyNumberOfAPeerIsTaken(t *testing.T) {
	hostile.EachNumber(t, func(give func(any, func())) {
		core, err := New("clockwork", Defaults())
		if err != nil {
			t.Fatal(err)
		}
		term := NewTerm(core, TermConfig{Epoch: 5, Issuer: 7, Question: 9, Subjects: protocol.Subjects{Prefix: "clockwork"}})
		now := protocol.Time(1e9)
		var sent []protocol.Action
		step := func(e TermEvent) {
			give(e, func() {
				now = now.Add(time.Millisecond)
				for _, a := range term.Step(now, e).Actions {
					a.Action.Requests = append([]protocol.RequestRef(nil), a.Action.Requests...)
					sent = append(sent, a.Action)
				}
			})
		}
		model, profile := spec("m", 1, 5*time.Millisecond, 2*time.Millisecond, 3*time.Millisecond)
		worker := protocol.WorkerState{ID: "w1", Incarnation: 3, PageSize: 16, Models: []protocol.ModelSpec{model},
			GPUs: []protocol.GPUState{{Type: "t4", PagesTotal: 8, PagesUsed: 1, Models: []string{"m"}}}}
		step(&Started{protocol.ClockworkState{Term: 1, PageSize: 16, Models: []protocol.ModelSpec{model}, Profiles: []protocol.Profile{profile}}})
		step(&WorkerAnnounced{worker})
		beat := protocol.Heartbeat{Service: protocol.Worker, ID: "w1", Incarnation: 3, ClockEpoch: 5, GPUs: []protocol.GPUBeat{{}}}
		step(&WorkerBeat{beat})
		step(&WorkerAnswered{WorkerQuestion: WorkerQuestion{Number: 1, ID: "w1", Incarnation: 3, Epoch: 5, Lean: true}, State: &worker, Obeys: 5})
		step(&SchedulerBeat{protocol.Heartbeat{ID: "s2", Incarnation: 1, Epoch: 4}})
		for seq := range uint64(2) {
			step(&Submitted{Epoch: 5, Submitted: protocol.Submitted{Reply: "_INBOX.x", Submission: protocol.Submission{
				ID: protocol.RequestID{Door: 1, Seq: seq}, Model: "m", Batch: 1, Bytes: 8, Budget: 100 * time.Millisecond, Elapsed: time.Millisecond}}})
			step(&FrontDoorBeat{Heartbeat: protocol.Heartbeat{Service: protocol.FrontDoor, ID: protocol.DoorName(1), Incarnation: 1, Epoch: 5}})
		}
		for _, a := range sent {
			at := protocol.Phase{Begin: now, End: now.Add(2 * time.Millisecond), Device: 2 * time.Millisecond}
			step(&Result{protocol.Result{Action: a.ID, Issuer: a.Issuer, Epoch: 5, Incarnation: 3, Worker: "w1", Kind: a.Kind, Code: protocol.OK, Model: a.Model,
				GPU: a.GPU, Batch: a.Batch, Received: now, Begin: now, End: at.End, Sent: at.End, Input: at, Exec: at, Output: at}})
		}
		step(&AnswersReported{FrontDoor: 1, Epoch: 5, Answered: []uint64{0}})
		step(&WorkerBeat{beat})
		for range 10 {
			now = now.Add(protocol.HeartbeatEvery)
			term.Step(now, &HeartbeatDue{})
			term.Step(now, &Tick{})
		}
		if s := core.Stats(); min(s.Queued, s.InFlight, s.Submitted, s.Refused, s.Succeeded) < 0 {
			t.Fatalf("sums below zero: %+v", s)
		}
		_ = term.String()
	})
}
