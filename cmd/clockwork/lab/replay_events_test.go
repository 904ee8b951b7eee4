package lab

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clockwork/cmd/clockwork/serve"
	"clockwork/pkg/core/measure"
	"clockwork/pkg/lab/recorder"
	"clockwork/pkg/protocol"
)

// ofProfiler is a recording of a profiler that was given a job without workers.
func ofProfiler(t *testing.T) (path string, body []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "recording")
	err := serve.RecordFlags{Record: path}.Recorded(func(w *recorder.Direct) error {
		config := measure.Config{Issuer: 1, Iterations: 1, ActionTimeout: time.Second}
		m, err := measure.New(config)
		if err != nil {
			return err
		}
		o := w.Measure()
		o.Begin(config)
		for i, e := range []measure.Event{measure.WorkerSeen{ID: "w1", Incarnation: 1}, measure.JobGiven{Job: protocol.ProfileJob{ID: 3}}} {
			out := m.Step(protocol.Time(i)*protocol.Time(time.Second), e)
			o.Step(protocol.Time(i)*protocol.Time(time.Second), e, &out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if body, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path, body
}

func TestARecordingOfAnotherCoreIsReplayed(t *testing.T) {
	path, body := ofProfiler(t)
	code, out, _ := invoke(t, "replay", path)
	out = strings.Join(strings.Fields(out), " ")
	if code != 0 || !strings.Contains(out, "measure, 1 core, 2 events over 1.00 s") || !strings.Contains(out, "the same decisions, byte for byte: hash ") || strings.Contains(out, "without a close") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	code, out, _ = invoke(t, "replay", "--json", path)
	var r replayReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || !r.Same || r.Verdict.Events != 2 || r.Cut || strings.Contains(out, "outcome") {
		t.Errorf("exit code %d, %v\n%s", code, err, out)
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, body[:len(body)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := invoke(t, "replay", other); code != 0 || !strings.Contains(out, "without a close, 1.00 s after its first event") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// The events of a recording can be read, one a line.
func TestTheEventsOfARecordingAreShown(t *testing.T) {
	path, _ := ofProfiler(t)
	code, out, stderr := invoke(t, "replay", path, "--events")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(lines) != 3 {
		t.Fatalf("exit code %d, %s\n%s", code, stderr, out)
	}
	for i, want := range []string{`{"machine":1,"begin":"measure","config":{"Issuer":1,`, `"event":"WorkerSeen","of":{"ID":"w1","Incarnation":1}`, `"now_ns":1000000000,"event":"JobGiven","of":{"Job":{"ID":3,`} {
		if !strings.Contains(lines[i], want) || !json.Valid([]byte(lines[i])) {
			t.Errorf("line %d has no %s: %s", i+1, want, lines[i])
		}
	}
	scheduled, _ := recorded(t, overload)
	if code, out, _ := invoke(t, "replay", scheduled, "--events"); code != 0 || !strings.Contains(out, `"event":"Submitted"`) || bytes.Count([]byte(out), []byte("\n")) < 100 {
		t.Errorf("exit code %d, %.200s", code, out)
	}
	if code, _, stderr := invoke(t, "replay", scheduled, "--events", "--policy", "fifo"); code != 2 || !strings.Contains(stderr, "--events shows what was recorded") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestARecordingIsNotWrittenOverAndOfAnotherCoreTakesNoPolicy(t *testing.T) {
	path, _ := ofProfiler(t)
	if code, _, stderr := invoke(t, "replay", path, "--policy", "fifo"); code != 2 || !strings.Contains(stderr, "has no scheduler's decisions") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if code, _, stderr := invoke(t, "explain", path); code != 1 || !strings.Contains(stderr, "no scheduler's decisions are in it") {
		t.Errorf("explain: exit code %d, %s", code, stderr)
	}
	for file, want := range map[string]string{path: "exists; remove it", t.TempDir(): "is a directory"} {
		err := serve.RecordFlags{Record: file}.Recorded(func(*recorder.Direct) error { return nil })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
