package sched

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// BenchmarkTerm is what a request costs around the policy's core: into the books, one
// step, out of the books, 16 claimed together.
func BenchmarkTerm(b *testing.B) {
	core, err := New("echo", Defaults())
	if err != nil {
		b.Fatal(err)
	}
	t := NewTerm(core, TermConfig{Epoch: 1, Subjects: protocol.Subjects{Prefix: "clockwork"}})
	t.Step(0, &Started{})
	submit := &Submitted{Epoch: 1, Submitted: protocol.Submitted{Reply: "_INBOX.Cg7pqFzD2vRMXjCmwNc2Xl.Cg7pqFzD", Submission: protocol.Submission{
		ID: protocol.RequestID{Door: 1}, Model: "m", Batch: 1, Budget: 100 * time.Millisecond}}}
	spoke := &AnswersReported{FrontDoor: 1, Epoch: 1}
	now := protocol.Time(1)
	b.ReportAllocs()
	for b.Loop() {
		now += 1000
		submit.ID.Seq++
		t.Step(now, submit)
		if spoke.Answered = append(spoke.Answered, submit.ID.Seq); len(spoke.Answered) == 16 {
			t.Step(now, spoke)
			spoke.Answered = spoke.Answered[:0]
		}
	}
}
