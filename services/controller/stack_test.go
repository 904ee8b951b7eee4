package controller

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/fx"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

func TestMain(m *testing.M) { bustest.VerifyNoLeaks(m) }

func TestModuleIsComplete(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if err := fx.ValidateApp(fx.NopLogger, fx.Supply(DefaultConfig(), bus.Config{}, log), Module); err != nil {
		t.Error(err)
	}
}

// stack is everything around a controller: a broker, a client without our
// library, and what a profiler and a scheduler say, as scripts.
type stack struct {
	t      testing.TB
	server *server.Server
	bus    *bus.Bus
	client *nats.Conn
	state  *bus.State
	writer *bus.Writer // in place of a profiler
	config Config
	events chan protocol.Event
	log    *slog.Logger // of the controllers

	jobs   chan protocol.ProfileJob
	starts chan protocol.ClockworkState
	joins  chan protocol.WorkerState
	submit chan protocol.Submission
	epoch  atomic.Uint64 // of the scheduler that said last that it is active
}

func newStack(t testing.TB) *stack {
	t.Helper()
	srv := bustest.Server(t)
	s := &stack{t: t, server: srv, bus: bustest.Open(t, srv), client: bustest.Client(t, srv), config: DefaultConfig(),
		events: make(chan protocol.Event, 10000), jobs: make(chan protocol.ProfileJob, 100), starts: make(chan protocol.ClockworkState, 100),
		joins: make(chan protocol.WorkerState, 100), submit: make(chan protocol.Submission, 100000)}
	s.config.LoadIdle = 400 * time.Millisecond
	s.config.StopWait, s.config.StoreCheckEvery = 100*time.Millisecond, 200*time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Wait)
	defer cancel()
	var err error
	if s.state, err = s.bus.OpenState(ctx); err != nil {
		t.Fatal(err)
	}
	jobs, starts, joins := wire.NewChunks(wire.Job), wire.NewChunks(wire.Start), wire.NewChunks(wire.Join)
	s.on(s.bus.Subjects.ProfilerStart(), func(m *nats.Msg) { receive(t, jobs.Add, m, s.jobs) })
	s.on(s.bus.Subjects.SchedulerStart(), func(m *nats.Msg) { receive(t, starts.Add, m, s.starts) })
	s.on(s.bus.Subjects.SchedulerJoin(), func(m *nats.Msg) {
		receive(t, joins.Add, m, s.joins)
	})
	s.on(s.bus.Subjects.Submissions(), func(m *nats.Msg) {
		if b, fault := wire.Submissions.Decode(m.Data); fault == nil {
			for _, r := range b.Requests {
				s.submit <- r.Submission
			}
		}
	})
	s.on(s.bus.Subjects.Event("*"), func(m *nats.Msg) {
		var e protocol.Event
		if json.Unmarshal(m.Data, &e) == nil {
			s.events <- e
		}
	})
	return s
}

func receive[T any](t testing.TB, add func([]byte) (T, bool, *protocol.Error), m *nats.Msg, to chan T) {
	if v, whole, fault := add(m.Data); fault != nil {
		t.Error(fault)
	} else if whole {
		to <- v
	}
}

