package scheduler

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/testkit/logtext"
)

// TestAWorkerThatFlipsItsStateFillsNoLog has a worker change whatever it says of itself ten
// thousand times in a minute: each change is an incident or a note of the core.
func TestAWorkerThatFlipsItsStateFillsNoLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logtext.Buffer
		s := &term{bus: &bus.Bus{Log: slog.New(slog.NewTextHandler(&log, nil))}}
		incidents := []sched.IncidentKind{sched.GPUStalled, sched.GPUServes, sched.ExecutionCrashed, sched.ExecutionHung, sched.WorkerCrashed, sched.ModelQuarantined}
		notes := []sched.NoteKind{sched.NoteWorkerJoined, sched.NoteWorkerLeft, sched.NoteWorkerLost, sched.NoteTooManyWorkers,
			sched.NoteFrontDoorLost, sched.NoteAnswering, sched.NoteForgotten}
		for range 10_000 {
			for _, kind := range incidents {
				s.incident(&sched.Incident{Kind: kind, Worker: "w1", GPU: 3, Model: "m"})
			}
			for _, kind := range notes {
				s.say(sched.Note{Kind: kind, ID: "w1"})
			}
			time.Sleep(time.Minute / 10_000)
		}
		if lines, most := strings.Count(log.String(), "\n"), (len(incidents)+len(notes))*(20+60); lines > most || lines < most/2 {
			t.Errorf("%d lines in a minute, expected at most %d", lines, most)
		}
	})
}
