package lab

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/explain"
)

// explanations are what explain --json prints, and its exit code.
func explanations(t *testing.T, args ...string) (explainReport, int) {
	t.Helper()
	code, out, stderr := invoke(t, append([]string{"explain", "--json"}, args...)...)
	var r explainReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("explain %q: %v, %s", args, err, stderr)
	}
	return r, code
}

var inNumbers = regexp.MustCompile(`\d+\.\d ms`)

func TestWhatFailedIsGroupedByCauseWithAnExampleInNumbers(t *testing.T) {
	path, d := recorded(t, overload)
	r, _ := explanations(t, path)
	run, sum := d.Runs[0], 0
	for _, g := range r.Summary.Causes {
		sum += g.Count
		if g.Cause == explain.None || g.Example == nil || len(g.Example.WhatIf) == 0 {
			t.Errorf("a group %+v", g)
		}
		if n := len(inNumbers.FindAllString(g.Example.String(), -1)); n < 5 {
			t.Errorf("%s: %d times in\n%s", g.Cause, n, g.Example)
		}
	}
	if !r.Same || r.Summary.Requests != run.Offered || r.Summary.Failed != sum || r.Summary.Failed != run.Offered-run.OK || sum == 0 {
		t.Errorf("same %v, %d requests of %d, %d failed of %d, %d by cause", r.Same, r.Summary.Requests, run.Offered, r.Summary.Failed, run.Offered-run.OK, sum)
	}
	_, out, _ := invoke(t, "explain", path)
	for _, want := range []string{"failed  cause", "arrived with", "an execution takes", "earliest finish", "refused DEADLINE_", "saved by  "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// What a slow GPU did to requests is told in the order in which it happened.
func TestFaultsAreExplained(t *testing.T) {
	path, _ := recorded(t, "open --copies 4 --rate 400 --slo 50ms --gpus 2 --length 3s --faults slow=1s:300ms")
	r, _ := explanations(t, path)
	causes := map[explain.Cause]bool{}
	for _, g := range r.Summary.Causes {
		causes[g.Cause] = true
		for i, link := range g.Example.Timeline[1:] {
			if link.At < g.Example.Timeline[i].At {
				t.Errorf("told out of order:\n%s", g.Example)
			}
		}
	}
	if !causes[explain.Slow] && !causes[explain.SlowBefore] {
		t.Errorf("no slow execution is told of: causes %v", causes)
	}
}

// With an SLO below an execution nothing can be done but a longer SLO.
func TestARefusalAtOnceSaysTheSLOThatWouldHaveDone(t *testing.T) {
	path, _ := recorded(t, "open --resident --length 500ms --slo 2ms")
	r, _ := explanations(t, path)
	if len(r.Summary.Causes) != 1 || r.Summary.Causes[0].Cause != explain.Tight {
		t.Fatalf("causes %+v", r.Summary.Causes)
	}
	if saved := r.Summary.Causes[0].Example.WhatIf; len(saved) != 1 || !strings.HasPrefix(saved[0], "an SLO of ") {
		t.Errorf("saved by %q", saved)
	}
}

func TestOneRequestIsExplainedByItsID(t *testing.T) {
	path, _ := recorded(t, overload)
	all, _ := explanations(t, path)
	id := all.Summary.Causes[0].Example.ID
	r, code := explanations(t, path, id)
	if code != 0 || len(r.Requests) != 1 || r.Requests[0].ID != id || len(r.Requests[0].Timeline) < 3 {
		t.Errorf("exit code %d, %+v", code, r.Requests)
	}
	short := strings.TrimLeft(id, "0")
	if _, out, _ := invoke(t, "explain", path, short); !strings.HasPrefix(out, id+" ") {
		t.Errorf("%s is not %s:\n%s", short, id, out)
	}
}

func TestAnIDThatIsNotThereFails(t *testing.T) {
	path, _ := recorded(t, overload)
	all, _ := explanations(t, path)
	id := all.Summary.Causes[0].Example.ID
	code, out, stderr := invoke(t, "explain", path, "ff:7", id)
	if code != 1 || !strings.Contains(out, id) || !strings.Contains(stderr, "not in the recording: 00000000000000ff:7") {
		t.Errorf("exit code %d, %s%s", code, out, stderr)
	}
	if r, code := explanations(t, path, "ff:7"); code != 1 || len(r.Requests) != 0 {
		t.Errorf("--json: exit code %d, %+v", code, r.Requests)
	}
	for _, text := range []string{"7", "x:7", "1:x", "1:-7", ":", "1:2:3"} {
		if code, _, stderr := invoke(t, "explain", path, text); code != 2 || !strings.Contains(stderr, "DOOR:NUMBER") {
			t.Errorf("%s: exit code %d, %s", text, code, stderr)
		}
	}
}

func TestARecordingWithoutMissesSaysSo(t *testing.T) {
	path, d := recorded(t, "open --rate 50 --length 1s --resident")
	code, out, _ := invoke(t, "explain", path)
	if code != 0 || strings.Count(out, "\n") != 1 || !strings.Contains(out, " 0 failed") || d.Runs[0].OK != d.Runs[0].Offered {
		t.Errorf("exit code %d, %q", code, out)
	}
	if r, _ := explanations(t, path); len(r.Summary.Causes) != 0 || r.Summary.Done != d.Runs[0].OK {
		t.Errorf("%+v", r.Summary)
	}
}

func TestStoriesFitTheTerminal(t *testing.T) {
	path, _ := recorded(t, overload)
	r, _ := explanations(t, path)
	for _, g := range r.Summary.Causes {
		for _, width := range []int{60, 80, 200} {
			for line := range strings.SplitSeq(story(g.Example, width), "\n") {
				if n := len([]rune(line)); n > width {
					t.Errorf("%d columns of %d: %s", n, width, line)
				}
			}
		}
		if story(g.Example, 0) != g.Example.String() {
			t.Error("where there is no terminal, a link is to be one line")
		}
	}
}

// The front door alone answers: what it refused was not done in time, whatever the
// scheduler heard from the worker.
func TestWhatADoorRefusedWasNotDoneInTime(t *testing.T) {
	late := protocol.DoorRequest{ID: "00000000000000ff:7", Code: protocol.DeadlineExceeded, Arrived: time.Unix(1, 0)}
	told := []explain.LiveExplanation{{Explanation: &explain.Explanation{ID: late.ID, Outcome: "done in time"}}}
	var r liveReport
	r.add(&late, told)
	if got := r.Requests[0].Outcome; got != "refused DEADLINE_EXCEEDED by its front door, done in time at the worker" || told[0].Outcome != "done in time" {
		t.Errorf("%q", got)
	}
	late.Code = protocol.OK
	r.add(&late, told)
	if got := r.Requests[1].Outcome; got != "done in time" {
		t.Errorf("%q", got)
	}
}
