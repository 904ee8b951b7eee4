package main

import (
	"strings"
	"testing"

	"clockwork/cmd/clockwork/cli"
)

func TestWrongUsageOfLogs(t *testing.T) {
	for _, row := range []struct {
		args string
		code int
		says string
	}{
		{"ls --log-format xml", 2, "log-format"},
		{"up --summary 10ms", 2, "--summary: it is 10ms, and must be 0 or from 1s"},
		{"up --summary=-1s", 2, "--summary: it is -1s"},
		{"up --log-keep 0", 2, "--log-keep is 0"},
		{"up --log-rotate lots", 2, "16MiB"},
		{"worker --request-log x", 2, "unknown flag --request-log"},
		{"controller --action-log x", 2, "unknown flag --action-log"},
		{"up --request-log main.go", 1, "move it away, or name another file"},
		{"scheduler --action-log testdata", 1, "open log"},
		{"controller --request-log nowhere/x", 1, "nowhere/x: no such file"},
	} {
		code, _, stderr := invoke(t, strings.Fields(row.args)...)
		if code != row.code || !strings.Contains(stderr, row.says) {
			t.Errorf("clockwork %s: exit code %d, wanted %d and %q in:\n%s", row.args, code, row.code, row.says, stderr)
		}
	}
}

func TestLogsAreRotatedBySizeUnlessThatIsZero(t *testing.T) {
	for args, want := range map[string]cli.ByteSize{"": 1 << 30, "--log-rotate=16MiB": 16 << 20, "--log-rotate=0": 0, "--log-rotate=0 --summary=0": 0, "--log-rotate=0 --summary=0s": 0} {
		if c := parse(t, strings.Fields("up "+args)...); c.Up.LogRotate != want || c.Up.LogKeep != 5 {
			t.Errorf("up %s: rotated from %d, %d kept", args, c.Up.LogRotate, c.Up.LogKeep)
		}
	}
}
