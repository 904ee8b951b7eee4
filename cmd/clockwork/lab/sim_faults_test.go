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

// Each scheduler that takes over has a term of its own in the recording.
func TestARunWithAllFaultsIsReplayed(t *testing.T) {
	path, _ := recorded(t, "open --rate 300 --length 6s --startup --faults all,scheduler=2s:100ms,sleep=2s:1s,kill=2s:500ms,frontdoor=2s:300ms")
	if r := replayed(t, path); !r.Same || len(r.Machines) < 3 {
		t.Errorf("same %v, %d cores, %+v", r.Same, len(r.Machines), r.Verdict)
	}
}

func TestWrongFaultsAreRefused(t *testing.T) {
	for args, says := range map[string]string{
		"--faults fire": "expected all, or some of loss", "--faults loss=1": "loss=0.1%", "--faults kill=1us": "at most every 100ms",
		"--early 5": "--startup", "--startup --early -1": "from 0 to",
	} {
		code, _, stderr := invoke(t, append([]string{"sim", "open"}, strings.Fields(args)...)...)
		if code != 2 || !strings.Contains(stderr, says) {
			t.Errorf("%s: exit code %d, wanted 2 and %q in:\n%s", args, code, says, stderr)
		}
	}
}
