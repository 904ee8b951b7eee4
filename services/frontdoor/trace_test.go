package frontdoor

import (
	"slices"
	"testing"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/watch"
	"clockwork/pkg/wire"
)

// tracing has the controllers of a stack record the trace of every request that brings
// a traceparent, and returns what they tell of those.
func (s *stack) tracing() (told chan watch.Request, submitted chan protocol.Submitted) {
	told, submitted = make(chan watch.Request, 100), make(chan protocol.Submitted, 100)
	hub := &watch.Hub{}
	hub.OnArrival(func(header map[string][]string) watch.Trace {
		if len(header["traceparent"]) == 0 {
			return watch.Trace{}
		}
		return watch.Trace{TraceContext: protocol.TraceContext{Trace: [16]byte{1}, Span: [8]byte{2}}, Parent: [8]byte{3}}
	})
	hub.OnRequest(func(r *watch.Request) {
		if r.Trace.Recorded() {
			told <- *r
		}
	})
	s.config.Telemetry = hub
	s.on(s.bus.Subjects.Submissions(), func(m *nats.Msg) {
		if b, fault := wire.Submissions.Decode(m.Data); fault == nil {
			for _, r := range b.Requests {
				submitted <- r
			}
		}
	})
	return told, submitted
}

// traced asks for a model as inferring does, with a trace.
func (s *stack) traced(model, body string) chan *nats.Msg {
	replies := make(chan *nats.Msg, 1)
	m := nats.NewMsg("clockwork.infer." + model)
	m.Data, m.Header["traceparent"] = []byte(body), []string{"00-01000000000000000000000000000000-0300000000000000-01"}
	go func() {
		if reply, err := s.client.RequestMsg(m, bustest.Wait); err == nil {
			replies <- reply
		}
	}()
	return replies
}

// TestATraceGoesAlongAndIsToldOnce: to the scheduler with each submission, also to the
// next scheduler, and to whoever listens with the one answer.
func TestATraceGoesAlongAndIsToldOnce(t *testing.T) {
	s := newStack(t)
	told, submitted := s.tracing()
	s.frontDoor()
	s.loaded("a")
	scheduler := s.activate()
	s.awaitServing()
	replies := s.traced("a", jsonInfer)
	first := bustest.Next(t, "the submission", submitted)
	scheduler.Set(protocol.Standby, 0)
	s.scheduler("s2", protocol.SchedulerActive, 9)
	again := bustest.Next(t, "the second submission", submitted)
	if first.Trace.Trace != [16]byte{1} || first.Trace.Span != [8]byte{2} || again.Trace != first.Trace {
		t.Errorf("submitted with %v, then %v", first.Trace, again.Trace)
	}
	s.output(again.Submission, raw)
	for range 3 {
		s.answer("w1", again.Submission, raw)
	}
	bustest.Next(t, "the reply", replies)
	r := bustest.Next(t, "what is told", told)
	if r.Code != protocol.OK || r.Trace.TraceContext != first.Trace || r.Subject != "clockwork.infer.a" ||
		r.Arrived.After(r.Dispatched) || r.Dispatched.After(r.Decided) || r.Decided.After(r.Ended) {
		t.Errorf("told %+v", r)
	}
	untraced := s.infer("a", jsonInfer)
	next := bustest.Next(t, "the third submission", submitted)
	if next.Trace.Recorded() {
		t.Error("a trace that nobody records goes along")
	}
	s.output(next.Submission, raw)
	bustest.Next(t, "the reply", untraced)
	if len(told) != 0 {
		t.Errorf("told again: %+v", <-told)
	}
}

func TestATraceSaysWhyAMessageWasRefused(t *testing.T) {
	s := newStack(t)
	told, _ := s.tracing()
	s.frontDoor()
	s.loaded("a")
	s.activate()
	s.awaitServing()
	for body, want := range map[string]protocol.Code{`{"inputs"`: protocol.BadMessage, `{"parameters":{"slo_ms":0}}`: protocol.InvalidDeadline} {
		bustest.Next(t, "the refusal", s.traced("a", body))
		if r := bustest.Next(t, "what is told", told); r.Code != want || r.Subject != "clockwork.infer.a" || r.Ended.Before(r.Arrived) {
			t.Errorf("%s: told %+v", body, r)
		}
	}
}

// TestATraceGoesThroughTheStartupBuffer with the span of its client.
func TestATraceGoesThroughTheStartupBuffer(t *testing.T) {
	s := newStack(t)
	told, submitted := s.tracing()
	var headers [][]string
	inner := s.config.Telemetry
	hub := &watch.Hub{}
	hub.OnArrival(func(header map[string][]string) watch.Trace {
		headers = append(headers, header["traceparent"])
		return inner.Trace(header)
	})
	hub.OnRequest(func(r *watch.Request) { inner.Request(*r) })
	s.config.Telemetry = hub
	s.frontDoor()
	s.loaded("a")
	replies := s.traced("a", jsonInfer)
	s.activate()
	r := bustest.Next(t, "the submission", submitted)
	if !r.Trace.Recorded() {
		t.Error("its trace was lost")
	}
	s.output(r.Submission, raw)
	bustest.Next(t, "the reply", replies)
	if told := bustest.Next(t, "what is told", told); told.Buffered <= 0 {
		t.Errorf("told %+v", told)
	}
	if len(headers) != 2 || !slices.Equal(headers[0], headers[1]) {
		t.Errorf("it arrived with %v", headers)
	}
}
