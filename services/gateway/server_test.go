package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/watch"
	"clockwork/pkg/wire"
	"clockwork/services/gateway/grpcapi/oippb"
)

// refuseAll is a scheduler that refuses everything.
func (s *stack) refuseAll(m *nats.Msg) {
	b, fault := wire.Submissions.Decode(m.Data)
	if fault != nil {
		s.t.Error(fault)
		return
	}
	for _, r := range b.Requests {
		refusal := protocol.Refusal(protocol.DeadlineUnmeetable)
		refusal.EarliestMS, refusal.BudgetMS = 12.5, 10
		decisions := []protocol.Dispatch{{ID: r.ID, Kind: protocol.Refuse, Refusal: refusal, Epoch: 1}}
		s.publish(s.bus.Subjects.Dispatch(r.ID.Door), wire.Dispatches.Encode(&decisions))
	}
}

// heard has the codes of answered requests sent to a channel.
func (s *stack) heard(codes chan<- protocol.Code) {
	s.config.Telemetry.OnRequest(func(r *watch.Request) { codes <- r.Code })
}

// rawClient is a client that speaks HTTP byte by byte.
type rawClient struct {
	net.Conn
	t  testing.TB
	in *bufio.Reader
}

func dial(t testing.TB, s *stack) *rawClient {
	t.Helper()
	c, err := net.Dial("tcp", s.config.HTTP.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(bustest.Wait)); err != nil {
		t.Fatal(err)
	}
	return &rawClient{c, t, bufio.NewReader(c)}
}

func (c *rawClient) say(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.Conn, format, args...); err != nil {
		c.t.Fatal(err)
	}
}

// line reads a line of the answer, "" where the connection ends.
func (c *rawClient) line() string {
	line, _ := c.in.ReadString('\n')
	return strings.TrimSpace(line)
}

func TestWhatAClientMaySee(t *testing.T) {
	s := serving(t, nil)
	for path, want := range map[string]string{
		"/v2":                     `{"extensions":["binary_tensor_data","model_configuration","model_repository","statistics"],"name":"clockwork","version":"v0"}`,
		"/v2/":                    `{"extensions":["binary_tensor_data","model_configuration","model_repository","statistics"],"name":"clockwork","version":"v0"}`,
		"/v2/health/live":         `{"live":true,"ready":true}`,
		"/v2/health/ready":        `{"live":true,"ready":true}`,
		"/v2/models/a/ready":      `{"live":true,"ready":true,"name":"a"}`,
		"/v2/models/a":            `{"name":"a","versions":["1"],"platform":"clockwork","inputs":[{"name":"x","datatype":"FP32","shape":[-1,2]}],"outputs":[{"name":"y","datatype":"FP32","shape":[-1,2]}]}`,
		"/v2/models/a/versions/1": `{"name":"a","versions":["1"],"platform":"clockwork","inputs":[{"name":"x","datatype":"FP32","shape":[-1,2]}],"outputs":[{"name":"y","datatype":"FP32","shape":[-1,2]}]}`,
		"/v2/models/pair/config": `{"name":"pair","platform":"clockwork","max_batch_size":4,"input":[{"name":"x","data_type":"TYPE_FP32","dims":[2]},{"name":"n","data_type":"TYPE_UINT8","dims":[]}],` +
			`"output":[{"name":"y","data_type":"TYPE_FP32","dims":[2]},{"name":"m","data_type":"TYPE_UINT8","dims":[]}]}`,
		"/v2/models/big/versions/3/ready": `{"live":true,"ready":true,"name":"big"}`,
	} {
		if status, body := s.get(path); status != http.StatusOK || body != want {
			t.Errorf("%s: %d %s\nwant %s", path, status, body, want)
		}
	}
}

