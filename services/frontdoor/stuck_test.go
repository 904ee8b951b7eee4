package frontdoor

import (
	"bytes"
	"net"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// stallingProxy forwards connections to a broker. While it is stuck, it takes nothing from
// payload connections, as a broker that has no time for them.
type stallingProxy struct {
	listener net.Listener
	work     sync.WaitGroup

	mu    sync.Mutex
	moved sync.Cond
	stuck bool
	held  int // connections that it takes nothing from now
}

func newStallingProxy(t *testing.T, to string) *stallingProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &stallingProxy{listener: listener}
	f.moved.L = &f.mu
	f.work.Go(func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return // closed
			}
			f.work.Go(func() { f.serve(from, to) })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); f.work.Wait() })
	return f
}

func (f *stallingProxy) serve(client net.Conn, to string) {
	defer client.Close()
	broker, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer broker.Close()
	var both sync.WaitGroup
	both.Go(func() { pass(client, broker, func([]byte) {}) })
	payload := false
	both.Go(func() {
		pass(broker, client, func(part []byte) {
			payload = payload || bytes.Contains(part, []byte(`"name":"front door payload"`))
			if payload {
				f.wait()
			}
		})
	})
	both.Wait()
}

// pass copies until one side ends, and then ends the other.
func pass(to, from net.Conn, before func(part []byte)) {
	defer to.Close()
	part := make([]byte, 64<<10)
	for {
		n, err := from.Read(part)
		if err != nil {
			return
		}
		if before(part[:n]); n > 0 {
			if _, err := to.Write(part[:n]); err != nil {
				return
			}
		}
	}
}

func (f *stallingProxy) wait() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.held++; f.stuck; {
		f.moved.Wait()
	}
	f.held--
}

func (f *stallingProxy) set(stuck bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stuck = stuck
	f.moved.Broadcast()
}

func (f *stallingProxy) holds() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held > 0
}

// TestALargeInputKeepsNobodyWaiting: while the broker does not take the inputs of some
// requests, the front door takes and answers others, and its heartbeats go on: writing is
// done without its lock, and whether it is connected is known without that of nats.go.
func TestALargeInputKeepsNobodyWaiting(t *testing.T) {
	s := newStack(t)
	s.through = newStallingProxy(t, s.server.Addr().String())
	s.frontDoor()
	t.Cleanup(func() { s.through.set(false) })
	s.loaded("a")
	big := bustest.Spec("big", "zoo/big")
	big.Inputs = []protocol.TensorSpec{{Name: "x", Datatype: protocol.Uint8, Shape: []int64{7 << 20}}}
	if err := s.leads().PutModel(t.Context(), big); err != nil {
		t.Fatal(err)
	}
	s.activate()
	s.awaitServing()
	inputs := make(chan int, 10)
	s.on(s.bus.Subjects.Input("w1"), func(m *nats.Msg) { inputs <- len(m.Data) })
	beats := make(chan struct{}, 1000)
	s.on(s.bus.Subjects.Heartbeat(protocol.FrontDoor, s.door.Name()), func(*nats.Msg) { beats <- struct{}{} })

	const requests = 6 // more than the sockets between them hold
	slo := 60_000.0
	body := wire.EncodeInfer(&protocol.InferRequest{Parameters: protocol.InferParameters{SLOMS: &slo},
		Inputs: []protocol.Tensor{{Name: "x", Datatype: protocol.Uint8, Shape: []int64{1, 7 << 20}, Data: make([]byte, 7<<20)}}})
	var given []protocol.Dispatch
	for range requests {
		s.infer("big", string(body))
		r := bustest.Next(t, "the submission", s.submit)
		given = append(given, protocol.Dispatch{ID: r.ID, Kind: protocol.ToWorker, Worker: "w1"})
	}
	s.through.set(true)
	s.decide(given...)
	bustest.Until(t, "the broker does not take the inputs", s.through.holds)

	for range 20 {
		if code := codeOf(t, s.ask("clockwork.infer.nobody", `{}`)); code != protocol.UnknownModel {
			t.Fatalf("a request for a model that is not there: %s", code)
		}
	}
	if code := codeOf(t, s.ask("clockwork.infer.a", `{"parameters":{"slo_ms":50},"inputs":[]}`)); code != protocol.DeadlineExceeded {
		t.Errorf("without an outcome: %s", code)
	}
	for len(beats) > 0 {
		<-beats
	}
	for range 5 {
		bustest.Next(t, "a heartbeat", beats)
	}
	if len(inputs) == requests {
		t.Error("the broker has all inputs: the test proves nothing")
	}
	s.through.set(false)
	for range requests {
		if n := bustest.Next(t, "an input", inputs); n < 7<<20 {
			t.Errorf("an input of %d bytes", n)
		}
	}
}
