package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/watch"
	"clockwork/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stack is a gateway, and around it a broker, the store as a controller writes it, and a
// scheduler and a worker that answer each request with its own input.
type stack struct {
	t      testing.TB
	broker *natsserver.Server
	bus    *bus.Bus
	writer *bus.Writer
	config Config
	client http.Client
	url    string
	grpc   *grpc.ClientConn
	stop   func()
	token  string // of all requests over HTTP that have none, "" for none
	// silent: the scheduler decides nothing; submitted counts what it was given.
	silent    atomic.Bool
	submitted atomic.Int64
	// scheduler changes what the scheduler's heartbeats say, nil for nothing.
	scheduler atomic.Pointer[func(*protocol.Heartbeat)]
}

// models of the stack: a and pair, whose outputs are its inputs.
func models() []protocol.ModelSpec {
	a, pair := bustest.Spec("a", "zoo/a"), bustest.Spec("pair", "zoo/pair")
	pair.Inputs = append(pair.Inputs, protocol.TensorSpec{Name: "n", Datatype: protocol.Uint8, Shape: []int64{}})
	pair.Outputs = append(pair.Outputs, protocol.TensorSpec{Name: "m", Datatype: protocol.Uint8, Shape: []int64{}})
	big := bustest.Spec("big", "zoo/big")
	big.Inputs = []protocol.TensorSpec{{Name: "x", Datatype: protocol.Uint8, Shape: []int64{100_000}}}
	big.Outputs = []protocol.TensorSpec{{Name: "y", Datatype: protocol.Uint8, Shape: []int64{100_000}}}
	big.Version = 3
	return []protocol.ModelSpec{a, pair, big}
}

// newStack starts a gateway before activation; change may change its configuration.
func newStack(t testing.TB, change func(*Config)) *stack {
	t.Helper()
	srv := bustest.Server(t)
	s := &stack{t: t, broker: srv, bus: bustest.Open(t, srv), config: DefaultConfig()}
	s.config.DefaultSLO, s.config.StopWait, s.config.Version = bustest.Wait, 100*time.Millisecond, "v0"
	s.config.Telemetry = &watch.Hub{}
	if change != nil {
		change(&s.config)
	}
	s.on(s.bus.Subjects.Submissions(), s.schedule)
	s.on(s.bus.Subjects.Input("w1"), s.work)
	s.writer, _ = bustest.Lead(t, s.bus, protocol.Controller)
	for _, m := range models() {
		if err := s.writer.PutModel(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if s.config.HTTP.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + s.config.HTTP.Listener.Addr().String()
	if s.config.GRPC.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.grpc = s.dialGRPC()
	service, err := NewService(s.config, bustest.Config(srv, ""))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	s.client.Transport = transport
	s.stop = bustest.Run(t, service)
	return s
}

// serving starts a gateway that serves.
func serving(t testing.TB, change func(*Config)) *stack {
	t.Helper()
	s := newStack(t, change)
	s.activate()
	return s
}

func (s *stack) activate() {
	s.t.Helper()
	var revision uint64
	for stage := protocol.Querying; stage <= protocol.Active; stage++ {
		var err error
		if revision, _, err = s.writer.AdvanceStage(s.t.Context(), revision, stage); err != nil {
			s.t.Fatal(err)
		}
	}
	beats := s.bus.StartHeartbeats(protocol.Scheduler, "s1", func() protocol.Heartbeat {
		beat := protocol.Heartbeat{Incarnation: 1, Epoch: 1, State: protocol.SchedulerActive, Capacity: protocol.Capacity{GPUs: 1, Models: 3}}
		if change := s.scheduler.Load(); change != nil {
			(*change)(&beat)
		}
		return beat
	})
	s.t.Cleanup(beats.Stop)
	bustest.Until(s.t, "the gateway serves", func() bool {
		status, _ := s.get("/v2/models/big/ready")
		return status == http.StatusOK
	})
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

// schedule gives each request to the worker, and refuses what is withdrawn.
func (s *stack) schedule(m *nats.Msg) {
	b, fault := wire.Submissions.Decode(m.Data)
	if fault != nil {
		s.t.Error(fault)
		return
	}
	for _, seq := range b.Withdrawn {
		decisions := []protocol.Dispatch{{ID: protocol.RequestID{Door: b.Door, Seq: seq}, Kind: protocol.Refuse, Epoch: 1, Refusal: protocol.Refusal(protocol.Cancelled)}}
		s.publish(s.bus.Subjects.Dispatch(b.Door), wire.Dispatches.Encode(&decisions))
	}
	for _, r := range b.Requests {
		if r.Reply != "" {
			s.t.Errorf("the scheduler is told to answer %v on %q", r.ID, r.Reply)
		}
		s.submitted.Add(1)
		if s.silent.Load() {
			continue
		}
		decisions := []protocol.Dispatch{{ID: r.ID, Kind: protocol.ToWorker, Worker: "w1", Epoch: 1}}
		s.publish(s.bus.Subjects.Dispatch(r.ID.Door), wire.Dispatches.Encode(&decisions))
		if r.Generated {
			s.output(protocol.Input{ID: r.ID, Model: r.Model, Batch: r.Batch, Data: make([]byte, 8)})
		}
	}
}

// work answers with the input.
func (s *stack) work(m *nats.Msg) {
	inputs, fault := wire.Inputs.Decode(m.Data)
	if fault != nil {
		s.t.Error(fault)
		return
	}
	for _, in := range inputs {
		s.output(in)
	}
}

func (s *stack) output(in protocol.Input) {
	out := []protocol.Output{{ID: in.ID, Model: in.Model, Batch: in.Batch, Items: in.Batch, Data: in.Data}}
	s.publish(s.bus.Subjects.OutputOf(in.ID.Door, "w1"), wire.Outputs.Encode(&out))
}

func (s *stack) publish(subject string, body []byte) {
	if err := s.bus.Control.Publish(subject, body); err != nil {
		s.t.Error(err)
	}
}

// answer is an answer of HTTP.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// field is a field of the answer's object.
func (a answer) field(key string) any {
	var object map[string]any
	if json.Unmarshal(a.body, &object) != nil {
		return nil
	}
	return object[key]
}

// do sends a request; headers come in pairs.
func (s *stack) do(method, path string, body io.Reader, headers ...string) answer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), bustest.Wait)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	if s.token != "" && r.Header.Get("Authorization") == "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	res, err := s.client.Do(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{res.StatusCode, res.Header, got}
}

func (s *stack) get(path string) (int, string) {
	s.t.Helper()
	a := s.do(http.MethodGet, path, nil)
	return a.status, string(a.body)
}

func (s *stack) infer(model string, body []byte, headers ...string) answer {
	s.t.Helper()
	return s.do(http.MethodPost, "/v2/models/"+model+"/infer", bytes.NewReader(body), headers...)
}
