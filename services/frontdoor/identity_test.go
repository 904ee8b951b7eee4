package frontdoor

import (
	"slices"
	"testing"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// TestAWorkerAnswersOnlyWhatItWasGiven: who a worker is, the subject says, on
// which the broker lets it publish; what it says of requests that others run is
// not heard, and a request that was planned anew may come from either.
func TestAWorkerAnswersOnlyWhatItWasGiven(t *testing.T) {
	s, _ := serving(t)
	forged := []byte{9, 9, 9, 9, 9, 9, 9, 9}
	for name, tell := range map[string]func(protocol.Submission){
		"before the dispatch": func(r protocol.Submission) {
			s.answer("rogue", r, forged)
			s.output(r, raw)
		},
		"after the dispatch": func(r protocol.Submission) {
			s.dispatch(r, "w1")
			s.answer("rogue", r, forged)
			s.answer("nobody", r, forged)
			s.answer("w1", r, raw)
		},
		"planned anew, the first worker is faster": func(r protocol.Submission) {
			s.dispatch(r, "w1")
			s.dispatch(r, "w2")
			s.answer("rogue", r, forged)
			s.answer("w1", r, raw)
		},
		"planned anew, the second worker is faster": func(r protocol.Submission) {
			s.dispatch(r, "w1")
			s.dispatch(r, "w2")
			s.answer("rogue", r, forged)
			s.answer("w2", r, raw)
		},
	} {
		replies := s.infer("a", jsonInfer)
		tell(bustest.Next(t, "the submission", s.submit))
		response, fault := wire.DecodeResponse(bustest.Next(t, "the reply", replies).Data)
		if fault != nil || len(response.Outputs) != 1 || !slices.Equal(response.Outputs[0].Data, raw) {
			t.Errorf("%s: %+v, %v", name, response, fault)
		}
	}
}

// TestAnOutputMayOutrunItsDispatch: a generated input needs nothing from the front door, so
// its worker may be faster than the notice, which travels on another connection, also when
// the request was planned anew. What others say does not count.
func TestAnOutputMayOutrunItsDispatch(t *testing.T) {
	s, _ := serving(t)
	forged := []byte{9, 9, 9, 9, 9, 9, 9, 9}
	for name, given := range map[string][]string{"first dispatch": nil, "planned anew": {"w1"}} {
		replies := s.infer("a", `{"parameters":{"slo_ms":15000},"inputs":[]}`)
		r := bustest.Next(t, "the submission", s.submit)
		for _, worker := range given {
			s.dispatch(r, worker)
			bustest.Until(t, "the front door knows the worker", func() bool { return s.request(r).Worker == worker })
		}
		for _, o := range []struct {
			worker string
			data   []byte
		}{{"rogue", forged}, {"w2", raw}} {
			before := s.door.snapshot().EarlyBytes
			s.answer(o.worker, r, o.data)
			bustest.Until(t, "the output of "+o.worker, func() bool { return s.door.snapshot().EarlyBytes > before })
		}
		s.dispatch(r, "w2")
		response, fault := wire.DecodeResponse(bustest.Next(t, "the reply", replies).Data)
		if fault != nil || len(response.Outputs) != 1 || !slices.Equal(response.Outputs[0].Data, raw) || response.Parameters.Worker != "w2" {
			t.Errorf("%s: %+v, %v", name, response, fault)
		}
		if n := s.door.snapshot().EarlyBytes; n != 0 {
			t.Errorf("%s: %d bytes are kept afterwards", name, n)
		}
	}
}

// request is a request as the front door sees it now.
func (s *stack) request(r protocol.Submission) frontdoor.Request {
	s.door.mu.Lock()
	defer s.door.mu.Unlock()
	return *s.door.core.Request(r.ID.Seq)
}
