package trace

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/logtext"
	"clockwork/pkg/watch"
)

// parent is a client's context, sampled.
const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func always() Config {
	return Config{Sampler: sdk.ParentBased(sdk.AlwaysSample()), Propagate: true}
}

// recording returns a hub, and what its tracer has exported once it is closed.
func recording(t *testing.T, c Config) (hub *watch.Hub, tracer *Tracer, ended func() tracetest.SpanStubs) {
	t.Helper()
	hub = &watch.Hub{}
	kept := &keeper{}
	tracer, err := attach(c, hub, slog.New(slog.DiscardHandler), kept)
	if err != nil {
		t.Fatal(err)
	}
	return hub, tracer, func() tracetest.SpanStubs {
		if err := tracer.Close(); err != nil {
			t.Error(err)
		}
		return kept.spans
	}
}

// keeper is an exporter that forgets nothing when it is shut down.
type keeper struct {
	mu    sync.Mutex
	spans tracetest.SpanStubs
}

func (k *keeper) ExportSpans(_ context.Context, spans []sdk.ReadOnlySpan) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.spans = append(k.spans, tracetest.SpanStubsFromReadOnlySpans(spans)...)
	return nil
}

func (k *keeper) Shutdown(context.Context) error { return nil }

func the(t *testing.T, spans tracetest.SpanStubs, name string) tracetest.SpanStub {
	t.Helper()
	var found []tracetest.SpanStub
	for _, s := range spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d spans %q in %v", len(found), name, names(spans))
	}
	return found[0]
}

func names(spans tracetest.SpanStubs) (list []string) {
	for _, s := range spans {
		list = append(list, s.Name)
	}
	return list
}

func valueOf(t *testing.T, s tracetest.SpanStub, name string) attribute.Value {
	t.Helper()
	for _, a := range s.Attributes {
		if string(a.Key) == name {
			return a.Value
		}
	}
	t.Fatalf("span %q has no %s: %v", s.Name, name, s.Attributes)
	return attribute.Value{}
}

// TestAClientsSpanIsTheParent in whatever case its client's library writes headers, and
// what is none is left alone.
func TestAClientsSpanIsTheParent(t *testing.T) {
	hub, _, ended := recording(t, always())
	for header, want := range map[string]bool{"traceparent": true, "Traceparent": true, "TRACEPARENT": true, "trace-parent": false} {
		got := hub.Trace(map[string][]string{header: {parent}})
		if ours := got.String() == "4bf92f3577b34da6a3ce929d0e0e4736"; ours != want || !got.Recorded() {
			t.Errorf("%s: %+v", header, got)
		}
	}
	for _, malformed := range []string{"", "x", parent[1:], parent + "-1", strings.ToUpper(parent), "ff" + parent[2:],
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"} {
		if got := hub.Trace(map[string][]string{"traceparent": {malformed}}); got.Parent != [8]byte{} || !got.Recorded() {
			t.Errorf("%q: %+v", malformed, got)
		}
	}
	ended()
}

func TestTheClientsDecisionCounts(t *testing.T) {
	never := Config{Sampler: sdk.ParentBased(sdk.NeverSample()), Propagate: true}
	for name, c := range map[string]struct {
		config Config
		header string
		want   bool
	}{
		"recorded by the client":          {never, parent, true},
		"not recorded by the client":      {always(), parent[:len(parent)-1] + "0", false},
		"none, and the sampler says no":   {never, "", false},
		"none, and the sampler says yes":  {always(), "", true},
		"contexts of clients are ignored": {Config{Sampler: never.Sampler}, parent, false},
	} {
		hub, _, ended := recording(t, c.config)
		header := map[string][]string{}
		if c.header != "" {
			header["Traceparent"] = []string{c.header}
		}
		if got := hub.Trace(header); got.Recorded() != c.want {
			t.Errorf("%s: recorded %v", name, got.Recorded())
		}
		ended()
	}
}

// A sampler that takes a share takes about that share, so ids are evenly spread.
func TestASamplerTakesItsShare(t *testing.T) {
	hub, _, ended := recording(t, Config{Sampler: sdk.TraceIDRatioBased(0.125)})
	defer ended()
	taken := 0
	for range 8000 {
		if hub.Trace(nil).Recorded() {
			taken++
		}
	}
	if taken < 700 || taken > 1300 { // 1000, and more than nine standard deviations
		t.Errorf("%d of 8000 instead of an eighth", taken)
	}
}

