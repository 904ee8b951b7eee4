package watch

import (
	"testing"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

func TestWhoRecordsTracesDecidesAtTheArrival(t *testing.T) {
	h := &Hub{}
	if h.Trace(nil).Recorded() {
		t.Error("recorded by nobody")
	}
	h.OnArrival(func(header map[string][]string) Trace {
		return Trace{TraceContext: protocol.TraceContext{Span: [8]byte{byte(len(header))}}}
	})
	if h.Trace(nil).Recorded() || !h.Trace(map[string][]string{"a": nil}).Recorded() {
		t.Error("the listener did not decide")
	}
	var none *Hub
	none.Submission(&Submission{})
	if none.Trace(nil).Recorded() {
		t.Error("a nil hub records")
	}
}

func TestRefusalsOfTheSchedulerAreTold(t *testing.T) {
	h := &Hub{}
	var told []protocol.Code
	h.OnRefusal(func(_ protocol.Time, d *protocol.Dispatch) { told = append(told, d.Refusal.Code) })
	refusal := protocol.Dispatch{Kind: protocol.Refuse, Refusal: protocol.Refusal(protocol.Overloaded)}
	observed(h, &script{out: sched.Output{Refusals: []protocol.Dispatch{refusal}}}).Step(at(1), &sched.Tick{})
	if len(told) != 1 || told[0] != protocol.Overloaded {
		t.Errorf("told %v", told)
	}
}

func BenchmarkTraceOff(b *testing.B) {
	var h *Hub
	header := map[string][]string{"traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}
	b.ReportAllocs()
	for b.Loop() {
		if h.Trace(header).Recorded() {
			b.Fatal("recorded")
		}
	}
}
