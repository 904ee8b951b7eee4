package integration

import (
	"cmp"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
	"clockwork/pkg/watch/trace"
)

// spans is a collector that receives OTLP over HTTP and keeps everything.
type spans struct {
	mu   sync.Mutex
	list []*otlp.Span
	from map[string]bool // names of services
}

func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &request) != nil {
		http.Error(w, "no traces", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range request.ResourceSpans {
		for _, a := range resource.Resource.Attributes {
			if a.Key == "service.name" {
				s.from[a.Value.GetStringValue()] = true
			}
		}
		for _, scope := range resource.ScopeSpans {
			s.list = append(s.list, scope.Spans...)
		}
	}
}

// of returns the spans of a trace in order of their start.
func (s *spans) of(trace string) (found []*otlp.Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, span := range s.list {
		if hex.EncodeToString(span.TraceId) == trace {
			found = append(found, span)
		}
	}
	slices.SortFunc(found, func(a, b *otlp.Span) int { return cmp.Compare(a.StartTimeUnixNano, b.StartTimeUnixNano) })
	return found
}

// last returns the last span with a name: earlier ones belong to failed
// attempts.
func last(t *testing.T, found []*otlp.Span, name string) *otlp.Span {
	t.Helper()
	for _, s := range slices.Backward(found) {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no span %q", name)
	return nil
}

// text returns an attribute as text, "" if there is none.
func text(s *otlp.Span, name string) string {
	for _, a := range s.Attributes {
		if a.Key == name {
			return strings.Trim(a.Value.String()[strings.Index(a.Value.String(), ":")+1:], `"`)
		}
	}
	return ""
}

// TestOneRequestIsOneTrace checks the trace from the client's span over front
// door, scheduler and worker to the reply, for any case of the header. If the
// client's tracing system does not record a request, there are no spans.
func TestOneRequestIsOneTrace(t *testing.T) {
	taken := &spans{from: map[string]bool{}}
	server := httptest.NewServer(taken)
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_SERVICE_NAME", "traced")
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off") // only traces started by clients
	environment, err := trace.FromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	hub := &watch.Hub{}
	tracer, err := trace.Open(*environment, hub, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	config := quick()
	config.controller.Telemetry, config.scheduler.Telemetry = hub, hub
	s := startBroker(t, config)
	stops := []func(){s.startController(), s.startProfiler(), s.startScheduler(), s.startWorker(workerName(0))}
	s.load("zoo/resnet50_v2", 1)
	s.activated()

	// ask sends a request with a header, and returns its code.
	ask := func(model, header, traceparent string) string {
		m := nats.NewMsg("clockwork.infer." + model)
		m.Data = []byte(`{"id":"mine","parameters":{"slo_ms":5000},"inputs":[]}`)
		m.Header[header] = []string{traceparent}
		reply, err := s.client.Conn().RequestMsg(m, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return reply.Header.Get(protocol.ErrorCodeHeader)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // front doors see the stage a moment later
		if answer, refusal := s.infer("resnet50_v2", patience, patience); refusal == nil && answer.Parameters.BufferedMS == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("requests wait although the stack is active")
		}
	}
	const span = "00f067aa0ba902b7"
	id := func(digit string) string { return strings.Repeat(digit, 32) }
	served := map[string]string{"traceparent": id("a"), "Traceparent": id("b"), "TRACEPARENT": id("c")}
	for header, trace := range served {
		if code := ask("resnet50_v2", header, "00-"+trace+"-"+span+"-01"); code != "" {
			t.Fatalf("%s: refused %s", header, code)
		}
	}
	ask("resnet50_v2", "traceparent", "00-"+id("d")+"-"+span+"-00") // not recorded
	ask("resnet50_v2", "traceparent", "00-"+id("e")+"-"+span)       // malformed
	ask("nobody", "traceparent", "00-"+id("f")+"-"+span+"-01")
	for _, stop := range stops {
		stop()
	}
	if err := tracer.Close(); err != nil || tracer.Lost() != 0 {
		t.Errorf("lost %d, %v", tracer.Lost(), err)
	}

	for header, trace := range served {
		t.Run(header, func(t *testing.T) { checkTrace(t, taken.of(trace), span) })
	}
	if len(taken.of(id("d")))+len(taken.of(id("e"))) > 0 {
		t.Error("there are spans of requests that were not to be recorded")
	}
	refused := last(t, taken.of(id("f")), "infer")
	if text(refused, "error.type") != "UNKNOWN_MODEL" || refused.Status.Code != otlp.Status_STATUS_CODE_ERROR {
		t.Errorf("of the refused request: %v", refused)
	}
	if len(taken.from) != 1 || !taken.from["traced"] {
		t.Errorf("the spans are of %v", taken.from)
	}
}

// clockError bounds the error of a worker's clock: the spans below an action are
// the worker's own measurements.
const clockError = 5 * time.Millisecond

// parts are the spans of a request, each with its parent and its required
// attributes.
var parts = map[string]struct {
	above string
	says  []string
}{
	"infer resnet50_v2": {"", []string{"clockwork.model", "clockwork.request.id", "clockwork.slo_ms", "clockwork.cold", "clockwork.batch"}},
	"queue":             {"infer resnet50_v2", []string{"clockwork.queued", "clockwork.copies", "clockwork.attempt"}},
	"load weights":      {"infer resnet50_v2", []string{"clockwork.expected_ms"}},
	"action": {"infer resnet50_v2", []string{"clockwork.worker", "clockwork.gpu", "clockwork.members", "clockwork.action.id",
		"clockwork.expected_ms", "clockwork.planned.begin_ms", "clockwork.planned.end_ms"}},
	"input":     {"action", nil},
	"execution": {"action", []string{"clockwork.expected_ms", "clockwork.took_ms", "clockwork.error_ms"}},
	"output":    {"action", nil},
	"reply":     {"infer resnet50_v2", nil},
}

func checkTrace(t *testing.T, found []*otlp.Span, client string) {
	byID := map[string]*otlp.Span{}
	for _, s := range found {
		byID[string(s.SpanId)] = s
	}
	for _, s := range found {
		part, known := parts[s.Name]
		for _, attribute := range part.says {
			if text(s, attribute) == "" {
				t.Errorf("%s has no %s: %v", s.Name, attribute, s.Attributes)
			}
		}
		above := byID[string(s.ParentSpanId)]
		if !known || (above == nil) != (part.above == "") || above != nil && above.Name != part.above {
			t.Errorf("%s is below %v", s.Name, above)
		}
		if above == nil {
			continue
		}
		slack := uint64(0)
		if s.Name == "action" || s.Name == "load weights" {
			slack = uint64(clockError) // a worker has observed their end
		}
		if s.EndTimeUnixNano < s.StartTimeUnixNano || s.StartTimeUnixNano+slack < above.StartTimeUnixNano || s.EndTimeUnixNano > above.EndTimeUnixNano+slack {
			t.Errorf("%s from %d to %d is not within %s from %d to %d", s.Name,
				s.StartTimeUnixNano, s.EndTimeUnixNano, above.Name, above.StartTimeUnixNano, above.EndTimeUnixNano)
		}
	}
	root := last(t, found, "infer resnet50_v2")
	if hex.EncodeToString(root.ParentSpanId) != client || root.Kind != otlp.Span_SPAN_KIND_SERVER || root != found[0] {
		t.Errorf("the root is %v", root)
	}
	if text(root, "clockwork.client.id") != "mine" || text(root, "messaging.destination.name") != "clockwork.infer.resnet50_v2" {
		t.Errorf("the root says %v", root.Attributes)
	}
	queue, action := last(t, found, "queue"), last(t, found, "action")
	if queue.EndTimeUnixNano != action.StartTimeUnixNano || text(action, "clockwork.code") != "OK" || text(action, "clockwork.late_ms") == "" {
		t.Errorf("after %v came %v", queue, action)
	}
	for _, name := range []string{"input", "execution", "output", "reply"} {
		last(t, found, name)
	}
}
