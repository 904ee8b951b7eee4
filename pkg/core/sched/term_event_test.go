package sched

import (
	"reflect"
	"testing"

	"clockwork/pkg/protocol"
)

// A recording is written after the step, and must have what the term was given.
func TestATermLeavesItsEventsAsTheyWere(t *testing.T) {
	term := NewTerm(deaf{}, TermConfig{Epoch: 5, Subjects: protocol.Subjects{Prefix: "clockwork"}})
	term.Step(1, &Started{})
	result := func() *Result {
		return &Result{protocol.Result{Worker: "w", Epoch: 9, Code: protocol.TooLate, Kind: protocol.Infer}}
	}
	given := result()
	if term.Step(2, given); !reflect.DeepEqual(given, result()) {
		t.Errorf("the result of a worker that names a newer epoch became %+v", given)
	}
}
