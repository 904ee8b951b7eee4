package frontdoor

import (
	"slices"
	"testing"

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