func TestCarrier(t *testing.T) {
	c := Carrier{"TRACEPARENT": {"b"}, "TraceParent": {"a"}, "other": {"x", "y"}}
	if c.Get("traceparent") != "b" { // capitals come first
		t.Errorf("of two, %q", c.Get("traceparent"))
	}
	c.Set("traceparent", "z")
	if len(c) != 2 || c.Get("traceparent") != "z" || c.Get("nothing") != "" || strings.Join(c.Keys(), " ") != "other traceparent" {
		t.Errorf("%v", c)
	}
}

// story is what a hub is told of a request that is served at its second attempt.
func story(hub *watch.Hub) watch.Trace {
	trace := hub.Trace(map[string][]string{"traceparent": {parent}, "tracestate": {"a=b"}})
	id := protocol.RequestID{Door: 1, Seq: 2}
	begin := clock.Now()
	at := func(ms int) protocol.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	hub.Submission(&watch.Submission{ID: id, Trace: trace.TraceContext, Model: "m", At: at(1), Deadline: at(100)})
	core := &script{}
	followed := observed(hub, core)
	core.act(followed, at(2), load(), at(3), at(9))
	core.act(followed, at(10), infer(7, id), at(11), 0)
	core.act(followed, at(20), infer(8, id), at(22), at(25))
	hub.Request(watch.Request{
		Trace: trace, Subject: "clockwork.infer.m", ID: id, Model: "m", Client: "c", SLO: 100 * time.Millisecond, Code: protocol.OK, Worker: "w",
		Arrived: clock.Wall()(at(0)), Dispatched: clock.Wall()(at(20)), Decided: clock.Wall()(at(27)), Ended: clock.Wall()(at(28)),
	})
	return trace
}

func TestOneRequestIsOneTrace(t *testing.T) {
	hub, _, ended := recording(t, always())
	trace := story(hub)
	spans := ended()
	if got := strings.Join(names(spans), ","); got != "queue,load weights,action,queue,action,input,execution,output,reply,infer m" {
		t.Fatalf("spans %s", got)
	}
	root := the(t, spans, "infer m")
	if root.SpanContext.SpanID() != trace.Span || root.Parent.SpanID().String() != "00f067aa0ba902b7" || root.SpanContext.TraceState().String() != "a=b" {
		t.Errorf("the root is %v below %v", root.SpanContext, root.Parent)
	}
	byID := map[any]tracetest.SpanStub{}
	for _, s := range spans {
		byID[s.SpanContext.SpanID()] = s
	}
	for _, s := range spans {
		if s.SpanContext.TraceID() != root.SpanContext.TraceID() {
			t.Errorf("%s is of another trace", s.Name)
		}
		above, found := byID[s.Parent.SpanID()]
		if s.Name == root.Name {
			continue
		}
		if !found || s.StartTime.Before(above.StartTime) || s.EndTime.After(above.EndTime) || s.EndTime.Before(s.StartTime) {
			t.Errorf("%s from %v to %v is not within %q from %v to %v", s.Name, s.StartTime, s.EndTime, above.Name, above.StartTime, above.EndTime)
		}
	}
	execution := the(t, spans, "execution")
	if byID[execution.Parent.SpanID()].Name != "action" || valueOf(t, execution, "clockwork.error_ms").AsFloat64() != 1 {
		t.Errorf("execution: %+v", execution)
	}
	failed, done := spans[2], spans[4]
	if failed.Status.Description == "" || valueOf(t, failed, "error.type").AsString() != "TOO_LATE" {
		t.Errorf("the first attempt: %+v", failed.Status)
	}
	if valueOf(t, done, "clockwork.planned.end_ms").AsFloat64() != 4 || valueOf(t, done, "clockwork.late_ms").AsFloat64() != 1 || valueOf(t, done, "clockwork.members").AsInt64() != 2 {
		t.Errorf("the second attempt: %v", done.Attributes)
	}
	if second := spans[3]; valueOf(t, second, "clockwork.attempt").AsInt64() != 2 || valueOf(t, second, "clockwork.queued").AsInt64() != 3 {
		t.Errorf("its queue: %v", second.Attributes)
	}
}

