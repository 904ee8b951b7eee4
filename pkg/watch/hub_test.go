package watch

import (
	"testing"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

func TestEveryListenerHearsOfEveryRequest(t *testing.T) {
	h := &Hub{}
	var heard []protocol.Code
	for range 2 {
		h.OnRequest(func(r *Request) { heard = append(heard, r.Code) })
	}
	h.Request(Request{Code: protocol.OK})
	h.Request(Request{Code: protocol.Overloaded})
	want := []protocol.Code{protocol.OK, protocol.OK, protocol.Overloaded, protocol.Overloaded}
	if len(heard) != len(want) || heard[0] != want[0] || heard[3] != want[3] {
		t.Errorf("heard %v, want %v", heard, want)
	}
}

func TestANilHubHearsNothing(t *testing.T) {
	var h *Hub
	if h.WantsRequests() {
		t.Error("it wants requests")
	}
	h.Request(Request{})
	h.Result(&protocol.Result{})
	h.Register(Source{})()
	h.Step(time.Second)
	if h.Gauges() != nil || h.Observer() != nil || h.WantsSteps() {
		t.Error("it does something")
	}
}

func TestASourceIsReadUntilItIsTaken(t *testing.T) {
	h := &Hub{}
	inFlight := 1
	take := h.Register(Source{Service: protocol.FrontDoor, Name: "a", Ready: func() string { return "no broker" },
		FrontDoor: func() FrontDoor { return FrontDoor{InFlight: inFlight} }})
	h.Register(Source{Service: protocol.Worker, Name: "b"})
	inFlight = 2
	got := h.Gauges()
	if len(got) != 2 || got[0].FrontDoor.InFlight != 2 || got[0].Unready != "no broker" || got[0].Worker != nil || got[1].Name != "b" {
		t.Errorf("%+v", got)
	}
	take()
	if got := h.Gauges(); len(got) != 1 || got[0].Name != "b" {
		t.Errorf("after it was taken: %+v", got)
	}
}

// script is what a scheduler's core would do: it shows those who observe what it is
// given, and an output.
type script struct {
	out sched.Output
	hub *Hub
	to  sched.Observer
}

func observed(h *Hub, s *script) *script {
	s.hub, s.to = h, h.Observer()
	return s
}

func (s *script) Step(now protocol.Time, e sched.Event) {
	s.hub.Step(0)
	if s.to != nil {
		s.to.Step(now, e, &s.out)
	}
}

// following has a core send one Infer at 1 ms, planned to end at 4 ms.
func following(t *testing.T) (told *[]Action, core, inner *script) {
	t.Helper()
	h := &Hub{}
	told = &[]Action{}
	h.OnAction(func(a *Action) {
		*told = append(*told, *a)
		if a.Result != nil {
			kept := *a.Result
			(*told)[len(*told)-1].Result = &kept
		}
	})
	inner = &script{out: sched.Output{Actions: []sched.Addressed{{
		Worker: "w",
		Action: protocol.Action{ID: 7, Kind: protocol.Infer, Model: "m", Batch: 2, Expected: 2 * ms, Latest: 12 * at(1)},
		Plan:   sched.Plan{Begin: at(2), End: at(4), Queued: 3, Copies: 1},
	}}}}
	core = observed(h, inner)
	core.Step(at(1), &sched.Tick{})
	inner.out = sched.Output{}
	return told, core, inner
}

const ms = time.Millisecond

func at(n int) protocol.Time { return protocol.Time(time.Duration(n) * ms) }

func result(worker string) *sched.Result {
	return &sched.Result{Result: protocol.Result{Action: 7, Worker: worker, Code: protocol.OK,
		Exec: protocol.Phase{Begin: at(2), End: at(5), Device: 3 * ms}}}
}

func TestAnActionIsToldWithItsResult(t *testing.T) {
	told, core, _ := following(t)
	core.Step(at(6), result("w"))
	if len(*told) != 1 {
		t.Fatalf("told %d times", len(*told))
	}
	a := (*told)[0]
	end, late, known := a.Completed()
	if a.Sent != at(1) || a.Ended != at(6) || a.Took() != 3*ms || end != at(5) || late != ms || !known || a.Plan.Queued != 3 {
		t.Errorf("%+v", a)
	}
	core.Step(at(7), result("w"))
	if len(*told) != 1 {
		t.Error("told again with a second result")
	}
}

func TestAResultOfAnotherWorkerEndsNothing(t *testing.T) {
	told, core, _ := following(t)
	core.Step(at(6), result("other"))
	if len(*told) != 0 {
		t.Errorf("%+v", *told)
	}
}

func TestAnActionWithoutAResultIsToldInTheEnd(t *testing.T) {
	told, core, inner := following(t)
	core.Step(at(90_000), &sched.Tick{})
	if len(*told) != 0 {
		t.Fatal("given up before the core says so")
	}
	inner.out = sched.Output{Unanswered: []sched.Unanswered{{Action: 7}, {Action: 8}}}
	core.Step(at(90_001), &sched.Tick{})
	if len(*told) != 1 || (*told)[0].Result != nil || (*told)[0].Took() != 0 {
		t.Errorf("%+v", *told)
	}
}

func BenchmarkRequestHeard(b *testing.B) {
	h := &Hub{}
	count := 0
	h.OnRequest(func(*Request) { count++ })
	b.ReportAllocs()
	for b.Loop() {
		h.Request(Request{Code: protocol.OK, Model: "m"})
	}
}
