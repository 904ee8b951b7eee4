package frontdoor

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

func TestMain(m *testing.M) { bustest.VerifyNoLeaks(m) }

// stack is everything around a front door: a broker, a client without our library,
// the store as a controller would write it, and what a scheduler and workers say, as scripts.
type stack struct {
	t        testing.TB
	server   *server.Server
	bus      *bus.Bus
	client   *nats.Conn
	state    *bus.State
	writer   *bus.Writer // in place of a controller
	revision uint64      // of the stage
	config   Config
	events   chan protocol.Event
	log      *slog.Logger // of the front doors
	submit   chan protocol.Submission
	epoch    atomic.Uint64 // of the scheduler that said last that it is active
	door     *FrontDoor    // the latest
	through  *funnel       // of front doors that are started next, nil for none
}

func newStack(t testing.TB) *stack {
	t.Helper()
	srv := bustest.Server(t)
	s := &stack{t: t, server: srv, bus: bustest.Open(t, srv), client: bustest.Client(t, srv), config: DefaultConfig(),
		events: make(chan protocol.Event, 10000), submit: make(chan protocol.Submission, 100000)}
	s.config.StopWait = 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Wait)
	defer cancel()
	var err error
	if s.state, err = s.bus.OpenState(ctx); err != nil {
		t.Fatal(err)
	}
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

// frontDoor opens one that looks after the startup buffer too.
func (s *stack) frontDoor() (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b := s.open()
	if s.log != nil {
		b.Log = s.log
	}
	buffer, err := b.OpenBuffer(ctx, s.config.Buffer())
	if err != nil {
		s.t.Fatal(err)
	}
	d := New(s.config, b, s.state, buffer)
	if err := d.Start(ctx); err != nil {
		s.t.Fatal(err)
	}
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		NewStartupBuffer(d).Run(ctx)
	}()
	stop = sync.OnceFunc(func() { cancel(); <-kept; d.Stop() })
	s.t.Cleanup(stop)
	s.door = d
	return stop
}

// open connects a front door: in this process, or through the funnel that is set.
func (s *stack) open() *bus.Bus {
	if s.through == nil {
		return bustest.Open(s.t, s.server)
	}
	ctx, cancel := context.WithTimeout(context.Background(), bustest.Wait)
	defer cancel()
	b, err := bus.Open(ctx, bus.Config{URL: "nats://" + s.through.listener.Addr().String(), Prefix: protocol.DefaultPrefix, Name: "front door"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(b.Close)
	return b
}

// leads returns what writes the state.
func (s *stack) leads() *bus.Writer {
	if s.writer == nil {
		s.writer, _ = bustest.Lead(s.t, s.bus, protocol.Controller)
	}
	return s.writer
}

// loaded stores models as a controller does that has loaded them.
func (s *stack) loaded(models ...string) {
	s.t.Helper()
	for _, m := range models {
		if err := s.leads().PutModel(s.t.Context(), bustest.Spec(m, "zoo/"+m)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// activate moves the stage to ACTIVE and has a scheduler say that it is active.
func (s *stack) activate() *bustest.Scheduler {
	s.t.Helper()
	for stage := protocol.Querying; stage <= protocol.Active; stage++ {
		var err error
		if s.revision, _, err = s.leads().AdvanceStage(s.t.Context(), s.revision, stage); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.scheduler("s1", protocol.SchedulerActive, 1)
}

// serving is a front door that serves model a.
func serving(t testing.TB) (*stack, *bustest.Scheduler) {
	t.Helper()
	s := newStack(t)
	s.frontDoor()
	s.loaded("a")
	scheduler := s.activate()
	s.awaitServing()
	return s, scheduler
}

// awaitServing waits until the front door gives requests to the scheduler.
func (s *stack) awaitServing() {
	s.t.Helper()
	bustest.Until(s.t, "the front door serves", s.door.serving)
	if code := codeOf(s.t, s.ask("clockwork.infer.nobody", `{}`)); code != protocol.UnknownModel {
		s.t.Fatalf("a request for a model that is not there: %s", code)
	}
}

// awaitBuffered waits until so many requests are in the startup buffer.
func (s *stack) awaitBuffered(n int) {
	s.t.Helper()
	bustest.Until(s.t, strconv.Itoa(n)+" requests are buffered", func() bool {
		got, err := s.door.buffer.Len(s.t.Context())
		return err == nil && got == n
	})
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

// event waits for the next event of a kind.
func (s *stack) event(kind string) protocol.Event {
	s.t.Helper()
	for {
		if e := bustest.Next(s.t, "an event "+kind, s.events); e.Kind == kind {
			return e
		}
	}
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

// serving reports whether requests go to a scheduler.
func (d *FrontDoor) serving() bool {
	s := d.snapshot()
	return s.Stage == protocol.Active && s.Epoch != 0
}
