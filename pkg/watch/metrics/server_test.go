package metrics

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"golang.org/x/net/netutil"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// served is a server on a free port, with a client that keeps no connections.
func served(t *testing.T, m *Metrics) (s *Server, ask func(path string) (int, string)) {
	t.Helper()
	s, err := Listen("127.0.0.1:0", m, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return s, func(path string) (int, string) {
		t.Helper()
		answer, err := client.Get("http://" + s.Address() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body)
	}
}

// told fails unless an answer is this one.
func told(t *testing.T, code int, body string, wantCode int, want string) {
	t.Helper()
	if code != wantCode || body != want+"\n" {
		t.Errorf("%d %q, want %d %q", code, body, wantCode, want)
	}
}

func TestReadyMeansThatRequestsAreServed(t *testing.T) {
	hub, m := fresh(t, 10)
	_, ask := served(t, m)
	code, body := ask("/readyz")
	told(t, code, body, 503, "no service is up yet")

	door := watch.FrontDoor{}
	away := "the broker is not reached: reconnecting"
	hub.Register(watch.Source{Service: protocol.FrontDoor, Name: "d", FrontDoor: func() watch.FrontDoor { return door }})
	hub.Register(watch.Source{Service: protocol.Worker, Name: "w", Ready: func() string { return away }})
	code, body = ask("/readyz")
	told(t, code, body, 503, "frontdoor d: it has not read the stage yet\nworker w: the broker is not reached: reconnecting")

	door.Stage, away = protocol.Profiling, ""
	code, body = ask("/readyz")
	told(t, code, body, 503, "frontdoor d: the stage is PROFILING; requests wait until it is ACTIVE")
	door.Stage = protocol.Active
	code, body = ask("/readyz")
	told(t, code, body, 503, "frontdoor d: no scheduler is active")
	door.Epoch, door.Capacity.Models, door.Capacity.Unavailable = 1, 1, 1
	code, body = ask("/readyz")
	told(t, code, body, 503, "frontdoor d: no served model is held by a GPU in service: no worker is connected that could load one, or every GPU that could is stalled")
	door.Capacity.GPUs = 1
	code, body = ask("/readyz")
	told(t, code, body, 200, "ready")
	code, body = ask("/livez")
	told(t, code, body, 200, "alive")
	hub.Stopping()
	code, body = ask("/readyz")
	told(t, code, body, 503, "frontdoor d: the process stops\nworker w: the process stops")
}

func TestALockThatIsHeldForEverIsNoLife(t *testing.T) {
	hub, m := fresh(t, 10)
	m.reader.within = 20 * time.Millisecond
	held := make(chan struct{})
	take := hub.Register(watch.Source{Service: protocol.Scheduler, Name: "s", Scheduler: func() watch.Scheduler {
		<-held
		return watch.Scheduler{}
	}})
	_, ask := served(t, m)
	for _, probe := range []string{"/livez", "/readyz", "/livez"} {
		code, body := ask(probe)
		told(t, code, body, 503, "the services did not give their numbers within 20ms: one of them holds its lock")
	}
	code, body := ask("/metrics")
	if code != 200 || !strings.Contains(body, "\nclockwork_readable 0\n") || !strings.Contains(body, "\nclockwork_request_items_total 0\n") {
		t.Errorf("%d: what needs no lock should be there still, and say that the rest is not", code)
	}
	close(held)
	take()
	if list, ok := m.reader.read(); !ok || len(list) > 1 {
		t.Errorf("%v %v after the lock was given back", list, ok)
	}
}

func TestAPortThatIsTakenIsSaidToBe(t *testing.T) {
	_, m := fresh(t, 10)
	s, _ := served(t, m)
	_, err := Listen(s.Address(), m, slog.New(slog.DiscardHandler))
	want := "serve metrics on " + s.Address() + ": another process listens there; choose another port, or 0 for a free one"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestWhatIsNoScrapeIsRefused(t *testing.T) {
	_, m := fresh(t, 10)
	s, ask := served(t, m)
	if code, _ := ask("/debug/pprof/"); code != 404 {
		t.Errorf("%d for what is not there", code)
	}
	for request, want := range map[string]string{
		"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n":                          "405",
		"GET /metrics HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 2*maxHeader) + "\r\n\r\n": "431",
		"nonsense\r\n\r\n": "400",
	} {
		conn, err := net.Dial("tcp", s.Address())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, request) // the server may have enough before the end
		line, _ := bufio.NewReader(conn).ReadString('\n')
		if !strings.Contains(line, " "+want+" ") {
			t.Errorf("%.20q is answered %q, want %s", request, line, want)
		}
		_ = conn.Close()
	}
}

func TestThoseWhoHoldConnectionsLeaveWhenTheServerCloses(t *testing.T) {
	_, m := fresh(t, 10)
	s, err := Listen("127.0.0.1:0", m, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var held []net.Conn
	for range maxConnections + 10 { // the last ones are not even accepted
		conn, err := net.Dial("tcp", s.Address())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		held = append(held, conn)
	}
	_ = held[0].Close() // somebody who waits gets this place
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", s.Address()); err == nil {
		t.Error("it still listens")
	}
}

func TestACrowdWaitsOutside(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := netutil.LimitListener(listener, 1)
	for range 3 {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
	}
	first, err := c.Accept()
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan net.Conn)
	go func() {
		conn, err := c.Accept()
		if err != nil {
			t.Error(err)
		}
		second <- conn
	}()
	select {
	case <-second:
		t.Error("two are inside")
	case <-time.After(20 * time.Millisecond):
	}
	_ = first.Close()
	_ = first.Close() // leaves once
	_ = (<-second).Close()
	third, err := c.Accept() // no place is lost
	if err != nil {
		t.Fatal(err)
	}
	_ = third.Close()
	_ = c.Close()
	if _, err := c.Accept(); err == nil {
		t.Error("it takes connections after its end")
	}
}

func TestScrapersThatWantNativeHistogramsGetThem(t *testing.T) {
	hub, m := fresh(t, 10)
	hub.Request(answered5ms())
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var latency *dto.Histogram
	for _, f := range families {
		if f.GetName() == "clockwork_request_latency_seconds" {
			latency = f.GetMetric()[3].GetHistogram() // ok, by the order of its label
		}
	}
	if latency.GetSchema() != 3 || len(latency.GetPositiveSpan()) != 1 || len(latency.GetBucket()) != len(latencyBounds) {
		t.Errorf("%v", latency)
	}
	s, _ := served(t, m)
	request, _ := http.NewRequest(http.MethodGet, "http://"+s.Address()+"/metrics", nil)
	request.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if kind := answer.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/vnd.google.protobuf") {
		t.Errorf("answered as %s", kind)
	}
}
