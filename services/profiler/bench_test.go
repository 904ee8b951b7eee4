package profiler

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// bench is a stack of a broker and what listens to a profiler.
type bench struct {
	t        *testing.T
	server   *server.Server
	bus      *bus.Bus
	profiles *bus.State
	reports  chan protocol.ProfileReport
	beats    chan protocol.Heartbeat
	config   Config
	jobs     uint64
}

func newBench(t *testing.T) *bench {
	s := bustest.Server(t)
	b := &bench{t: t, server: s, bus: bustest.Open(t, s), reports: make(chan protocol.ProfileReport, 100), beats: make(chan protocol.Heartbeat, 10000),
		config: Config{Iterations: 3, ActionTimeout: bustest.Wait}}
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Wait)
	defer cancel()
	var err error
	if b.profiles, err = b.bus.OpenProfiles(ctx); err != nil {
		t.Fatal(err)
	}
	chunks := wire.NewChunks(wire.Report)
	b.on(b.bus.Subjects.ProfilerReport(), func(m *nats.Msg) {
		if r, whole, fault := chunks.Add(m.Data); fault != nil {
			t.Error(fault)
		} else if whole {
			b.reports <- r
		}
	})
	b.on(b.bus.Subjects.Heartbeat(protocol.Profiler, "*"), func(m *nats.Msg) {
		if h, fault := wire.Heartbeat.Decode(m.Data); fault == nil {
			b.beats <- h
		}
	})
	return b
}

func (b *bench) on(subject string, f nats.MsgHandler) {
	if _, err := b.bus.Subscribe(b.bus.Control, subject, f); err != nil {
		b.t.Fatal(err)
	}
	if err := b.bus.Control.Flush(); err != nil {
		b.t.Fatal(err)
	}
}

// profiler starts one and waits until it listens.
func (b *bench) profiler() (stop func()) {
	s, err := New(b.config, bustest.Config(b.server, "profiler"))
	if err != nil {
		b.t.Fatal(err)
	}
	stop = bustest.Run(b.t, s)
	b.awaitBeat(func(h protocol.Heartbeat) bool { return h.Incarnation == s.id && h.State != protocol.Standby })
	return stop
}

func (b *bench) awaitBeat(is func(protocol.Heartbeat) bool) {
	b.t.Helper()
	for end := time.Now().Add(bustest.Wait); time.Now().Before(end); {
		if is(bustest.Next(b.t, "a profiler's heartbeat", b.beats)) {
			return
		}
	}
	b.t.Fatal("no profiler's heartbeat says what was waited for")
}

// give sends a job for models on workers, and returns its id.
func (b *bench) give(models []protocol.ModelSpec, workers ...*bustest.Worker) uint64 {
	b.jobs++
	b.send(b.jobs, models, workers...)
	return b.jobs
}

// measured gives a job and waits for its report.
func (b *bench) measured(models []protocol.ModelSpec, workers ...*bustest.Worker) protocol.ProfileReport {
	b.t.Helper()
	job := b.give(models, workers...)
	return b.reported(job)
}

// reported waits for the next report, which must be of this job.
func (b *bench) reported(job uint64) protocol.ProfileReport {
	b.t.Helper()
	report := bustest.Next(b.t, "the report", b.reports)
	if report.ID != job {
		b.t.Fatalf("a report of job %d, want %d: %+v", report.ID, job, report)
	}
	return report
}

func (b *bench) send(id uint64, models []protocol.ModelSpec, workers ...*bustest.Worker) {
	job := protocol.ProfileJob{ID: id, Models: models}
	for _, w := range workers {
		w.Hold(models...)
		state := w.State()
		state.Models = nil // they are the job's
		job.Workers = append(job.Workers, state)
	}
	if err := b.bus.PublishChunks(b.bus.Payload, b.bus.Subjects.ProfilerStart(), wire.Job.Encode(&job)); err != nil {
		b.t.Fatal(err)
	}
}

func specs(n int) []protocol.ModelSpec {
	var list []protocol.ModelSpec
	for i := range n {
		list = append(list, bustest.Spec(fmt.Sprintf("m%d", i), fmt.Sprintf("zoo/m%d", i)))
	}
	return list
}
