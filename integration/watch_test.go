package integration

import (
	"os/exec"
	"strings"
	"testing"
)

// TestTheOperatorAloneWatchesAndAsksWhy checks that clients may not watch
// others' requests and how they are served.
func TestTheOperatorAloneWatchesAndAsksWhy(t *testing.T) {
	s := startTapped(t, "--worker", "w1")
	for _, row := range []struct {
		user, command string
		code          int
		says          string
	}{
		{"client", "top --once", 1, "PERMISSION_DENIED"},
		{"gateway", "top --once", 1, "PERMISSION_DENIED"},
		{"worker.w1", "top --once", 1, "PERMISSION_DENIED"},
		{"operator", "top --once", 1, "no answer on clockwork.state"},
		{"client", "explain cat-1", 1, "PERMISSION_DENIED"},
		{"client", "explain", 1, "PERMISSION_DENIED"},
		{"operator", "explain cat-1", 1, "no front door answers"},
	} {
		args := append(strings.Fields(row.command), "--nats", s.server.ClientURL())
		out, err := exec.Command(binary, append(args, s.flags(row.user)...)...).CombinedOutput()
		code := 0
		if exit, ended := err.(*exec.ExitError); ended {
			code = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if code != row.code || !strings.Contains(string(out), row.says) {
			t.Errorf("%s as %s: exit code %d, wanted %d and %q in:\n%s", row.command, row.user, code, row.code, row.says, out)
		}
	}
}