// TestAModelThatIsNotServedIsNotReady, although others are, and none is if all are refused.
func TestAModelThatIsNotServedIsNotReady(t *testing.T) {
	s := serving(t, nil)
	for _, c := range []struct {
		what, path, says string // says is in the answer of an unready one
		change           func(*protocol.Heartbeat)
	}{
		{"quarantined", "/v2/models/a/ready", "quarantined", func(h *protocol.Heartbeat) {
			h.Quarantined, h.Capacity.Refused = []protocol.QuarantinedModel{{Name: "a", Left: time.Minute}}, 1
		}},
		{"well again", "/v2/models/a/ready", "", func(*protocol.Heartbeat) {}},
		{"held by no GPU", "/v2/models/a/versions/1/ready", "no GPU", func(h *protocol.Heartbeat) {
			h.Unavailable, h.Capacity.Unavailable = []string{"a"}, 1
		}},
		{"all that are held are quarantined", "/v2/health/ready", "quarantined", func(h *protocol.Heartbeat) {
			h.Capacity.Unavailable, h.Capacity.Refused = 1, 2
		}},
	} {
		s.scheduler.Store(&c.change)
		want := http.StatusOK
		if c.says != "" {
			want = http.StatusServiceUnavailable
		}
		bustest.Until(t, c.what, func() bool {
			status, body := s.get(c.path)
			return status == want && strings.Contains(body, c.says)
		})
		if status, _ := s.get("/v2/models/big/ready"); (status == http.StatusOK) != strings.Contains(c.path, "models") {
			t.Errorf("%s: another model is %d", c.what, status)
		}
		said := &oippb.ModelReadyResponse{}
		if err := s.call("ModelReady", &oippb.ModelReadyRequest{Name: "a"}, said); err != nil || said.Ready != (c.says == "") {
			t.Errorf("%s: over gRPC %v, %v", c.what, said, err)
		}
	}
}

func TestPathsAndMethodsThatAreNone(t *testing.T) {
	s := serving(t, nil)
	for _, c := range []struct {
		method, path string
		status       int
		says         string
	}{
		{"GET", "/v1/models/a", 404, "/v2"}, {"GET", "/v2/models", 404, ""}, {"GET", "/v2/models//ready", 404, ""},
		{"GET", "/v2/models/a/b/c/d/e", 404, ""}, {"GET", "/v2/models/nobody", 404, "nobody"}, {"GET", "/v2/models/A", 404, "a-z"}, {"GET", "/v2/models/nobody/ready", 404, "nobody"},
		{"GET", "/v2/models/big/versions/2", 404, "version 3"}, {"GET", "/v2/../../etc/passwd", 404, ""}, {"GET", "/v2/models/%zz", 400, ""},
		{"GET", "/v2/models/a/infer", 405, "POST"}, {"POST", "/v2", 405, "GET"}, {"DELETE", "/v2/models/a", 405, "GET"}, {"TRACE", "/v2", 405, "GET"}, {"POST", "/v2/health/live", 405, "GET"},
		{"GET", "/v2/repository/index", 405, "POST"}, {"POST", "/v2/repository/models/nobody/load", 400, "LOADING_CLOSED"}, {"GET", "/v2/models/nobody/stats", 404, "nobody"}, {"POST", "/v2/models/stats", 405, "GET"},
		{"GET", "/v2/systemsharedmemory/status", 501, "shared memory"}, {"POST", "/v2/models/a/generate", 501, "generation"},
		{"GET", "/v2/trace/setting", 501, ""}, {"POST", "/v2/logging", 501, ""},
	} {
		c2 := dial(t, s)
		c2.say("%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", c.method, c.path)
		line := c2.line()
		rest, _ := io.ReadAll(c2.in)
		if !strings.HasPrefix(line, fmt.Sprint("HTTP/1.1 ", c.status)) || !strings.Contains(string(rest), c.says) || strings.Contains(string(rest), ".go:") {
			t.Errorf("%s %s: %s %s", c.method, c.path, line, rest)
		}
	}
}

// TestSlowClientsAreGivenUp: whoever does not send its headers or its body in time loses its
// connection, and holds no bytes; others are served meanwhile.
func TestSlowClientsAreGivenUp(t *testing.T) {
	s := serving(t, func(c *Config) {
		c.HTTP.HeaderTime, c.HTTP.BodyTime, c.ReadingBytes = 200*time.Millisecond, 200*time.Millisecond, 1<<20
	})
	var slow []*rawClient
	for i := range 20 {
		c := dial(t, s)
		if i%2 == 0 {
			c.say("POST /v2/models/a/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n\r\n{")
		} else {
			c.say("POST /v2/models/a/infer HTTP/1.1\r\nHost: ")
		}
		slow = append(slow, c)
	}
	if a := s.infer("a", []byte(jsonInfer)); a.status != http.StatusOK {
		t.Errorf("beside slow clients: %d %s", a.status, a.body)
	}
	for i, c := range slow {
		line := c.line()
		if i%2 == 0 && !strings.HasPrefix(line, "HTTP/1.1 400") || i%2 == 1 && line != "" && !strings.HasPrefix(line, "HTTP/1.1 4") {
			t.Errorf("client %d: %q", i, line)
		}
		if _, err := io.Copy(io.Discard, c.in); err != nil { // until the connection ends
			t.Errorf("client %d: %v", i, err)
		}
	}
}