func TestARefusalEndsTheQueue(t *testing.T) {
	hub, _, ended := recording(t, always())
	trace := hub.Trace(nil)
	id := protocol.RequestID{Door: 1, Seq: 2}
	now := clock.Now()
	hub.Submission(&watch.Submission{ID: id, Trace: trace.TraceContext, At: now, Deadline: now.Add(time.Second)})
	core := &script{}
	core.refuse(observed(hub, core), now.Add(time.Millisecond), id)
	core.refuse(observed(hub, core), now.Add(time.Millisecond), id) // nothing of it is open
	hub.Request(watch.Request{Trace: trace, ID: id, Model: "m", Code: protocol.Overloaded, Why: "full", Arrived: time.Now(), Ended: time.Now()})
	hub.Request(watch.Request{ID: id, Model: "m"}) // nobody records it
	spans := ended()
	if len(spans) != 2 {
		t.Fatalf("spans %v", names(spans))
	}
	for _, s := range spans {
		if valueOf(t, s, "error.type").AsString() != "OVERLOADED" || !strings.HasPrefix(s.Status.Description, "OVERLOADED: ") {
			t.Errorf("%s: %v %v", s.Name, s.Status, s.Attributes)
		}
	}
	if root := the(t, spans, "infer m"); root.Parent.SpanID().IsValid() || the(t, spans, "queue").Parent.SpanID() != root.SpanContext.SpanID() {
		t.Error("the queue is not below the root")
	}
}

func TestRequestsThatNobodyEndsAreForgotten(t *testing.T) {
	_, tracer, ended := recording(t, always())
	defer ended()
	at := protocol.Time(0)
	for seq := range uint64(1000) {
		tracer.submitted(&watch.Submission{ID: protocol.RequestID{Seq: seq}, At: at, Deadline: at.Add(time.Second)})
		at = at.Add(time.Second)
	}
	if n := tracer.count.Load(); n > 40 {
		t.Errorf("%d are kept", n)
	}
	for seq := range uint64(2 * maxOpen) {
		tracer.submitted(&watch.Submission{ID: protocol.RequestID{Door: 1, Seq: seq}, At: at, Deadline: at.Add(time.Second)})
	}
	if n := tracer.count.Load(); n != maxOpen || tracer.Lost() == 0 {
		t.Errorf("%d are kept, %d lost", n, tracer.Lost())
	}
}

// TestACollectorThatIsAwayHarmsNothing: neither one that refuses connections nor one
// that never answers holds up those who tell, or the end.
func TestACollectorThatIsAwayHarmsNothing(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := "http://" + listener.Addr().String()
	listener.Close()
	hang := make(chan struct{})
	deaf := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer deaf.Close()
	defer close(hang)
	for _, url := range []string{gone, deaf.URL} {
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
		t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
		c, err := FromEnvironment()
		if err != nil {
			t.Fatal(err)
		}
		said := &logtext.Buffer{}
		hub := &watch.Hub{}
		tracer, err := Open(*c, hub, slog.New(slog.NewTextHandler(said, nil)))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 * maxWaiting {
			hub.Request(watch.Request{Trace: hub.Trace(nil), Code: protocol.OK})
		}
		if url == deaf.URL {
			tracer.hurry() // as closeWait does
		}
		if err := tracer.Close(); err != nil {
			t.Error(err)
		}
		if told := said.String(); tracer.Lost() != 2*maxWaiting || strings.Count(told, "traces lost") < 1 || !strings.Contains(told, "error=") || hub.Losses()[0].Lost != 2*maxWaiting {
			t.Errorf("%s: lost %d, told:\n%s", url, tracer.Lost(), told)
		}
	}
}

func TestLossesAreToldOnceInAWhile(t *testing.T) {
	said := &logtext.Buffer{}
	l := losses{log: slog.New(slog.NewTextHandler(said, nil))}
	now := time.Now()
	for range 100 {
		l.failed.Add(1)
		l.report(errors.New("no route"), now)
		now = now.Add(time.Second)
	}
	if n := strings.Count(said.String(), "\n"); n != 4 || !strings.Contains(said.String(), "no route") {
		t.Errorf("told %d times in 100 s:\n%s", n, said)
	}
	l.reportAll()
	l.reportAll() // nothing new
	if n := strings.Count(said.String(), "\n"); n != 5 || !strings.Contains(said.String(), "spans_not_exported=100") {
		t.Errorf("told %d times:\n%s", n, said)
	}
}
