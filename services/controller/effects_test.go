package controller

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// limitValues has the store refuse values of more bytes; -1 lets all in.
func (s *stack) limitValues(limit int32) {
	s.t.Helper()
	stream, err := s.bus.JS.Stream(s.t.Context(), "KV_clockwork_state")
	if err != nil {
		s.t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxMsgSize = limit
	if _, err := s.bus.JS.UpdateStream(s.t.Context(), config); err != nil {
		s.t.Fatal(err)
	}
}

// TestAFailedStoreLeavesNoModels has the store take the models a-1 to a-9 and
// refuse a-10, whose value is longer: the load is refused, and a restart must
// not find what was written of it.
func TestAFailedStoreLeavesNoModels(t *testing.T) {
	for !failStore(t) {
		t.Log("the controller's own look at its store came between: once more")
	}
}

// failStore reports whether the store refused the load: every 2 s the controller sets the
// limit that the store should have.
func failStore(t *testing.T) (refused bool) {
	s := newStack(t)
	changes := make(chan bus.Change, 1000)
	watch := make(chan error, 1)
	go func() {
		watch <- s.state.Watch(t.Context(), func(c bus.Change) { changes <- c })
	}()
	t.Cleanup(func() { <-watch })
	stop := s.controller()
	w := s.loaded("kept")
	long, err := json.Marshal(bustest.Spec("a-9", "zoo/a"))
	if err != nil {
		t.Fatal(err)
	}
	long = fmt.Appendf(long, `,"load":"%016x-%d","of":10`, 0, 2) // which load it is part of: the second
	const number = "1234567890123456"                            // of microseconds, as the bucket counts
	header := "NATS/1.0\r\n" + jetstream.ExpectedLastSeqHeader + ": " + number + "\r\n" + jetstream.ExpectedLastSubjSeqHeader + ": " + number + "\r\n" +
		jetstream.ExpectedLastSubjSeqSubjHeader + ": $KV.clockwork_state.fence.controller\r\n\r\n"
	s.limitValues(int32(len(header) + len(long)))
	switch code := s.load(`{"path":"zoo/a","copies":10}`); code {
	case protocol.OK:
		stop()
		return false
	case protocol.StateUnavailable:
	default:
		t.Errorf("the load: %s", code)
	}
	written, dropped := map[string]bool{}, map[string]bool{}
	for len(dropped) < 10 {
		c := bustest.Next(t, fmt.Sprintf("the removal of all, after %v", dropped), changes)
		if c.Model != nil && strings.HasPrefix(c.Model.Name, "a-") {
			written[c.Model.Name] = true
		}
		if c.Dropped != "" {
			dropped[c.Dropped] = true
		}
	}
	if len(written) != 9 || written["a-10"] {
		t.Errorf("written were %v: the test proves nothing", written)
	}
	s.limitValues(-1)
	stop()
	s.config.LoadIdle = time.Minute // it stays in LOADING
	s.controller()
	s.awaitStage(protocol.Loading)
	if v := s.view(); len(v.Models) != 1 || v.Models[0].Name != "kept" {
		t.Errorf("after a restart: %+v", v.Models)
	}
	bustest.Until(t, "the worker holds what was accepted alone", func() bool { return len(w.Models()) == 1 })
	// The same load again, now that the store takes it.
	if code := s.load(`{"path":"zoo/a","copies":10}`); code != protocol.OK {
		t.Errorf("the load again: %s", code)
	}
	if read, err := s.state.Read(t.Context()); err != nil || len(read.Models) != 11 || len(read.Torn) > 0 {
		t.Errorf("%d models, torn %v, %v", len(read.Models), read.Torn, err)
	}
	return true
}

// TestAHalfStoredLoadDoesNotCount: a controller died after it had stored a-1 of
// two. The next one removes it, and the names may be loaded anew.
func TestAHalfStoredLoadDoesNotCount(t *testing.T) {
	s := newStack(t)
	stop := s.controller()
	s.loaded("kept")
	stop()
	dead, release := bustest.Lead(t, s.bus, protocol.Controller)
	if err := dead.PutPart(t.Context(), bustest.Spec("a-1", "zoo/a"), "of a dead controller", 2); err != nil {
		t.Fatal(err)
	}
	release()
	s.controller()
	if v := s.view(); len(v.Models) != 1 || v.Models[0].Name != "kept" {
		t.Errorf("after a restart: %+v", v.Models)
	}
	bustest.Until(t, "the store holds no half of a load", func() bool {
		read, err := s.state.Read(t.Context())
		return err == nil && len(read.Models) == 1 && len(read.Torn) == 0
	})
}

// TestQuarantineOutlivesTheController: b fails on one of two types of GPU, and
// is not served after a restart in ACTIVE either, though it has a profile.
func TestQuarantineOutlivesTheController(t *testing.T) {
	s := newStack(t)
	stop := s.controller()
	bustest.StartWorker(t, s.bus, "w1", "t4", "k80")
	s.awaitStage(protocol.AwaitingModels)
	for _, path := range []string{"a", "b"} {
		if code := s.load(`{"path":"zoo/` + path + `"}`); code != protocol.OK {
			t.Fatal(code)
		}
	}
	s.profiler()
	job := bustest.Next(t, "a job", s.jobs)
	s.report(job, protocol.ProfileFailure{Digest: bustest.Spec("b", "zoo/b").Digest, GPUType: "k80", Reason: "it burns"})
	s.awaitStage(protocol.Active)
	stop()
	s.controller()
	v := s.view()
	if len(v.Models) != 2 || v.Models[0].Quarantined != "" || v.Models[1].Quarantined != "k80: it burns" {
		t.Errorf("after a restart: %+v", v.Models)
	}
	s.scheduler("s1", protocol.SchedulerReady, 1)
	if start := bustest.Next(t, "the start", s.starts); len(start.Models) != 1 || start.Models[0].Name != "a" {
		t.Errorf("started with %+v", start.Models)
	}
}

// TestALatecomerIsMeasuredThenJoins: a worker with another type of GPU comes in
// ACTIVE.
func TestALatecomerIsMeasuredThenJoins(t *testing.T) {
	s := newStack(t)
	s.controller()
	s.loaded("a")
	s.activate()
	s.awaitStage(protocol.Active)
	bustest.StartWorker(t, s.bus, "w2", "k80")
	if e := s.event(protocol.EventWorkerWaits); e.Worker != "w2" || !strings.Contains(e.Message, "k80") {
		t.Fatalf("%+v", e)
	}
	job := s.measure()
	if len(job.Models) != 1 || len(job.Workers) != 1 || job.Workers[0].ID != "w2" {
		t.Errorf("job of %d models on %+v", len(job.Models), job.Workers)
	}
	j := bustest.Next(t, "the join", s.joins)
	if j.ID != "w2" || len(j.Profiles) != 1 || j.Profiles[0].GPUType != "k80" {
		t.Errorf("join of %s with %+v", j.ID, j.Profiles)
	}
	// Another type, on which the model fails: its worker serves what else there is.
	bustest.StartWorker(t, s.bus, "w3", "p4")
	s.event(protocol.EventWorkerWaits)
	bad := bustest.Next(t, "a job", s.jobs)
	failed := protocol.ProfileReport{ID: bad.ID, Failures: []protocol.ProfileFailure{{Digest: bad.Models[0].Digest, GPUType: "p4", Reason: "it burns"}}}
	if err := s.bus.PublishChunks(s.bus.Control, s.bus.Subjects.ProfilerReport(), wire.Report.Encode(&failed)); err != nil {
		t.Fatal(err)
	}
	if e := s.event(protocol.EventModelMissing); e.Worker != "w3" || e.Model != "a" || !strings.Contains(e.Message, "it burns") {
		t.Errorf("%+v", e)
	}
	if j := bustest.Next(t, "the join", s.joins); j.ID != "w3" || !j.Lacking("a") {
		t.Errorf("join of %+v", j)
	}
	v := s.view()
	if m := v.Models[0]; m.Quarantined != "" || len(m.Lacking) != 1 || m.Lacking[0].Worker != "w3" {
		t.Errorf("the model quarantined: %s, lacking on %+v", m.Quarantined, m.Lacking)
	}
	for _, w := range v.Workers {
		if w.Lacking("a") != (w.ID == "w3") {
			t.Errorf("state shows of %s that it lacks %+v", w.ID, w.Lacks)
		}
	}
}

// TestQuarantineShowsWhileProfiling: nothing can be served, so the stage stays.
func TestQuarantineShowsWhileProfiling(t *testing.T) {
	s := newStack(t)
	s.controller()
	s.loaded("a")
	s.profiler()
	job := bustest.Next(t, "a job", s.jobs)
	s.report(job, protocol.ProfileFailure{Digest: job.Models[0].Digest, GPUType: "t4", Reason: "it burns"})
	s.event(protocol.EventQuarantine)
	v := s.view()
	if v.Stage != protocol.Profiling || len(v.Models) != 1 || v.Models[0].Quarantined != "t4: it burns" {
		t.Errorf("stage %s, models %+v", v.Stage, v.Models)
	}
	var ls protocol.ModelList
	if err := json.Unmarshal(s.ask("clockwork.ls", "").Data, &ls); err != nil || len(ls.Models) != 1 || ls.Models[0].Quarantined != "t4: it burns" {
		t.Errorf("ls: %+v, %v", ls, err)
	}
}