func (s *stack) on(subject string, f nats.MsgHandler) {
	s.t.Helper()
	if _, err := s.bus.Subscribe(s.bus.Control, subject, f); err != nil {
		s.t.Fatal(err)
	}
	if err := s.bus.Control.Flush(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stack) publish(subject string, body []byte) {
	s.t.Helper()
	if err := s.bus.Control.Publish(subject, body); err != nil {
		s.t.Fatal(err)
	}
}

// controller starts one and waits until its front door is open.
func (s *stack) controller() (stop func()) {
	s.t.Helper()
	broker := bustest.Config(s.server, "controller")
	broker.Log = s.log
	c, err := New(s.config, broker)
	if err != nil {
		s.t.Fatal(err)
	}
	open := make(chan struct{}, 1000)
	sub, err := s.bus.Control.Subscribe(s.bus.Subjects.Heartbeat(protocol.FrontDoor, "*"), func(*nats.Msg) {
		select {
		case open <- struct{}{}:
		default:
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	stop = bustest.Run(s.t, c)
	bustest.Next(s.t, "a front door", open)
	_ = sub.Unsubscribe()
	return stop
}

// profiler beats idle; measure answers the next job with good profiles.
func (s *stack) profiler() {
	heartbeats := s.bus.StartHeartbeats(protocol.Profiler, "p", func() protocol.Heartbeat {
		return protocol.Heartbeat{Incarnation: 7, State: protocol.Idle}
	})
	s.t.Cleanup(heartbeats.Stop)
}

func (s *stack) measure() protocol.ProfileJob {
	s.t.Helper()
	job := bustest.Next(s.t, "a profile job", s.jobs)
	s.report(job)
	return job
}

// profiles returns what writes the state for a profiler.
func (s *stack) profiles() *bus.Writer {
	if s.writer == nil {
		s.writer, _ = bustest.Lead(s.t, s.bus, protocol.Profiler)
	}
	return s.writer
}

func (s *stack) report(job protocol.ProfileJob, failures ...protocol.ProfileFailure) {
	s.t.Helper()
	at := protocol.Measurement{Samples: 1, Min: time.Millisecond, P50: time.Millisecond, P99: time.Millisecond, Max: time.Millisecond}
	report := protocol.ProfileReport{ID: job.ID, Failures: failures}
	for _, m := range job.Models {
		for _, w := range job.Workers {
			for _, g := range w.GPUs {
				p := protocol.Profile{Digest: m.Digest, Backend: m.Backend, BackendVersion: m.BackendVersion, GPUType: g.Type, LoadWeights: at}
				for _, b := range m.BatchSizes {
					p.Infer = append(p.Infer, protocol.BatchMeasurement{Batch: b, Measurement: at})
				}
				report.Profiles = append(report.Profiles, p)
				ctx, cancel := context.WithTimeout(context.Background(), bustest.Wait)
				if err := s.profiles().PutProfile(ctx, p); err != nil {
					s.t.Error(err)
				}
				cancel()
			}
		}
	}
	if err := s.bus.PublishChunks(s.bus.Control, s.bus.Subjects.ProfilerReport(), wire.Report.Encode(&report)); err != nil {
		s.t.Error(err)
	}
}

// scheduler is one as the others see it.
func (s *stack) scheduler(id string, state protocol.ServiceState, epoch uint64) *bustest.Scheduler {
	return bustest.StartScheduler(s.t, s.bus, id, state, epoch, s.epoch.Store)
}

// ask sends a request and waits for its reply.
func (s *stack) ask(subject, body string) *nats.Msg {
	s.t.Helper()
	m, err := s.client.Request(subject, []byte(body), bustest.Wait)
	if err != nil {
		s.t.Fatalf("%s %s: %v", subject, body, err)
	}
	return m
}

// load loads a model and returns the code of the answer.
func (s *stack) load(body string) protocol.Code {
	s.t.Helper()
	return codeOf(s.t, s.ask("clockwork.load", body))
}

// codeOf reads the code of a reply, as any client would: from body and headers.
func codeOf(t testing.TB, m *nats.Msg) protocol.Code {
	t.Helper()
	fault := wire.DecodeError(m.Data)
	if fault == nil {
		return protocol.OK
	}
	if m.Header.Get("Nats-Service-Error") == "" || m.Header.Get("Nats-Service-Error-Code") != strconv.Itoa(fault.Code.Row().Number) {
		t.Errorf("%v with headers %v", fault, m.Header)
	}
	if fault.Retryable != fault.Code.Row().Retryable {
		t.Errorf("%v: retryable is %v", fault, fault.Retryable)
	}
	return fault.Code
}

// view asks for clockwork.state, once somebody answers.
func (s *stack) view() protocol.StackState {
	s.t.Helper()
	var v protocol.StackState
	bustest.Until(s.t, "clockwork.state answers", func() bool {
		m, err := s.client.Request("clockwork.state", nil, bustest.Wait)
		return err == nil && json.Unmarshal(m.Data, &v) == nil && v.Models != nil
	})
	return v
}

// loaded starts worker w1 with a GPU of type t4, and loads zoo models.
func (s *stack) loaded(models ...string) *bustest.Worker {
	s.t.Helper()
	w := bustest.StartWorker(s.t, s.bus, "w1", "t4")
	s.awaitStage(protocol.AwaitingModels)
	for _, m := range models {
		if code := s.load(`{"path":"zoo/` + m + `"}`); code != protocol.OK {
			s.t.Fatalf("load %s: %s", m, code)
		}
	}
	return w
}

// serving is a stack that is active with model a.
func serving(t *testing.T) (*stack, *bustest.Scheduler) {
	t.Helper()
	s := newStack(t)
	s.controller()
	s.loaded("a")
	scheduler := s.activate()
	s.awaitServing()
	return s, scheduler
}

// awaitServing waits until the front door gives requests to the scheduler. It
// learns the stage after the leader does; what it stores until then is handed on
// once it serves.
func (s *stack) awaitServing() {
	s.t.Helper()
	bustest.Until(s.t, "the stack is active", func() bool { v := s.view(); return v.Stage == protocol.Active && v.Epoch == 1 })
	if code := codeOf(s.t, s.ask("clockwork.infer.nobody", `{}`)); code != protocol.UnknownModel {
		s.t.Fatalf("a request for a model that is not there: %s", code)
	}
}

func (s *stack) awaitStage(want protocol.Stage) {
	s.t.Helper()
	bustest.Until(s.t, "stage "+want.String(), func() bool { return s.view().Stage == want })
}

func (s *stack) awaitScheduler(want protocol.ServiceState) (v protocol.StackState) {
	s.t.Helper()
	bustest.Until(s.t, "the scheduler is "+string(want), func() bool { v = s.view(); return v.Scheduler == want })
	return v
}

// event waits for the next event of a kind.
func (s *stack) event(kind string) protocol.Event {
	s.t.Helper()
	for {
		if e := bustest.Next(s.t, "an event "+kind, s.events); e.Kind == kind {
			return e
		}
	}
}

// activate brings the stack from a loaded model to an active scheduler.
func (s *stack) activate() *bustest.Scheduler {
	s.t.Helper()
	s.profiler()
	scheduler := s.scheduler("s1", protocol.SchedulerReady, 1)
	s.measure()
	bustest.Next(s.t, "the start", s.starts)
	scheduler.Set(protocol.SchedulerActive, 1)
	return scheduler
}

// output answers a submitted request as a worker would, with its own input.
func (s *stack) output(r protocol.Submission, data []byte) {
	s.t.Helper()
	s.dispatch(r, "w1")
	s.answer("w1", r, data)
}

// dispatch sends a submitted request to a worker, and waits for its input there.
func (s *stack) dispatch(r protocol.Submission, worker string) {
	s.t.Helper()
	input, err := s.bus.Control.SubscribeSync(s.bus.Subjects.Input(worker))
	if err != nil {
		s.t.Fatal(err)
	}
	s.decide(protocol.Dispatch{ID: r.ID, Kind: protocol.ToWorker, Worker: worker})
	if !r.Generated {
		if _, err := input.NextMsg(bustest.Wait); err != nil {
			s.t.Fatalf("the input of %v: %v", r.ID, err)
		}
	}
	if err := input.Unsubscribe(); err != nil {
		s.t.Fatal(err)
	}
}

// decide sends a front door decisions of the active scheduler.
func (s *stack) decide(decisions ...protocol.Dispatch) {
	s.t.Helper()
	for i := range decisions {
		decisions[i].Epoch = s.epoch.Load()
	}
	s.publish(s.bus.Subjects.Dispatch(decisions[0].ID.Door), wire.Dispatches.Encode(&decisions))
}

// answer sends an output as a worker does.
func (s *stack) answer(worker string, r protocol.Submission, data []byte) {
	s.t.Helper()
	out := []protocol.Output{{ID: r.ID, Model: r.Model, Batch: r.Batch, Items: r.Batch, Data: data}}
	s.publish(s.bus.Subjects.OutputOf(r.ID.Door, worker), wire.Outputs.Encode(&out))
}

// jsonInfer is a request that model x of a scripted worker takes.
const jsonInfer = `{"id":"r1","parameters":{"slo_ms":15000},"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2.5]}]}`

// raw is its payload.
var raw = []byte{0, 0, 0x80, 0x3f, 0, 0, 0x20, 0x40}

// infer publishes a request and returns where its replies come.
func (s *stack) infer(model, body string) chan *nats.Msg {
	s.t.Helper()
	replies := make(chan *nats.Msg, 10)
	inbox := nats.NewInbox()
	if _, err := s.client.ChanSubscribe(inbox, replies); err != nil {
		s.t.Fatal(err)
	}
	if err := s.client.PublishRequest("clockwork.infer."+model, inbox, []byte(body)); err != nil {
		s.t.Fatal(err)
	}
	if err := s.client.Flush(); err != nil {
		s.t.Fatal(err)
	}
	return replies
}
