package lab

import (
	"strings"
	"testing"
)

func TestSimulationsWithFaultsShowWhatHappened(t *testing.T) {
	code, out, stderr := invoke(t, strings.Fields("sim open --rate 500 --length 2s --workers 2 --faults loss=1%,kill=500ms:200ms --startup --early 10")...)
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	for _, want := range []string{"messages lost", "workers killed", "activated after", "early requests"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "GPUs hung") {
		t.Errorf("a fault that was not asked for:\n%s", out)
	}
}

func TestWrongFaultsAreRefused(t *testing.T) {
	for args, says := range map[string]string{
		"--faults fire": "expected all, or some of loss", "--faults loss=1": "loss=0.1%", "--faults kill=1us": "at most every 100ms",
		"--early 5": "--startup", "--startup --early -1": "from 0 to",
		"--faults all --record " + t.TempDir() + "/r": "one scheduler",
	} {
		code, _, stderr := invoke(t, append([]string{"sim", "open"}, strings.Fields(args)...)...)
		if code != 2 || !strings.Contains(stderr, says) {
			t.Errorf("%s: exit code %d, wanted 2 and %q in:\n%s", args, code, says, stderr)
		}
	}
}
