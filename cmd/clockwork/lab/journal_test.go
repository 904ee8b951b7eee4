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
	"clockwork/pkg/lab/journal"
	"clockwork/pkg/protocol"
)

// journalOf is a journal of a profiler that was given a job without workers.
func journalOf(t *testing.T) (path string, body []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "journal")
	err := serve.JournalFlags{Record: path}.Journaled(func(w *journal.Writer) error {
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

func TestAJournalIsReplayed(t *testing.T) {
	path, body := journalOf(t)
	code, out, _ := invoke(t, "replay", path)
	out = strings.Join(strings.Fields(out), " ")
	if code != 0 || !strings.Contains(out, "measure, 1 core, 2 events over 1.00 s") || !strings.Contains(out, "the same decisions: hash ") || strings.Contains(out, "without a close") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	code, out, _ = invoke(t, "replay", "--json", path)
	var r journalReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || !r.Same || r.Events != 2 || r.Cut {
		t.Errorf("exit code %d, %v\n%s", code, err, out)
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, bytes.Replace(body, []byte(`"ID":3`), []byte(`"ID":4`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := invoke(t, "replay", other); code != 1 || !strings.Contains(out, "OTHER DECISIONS than recorded: JobGiven at line 4") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if err := os.WriteFile(other, body[:len(body)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := invoke(t, "replay", other); code != 0 || !strings.Contains(out, "without a close, after line 4") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func TestAJournalIsNotWrittenOverAndTakesNoPolicy(t *testing.T) {
	path, _ := journalOf(t)
	if code, _, stderr := invoke(t, "replay", path, "--policy", "fifo"); code != 2 || !strings.Contains(stderr, "not a scheduler's recording") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	for file, want := range map[string]string{path: "exists; remove it", t.TempDir(): "is a directory"} {
		err := serve.JournalFlags{Record: file}.Journaled(func(*journal.Writer) error { return nil })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
