package lab

import (
	"strings"
	"testing"

	"clockwork/pkg/lab/report"
	"clockwork/pkg/protocol"
)

func TestDemoWithEmulatedGPUs(t *testing.T) {
	code, stdout, stderr := invoke(t, "demo", "--backend", "emulated", "--duration", "1s", "--misses", "1")
	if code != 0 || stderr != "" {
		t.Errorf("exit code %d, stderr:\n%s", code, stderr)
	}
	for _, part := range []string{"loaded 3 copies", "loading closes in", "profiling 18/18", "ACTIVE", "goodput", "densenet121"} {
		if !strings.Contains(stdout, part) {
			t.Errorf("the demo did not show %q:\n%s", part, stdout)
		}
	}
}

func TestVerdictOfTheDemo(t *testing.T) {
	for _, row := range []struct {
		name  string
		wrong []string
		total report.Summary
		says  string
	}{
		{"all well", nil, report.Summary{Requests: 100, OK: 100, InSLO: 100}, ""},
		{"a few misses are the machine's", nil,
			report.Summary{Requests: 100, OK: 98, InSLO: 96, Errors: []report.ErrorCount{{Code: protocol.DeadlineExceeded, Count: 2}}}, ""},
		{"many are not", nil,
			report.Summary{Requests: 100, OK: 75, InSLO: 75, Errors: []report.ErrorCount{{Code: protocol.DeadlineExceeded, Count: 25}}}, "25 of 100 requests missed"},
		{"one other error is too many", nil,
			report.Summary{Requests: 100, OK: 99, InSLO: 99, Errors: []report.ErrorCount{{Code: protocol.WorkerLost, Count: 1}}}, "WORKER_LOST"},
		{"so is one wrong text", []string{`"a" was read as "b"`}, report.Summary{Requests: 1, OK: 1, InSLO: 1}, `"a" was read as "b"`},
	} {
		err := verdict(row.total, row.wrong, 0.2)
		if row.says == "" && err != nil || row.says != "" && (err == nil || !strings.Contains(err.Error(), row.says)) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}