// TestWhoDoesNotReadIsGivenUp: answers wait for a client for a bounded time, and then its
// connection ends; others are served meanwhile.
func TestWhoDoesNotReadIsGivenUp(t *testing.T) {
	s := serving(t, func(c *Config) { c.HTTP.AnswerTime = 200 * time.Millisecond })
	const many = 200 // more than the buffers of the connection hold
	head := `{"inputs":[{"name":"x","shape":[1,100000],"datatype":"UINT8","parameters":{"binary_data_size":100000}}]}`
	one := fmt.Sprintf("POST /v2/models/big/infer HTTP/1.1\r\nHost: localhost\r\n%s: %d\r\nContent-Length: %d\r\n\r\n%s%s",
		wire.HeaderLength, len(head), len(head)+100_000, head, strings.Repeat("\xff", 100_000))
	c := dial(t, s)
	for range many {
		if _, err := io.WriteString(c.Conn, one); err != nil {
			break // the gateway has given the client up
		}
	}
	if a := s.infer("a", []byte(jsonInfer)); a.status != http.StatusOK {
		t.Errorf("beside it: %d %s", a.status, a.body)
	}
	read, _ := io.ReadAll(c.in)
	if answers := strings.Count(string(read), "HTTP/1.1 200"); answers == 0 || answers == many {
		t.Errorf("%d answers to a client that does not read", answers)
	}
}

// TestBodiesThatAreReadAreBounded, all together.
func TestBodiesThatAreReadAreBounded(t *testing.T) {
	s := serving(t, func(c *Config) { c.ReadingBytes = 100 << 10 })
	a := s.infer("a", make([]byte, 200<<10))
	if a.status != http.StatusServiceUnavailable || a.field("code") != string(protocol.Overloaded) || a.field("limit") != float64(100<<10) {
		t.Errorf("%d %s", a.status, a.body)
	}
	for range 20 { // what was held is given back
		if a := s.infer("a", []byte(jsonInfer)); a.status != http.StatusOK {
			t.Fatalf("then: %d %s", a.status, a.body)
		}
	}
}

// TestConnectionsAreBounded: those beyond the bound are told so, and end; once another one has
// ended there is room.
func TestConnectionsAreBounded(t *testing.T) {
	s := serving(t, func(c *Config) { c.HTTP.Connections = 2 })
	s.client.CloseIdleConnections()
	var served, others []*rawClient
	bustest.Until(t, "two connections are served", func() bool { // the one of the wait before may be open yet
		c := dial(t, s)
		c.say("GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if c.line() == "HTTP/1.1 200 OK" {
			served = append(served, c)
		}
		return len(served) == 2
	})
	for range 3 * maxTold {
		others = append(others, dial(t, s))
	}
	for _, c := range others[:maxTold/2] { // as many as may be told at a time, and some
		c.say("POST /v2/models/a/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(jsonInfer), jsonInfer)
		told, err := io.ReadAll(c.in)
		if err != nil || !strings.HasPrefix(string(told), "HTTP/1.1 503 ") || !strings.Contains(string(told), "Retry-After: 1\r\n") || !strings.Contains(string(told), `"code":"OVERLOADED"`) {
			t.Errorf("%q, %v", told, err)
		}
	}
	for _, c := range others[maxTold/2:] { // told or not, it ends
		if told, _ := io.ReadAll(c.in); len(told) > 0 && !strings.Contains(string(told), `"limit":2`) {
			t.Errorf("%q", told)
		}
	}
	_ = served[0].Close()
	bustest.Until(t, "there is room again", func() bool {
		c := dial(t, s)
		c.say("GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
		return c.line() == "HTTP/1.1 200 OK"
	})
}

// maxTold is how many connections are told at a time that there are too many.
const maxTold = 64

// TestAStoppingGateway: it is not ready from the signal on, serves until it ends, and answers
// what it has.
func TestAStoppingGateway(t *testing.T) {
	s := serving(t, nil)
	s.config.Telemetry.Stopping()
	if status, body := s.get("/v2/health/ready"); status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", status, body)
	}
	if a := s.infer("a", []byte(jsonInfer)); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
	s.silent.Store(true)
	before := s.submitted.Load()
	ended := make(chan answer, 1)
	go func() { ended <- s.infer("a", []byte(jsonInfer)) }()
	bustest.Until(t, "a request is in flight", func() bool { return s.submitted.Load() == before+1 })
	s.stop()
	if a := bustest.Next(t, "its answer", ended); a.status != http.StatusServiceUnavailable || a.field("code") != string(protocol.ShuttingDown) {
		t.Errorf("%d %s", a.status, a.body)
	}
}
