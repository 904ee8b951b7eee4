package controller

import (
	"slices"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

func TestTheStartupPhase(t *testing.T) {
	s := newStack(t)
	s.controller()
	if v := s.view(); v.Stage != protocol.Querying || v.Epoch != 0 {
		t.Errorf("without a worker: %+v", v)
	}
	w := bustest.StartWorker(t, s.bus, "w1", "t4")
	s.awaitStage(protocol.AwaitingModels)
	if v := s.view(); v.CountdownMS != nil {
		t.Error("a countdown runs before any load")
	}
	for body, want := range map[string]protocol.Code{
		`{"path":"zoo/a","copies":0}`:          protocol.InvalidInput,
		`{"path":"zoo/a","copies":-1}`:         protocol.InvalidInput,
		`{"path":"zoo/a","copies":1000000000}`: protocol.InvalidInput,
		`{"path":"zoo/a","copies":1e99}`:       protocol.BadMessage,
		`{"path":""}`:                          protocol.InvalidModelPath,
		``:                                     protocol.InvalidModelPath,
		`{"path":"zoo/a","name":"A B"}`:        protocol.InvalidInput,
		`{"path":`:                             protocol.BadMessage,
		`{"path":5}`:                           protocol.BadMessage,
		`{"path":"zoo/a"}{}`:                   protocol.BadMessage,
		`nonsense`:                             protocol.BadMessage,
	} {
		if code := s.load(body); code != want {
			t.Errorf("load %s: %s, want %s", body, code, want)
		}
	}
	if refusal := wire.DecodeError(s.ask("clockwork.load", `{"path":"zoo/a\u0000"}`).Data); refusal.Code != protocol.InvalidModelPath || !strings.Contains(refusal.Message, "NUL") {
		t.Errorf("a path with a NUL byte: %v", refusal)
	}
	// A load that fails is a load: the stage moves on, but nothing is counted down.
	if code := s.load(`{"path":"missing/a"}`); code != protocol.ModelNotFound {
		t.Errorf("a missing model: %s", code)
	}
	if code := s.load(`{"path":"zoo/a","copies":2}`); code != protocol.OK {
		t.Fatalf("load: %s", code)
	}
	if e := s.event(protocol.EventCountdown); e.LeftMS != 400 {
		t.Errorf("countdown of %v ms, want 400", e.LeftMS)
	}
	if code := s.load(`{"path":"zoo/b"}`); code != protocol.OK { // begins it anew
		t.Fatalf("load: %s", code)
	}
	counted := false
	for !counted {
		e := s.event(protocol.EventCountdown)
		counted = e.LeftMS == 400
	}
	s.profiler()
	scheduler := s.scheduler("s1", protocol.SchedulerReady, 1)
	job := s.measure()
	if len(job.Models) != 3 || len(job.Workers) != 1 {
		t.Errorf("job of %d models on %d workers", len(job.Models), len(job.Workers))
	}
	if code := s.load(`{"path":"zoo/c"}`); code != protocol.LoadingClosed {
		t.Errorf("a load while profiling: %s", code)
	}
	start := bustest.Next(t, "the start", s.starts)
	if len(start.Models) != 3 || len(start.Workers) != 1 || len(start.Profiles) != 2 {
		t.Errorf("start with %d models, %d workers, %d profiles", len(start.Models), len(start.Workers), len(start.Profiles))
	}
	scheduler.set(protocol.SchedulerActive, 5)
	s.awaitStage(protocol.Active)
	if code := s.load(`{"path":"zoo/a"}`); code != protocol.LoadingClosed {
		t.Errorf("a load after activation: %s", code)
	}
	bustest.Until(t, "the epoch shows", func() bool { return s.view().Epoch == 5 })
	v := s.view()
	if len(v.Models) != 3 || len(v.Workers) != 1 || v.PageSize == 0 || len(v.Models[0].Profile) != 1 {
		t.Errorf("state: %+v", v)
	}
	if !slices.Equal(w.Models(), []string{"a-1", "a-2", "b"}) {
		t.Errorf("the worker holds %v", w.Models())
	}
	// A worker that comes now is given the same models, then joins.
	late := bustest.StartWorker(t, s.bus, "w2", "t4")
	if j := bustest.Next(t, "the join", s.joins); j.ID != "w2" || j.Incarnation != late.Incarnation {
		t.Errorf("join: %+v", j)
	}
	if !slices.Equal(late.Models(), w.Models()) {
		t.Errorf("the second worker holds %v", late.Models())
	}
}

func TestStagesAreSeenInOrder(t *testing.T) {
	s := newStack(t)
	s.controller()
	s.loaded("a")
	s.activate()
	s.awaitStage(protocol.Active)
	var got []string
	for len(got) < 5 {
		got = append(got, s.event(protocol.EventStage).Stage)
	}
	if want := []string{"QUERYING", "AWAITING_MODELS", "LOADING", "PROFILING", "ACTIVE"}; !slices.Equal(got, want) {
		t.Errorf("stages %v", got)
	}
}

func TestALoadThatFailsOnOneWorkerIsRolledBack(t *testing.T) {
	s := newStack(t)
	s.controller()
	w1, w2 := bustest.StartWorker(t, s.bus, "w1", "t4"), bustest.StartWorker(t, s.bus, "w2", "t4")
	bustest.Until(t, "both workers are known", func() bool { return len(s.view().Workers) == 2 })
	w2.Script(func(a protocol.Action) *protocol.Result {
		if a.Kind == protocol.LoadModelFromDisk && a.Load.Path == "zoo/big" {
			return &protocol.Result{Kind: a.Kind, Code: protocol.NoMemory, Message: "full"}
		}
		return nil
	})
	m := s.ask("clockwork.load", `{"path":"zoo/big"}`)
	fault := wire.DecodeError(m.Data)
	if codeOf(t, m) != protocol.PartialLoad || len(fault.Workers) != 1 || fault.Workers[0].Worker != "w2" || fault.Workers[0].Code != protocol.NoMemory {
		t.Errorf("answer %+v", fault)
	}
	bustest.Until(t, "it is rolled back", func() bool { return len(w1.Models()) == 0 })
	if code := s.load(`{"path":"zoo/a"}`); code != protocol.OK {
		t.Errorf("the next load: %s", code)
	}
}

func TestQuarantineLeavesTheRest(t *testing.T) {
	s := newStack(t)
	s.controller()
	s.loaded("a", "b")
	s.profiler()
	s.scheduler("s1", protocol.SchedulerReady, 1)
	job := bustest.Next(t, "the job", s.jobs)
	s.report(job, protocol.ProfileFailure{Digest: bustest.Spec("b", "zoo/b").Digest, GPUType: "t4", Reason: "absurd"})
	start := bustest.Next(t, "the start", s.starts)
	if len(start.Models) != 1 || start.Models[0].Name != "a" {
		t.Errorf("served: %+v", start.Models)
	}
	if e := s.event(protocol.EventQuarantine); e.Model != "b" {
		t.Errorf("quarantine of %q", e.Model)
	}
}

// TestARestartGoesOn kills the controller in each stage.
func TestARestartGoesOn(t *testing.T) {
	s := newStack(t)
	stop := s.controller()
	restart := func(in protocol.Stage) {
		t.Helper()
		s.awaitStage(in)
		stop()
		stop = s.controller()
		if v := s.view(); v.Stage < in {
			t.Fatalf("stage %s after a restart in %s", v.Stage, in)
		}
	}
	restart(protocol.Querying)
	w := bustest.StartWorker(t, s.bus, "w1", "t4")
	restart(protocol.AwaitingModels)
	s.config.LoadIdle = 10 * time.Minute // it must not end before the restart
	restart(protocol.AwaitingModels)
	if code := s.load(`{"path":"zoo/a"}`); code != protocol.OK {
		t.Fatal(code)
	}
	s.config.LoadIdle = 400 * time.Millisecond
	restart(protocol.Loading)
	if code := s.load(`{"path":"zoo/a"}`); code != protocol.OK && code != protocol.LoadingClosed {
		t.Errorf("the same load again: %s", code)
	}
	s.awaitStage(protocol.Profiling)
	s.profiler()
	first := bustest.Next(t, "a job", s.jobs)
	restart(protocol.Profiling)
	for len(s.jobs) > 0 {
		<-s.jobs
	}
	s.report(first) // of a term that is over: another job has its number by chance no more
	scheduler := s.scheduler("s1", protocol.SchedulerReady, 1)
	job := bustest.Next(t, "a job of the new term", s.jobs)
	for job.ID == first.ID {
		job = bustest.Next(t, "a job of the new term", s.jobs)
	}
	s.report(job)
	bustest.Next(t, "the start", s.starts)
	scheduler.set(protocol.SchedulerActive, 1)
	restart(protocol.Active)
	if got := s.view(); len(got.Models) != 1 {
		t.Errorf("models after all: %+v", got.Models)
	}
	loads := slices.DeleteFunc(w.Received(protocol.LoadModelFromDisk), func(a protocol.Action) bool { return a.Load.Compare })
	if n := len(loads); n != 1 {
		t.Errorf("the model was loaded %d times", n)
	}
}

func TestASecondControllerStandsByAndTakesOver(t *testing.T) {
	s := newStack(t)
	stop := s.controller()
	s.awaitStage(protocol.Querying)
	s.controller()
	bustest.StartWorker(t, s.bus, "w1", "t4")
	s.awaitStage(protocol.AwaitingModels)
	s.config.LoadIdle = time.Minute
	if code := s.load(`{"path":"zoo/a"}`); code != protocol.OK {
		t.Fatal(code)
	}
	stop()
	bustest.Until(t, "the second one leads", func() bool {
		m, err := s.client.Request("clockwork.ls", nil, bustest.Wait)
		return err == nil && len(m.Data) > 0
	})
	s.activate()
	s.awaitStage(protocol.Active)
}

func TestHostileMessagesDoNoHarm(t *testing.T) {
	s := newStack(t)
	s.controller()
	bustest.StartWorker(t, s.bus, "w1", "t4")
	s.awaitStage(protocol.AwaitingModels)
	j := s.bus.Subjects
	throw := func() {
		for _, body := range bustest.Garbage() {
			for _, subject := range []string{j.Load(), j.Ls(), j.State(), j.Infer("a"), j.Infer("A!"), j.Result("w1"), j.ProfilerReport(),
				j.Heartbeat(protocol.Worker, "w9"), j.Heartbeat(protocol.Scheduler, "s9"), j.Heartbeat(protocol.Profiler, "p9")} {
				s.publish(subject, body)
				if err := s.bus.Control.PublishRequest(subject, "$KV.clockwork_state.stage", body); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.publish(j.Heartbeat(protocol.Worker, "B-A-D"), wire.Heartbeat.Encode(&protocol.Heartbeat{Incarnation: 1, State: "x"}))
		s.publish(j.Result("w1"), wire.Results.Encode(&protocol.ResultBatch{Results: []protocol.Result{{State: &protocol.WorkerState{ID: "w7"}}}}))
	}
	throw()
	if code := s.load(`{"path":"zoo/a"}`); code != protocol.OK {
		t.Fatal(code)
	}
	s.activate()
	s.awaitStage(protocol.Active)
	throw()
	s.awaitStage(protocol.Active)
}

// TestTheStateSaysWhetherASchedulerIsActive, also in ACTIVE: without one the
// stack serves nothing.
func TestTheStateSaysWhetherASchedulerIsActive(t *testing.T) {
	s := newStack(t)
	s.controller()
	if v := s.view(); v.Scheduler != protocol.ServiceAbsent {
		t.Errorf("with none: %q", v.Scheduler)
	}
	s.loaded("a")
	scheduler := s.activate()
	s.awaitScheduler(protocol.SchedulerActive)
	scheduler.set(protocol.Standby, 0)
	s.awaitScheduler(protocol.Standby)
	scheduler.stop()
	if v := s.awaitScheduler(protocol.ServiceAbsent); v.Stage != protocol.Active || v.Epoch != 0 {
		t.Errorf("stage %s, epoch %d", v.Stage, v.Epoch)
	}
}
