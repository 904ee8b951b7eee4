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
		{Serving{Stage: Profiling, Epoch: 1, GPUs: 1}, "the stage is PROFILING"},
		{Serving{Stage: Active, GPUs: 1}, "no scheduler"},
		{Serving{Stage: Active, Epoch: 1}, "no worker is in service"},
		{Serving{Stage: Active, Epoch: 1, GPUs: 1}, ""},
	} {
		if got := row.serving.Missing(); (got == "") != (row.missing == "") || !strings.Contains(got, row.missing) {
			t.Errorf("%+v lacks %q, wanted %q", row.serving, got, row.missing)
		}
	}
}
