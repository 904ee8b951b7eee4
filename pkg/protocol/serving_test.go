package protocol

import (
	"strings"
	"testing"
)

func TestWhatIsMissingForARequest(t *testing.T) {
	for _, row := range []struct {
		serving Serving
		missing string // a part of it
	}{
		{Serving{Stage: Loading}, "the stage is LOADING"},
		{Serving{Profiling, 1, Capacity{GPUs: 1, Models: 1}}, "the stage is PROFILING"},
		{Serving{Stage: Active, Capacity: Capacity{GPUs: 1, Models: 1}}, "no scheduler"},
		{Serving{Active, 1, Capacity{Models: 2, Unavailable: 2}}, "no served model is held by a GPU in service"},
		{Serving{Active, 1, Capacity{}}, "every one is quarantined"},
		{Serving{Active, 1, Capacity{GPUs: 1, Models: 1}}, ""},
		{Serving{Active, 1, Capacity{GPUs: 1, Models: 2, Unavailable: 1}}, ""},
	} {
		if got := row.serving.Missing(); (got == "") != (row.missing == "") || !strings.Contains(got, row.missing) {
			t.Errorf("%+v lacks %q, wanted %q", row.serving, got, row.missing)
		}
	}
	if got := (Capacity{GPUs: 1, Models: 3, Unavailable: 2}).Lacking(); got != "2 of 3 models unavailable" {
		t.Errorf("it says %q", got)
	}
	if got := (Capacity{GPUs: 1, Models: 3}).Lacking(); got != "" {
		t.Errorf("it says %q of a stack that has all", got)
	}
}

func TestAWorkersPagesAreItsOwn(t *testing.T) {
	m := ModelSpec{WeightsBytes: 100, Pages: 7}
	for page, want := range map[int64]int{0: 7, 1: 100, 16: 7, 99: 2, 100: 1, 1000: 1} {
		w := WorkerState{PageSize: page}
		if got := w.SpecOf(m).Pages; got != want {
			t.Errorf("%d pages of %d bytes, expected %d", got, page, want)
		}
	}
}
