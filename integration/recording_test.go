package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/lab/record"
	"clockwork/pkg/lab/replay"
	"clockwork/pkg/protocol"
)

// replayed has the binary run a recording again, and reads its verdict.
func replayed(t *testing.T, path string) (v replay.Verdict) {
	t.Helper()
	out, err := exec.Command(binary, "replay", "--json", path).Output()
	if err != nil {
		t.Fatalf("replay %s: %v\n%s", filepath.Base(path), err, out)
	}
	if err := json.Unmarshal(out, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// begun are the cores of the machines of a recording.
func begun(v replay.Verdict) (cores []string) {
	for _, m := range v.Machines {
		cores = append(cores, m.Core)
	}
	return cores
}

// decoded counts the requests that front doors of a recording took.
func decoded(t *testing.T, recording []byte) (n int) {
	t.Helper()
	r, err := record.NewReader(bytes.NewReader(recording))
	for err == nil {
		var item *record.Item
		if item, err = r.Next(); err == nil && item.Kind == record.Step && item.EventName() == "Decoded" {
			n++
		}
	}
	if err != io.EOF && !errors.Is(err, record.ErrCut) {
		t.Fatal(err)
	}
	return n
}

// Front door, worker, controller and scheduler are recorded while they serve, and each core
// decides the same again; of a worker that is killed, as far as it came.
func TestWhatServicesRecordIsDecidedAgain(t *testing.T) {
	c := startCluster(t)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	controller := c.service(append([]string{"controller", "--record", file("controller")}, c.controllerArgs...)...)
	door := c.service("frontdoor", "--record", file("frontdoor"))
	c.service("profiler", "--profile-iterations", "3")
	scheduler := c.service("scheduler", "--record", file("scheduler"))
	recorded := func(name string) *process {
		return c.service(append([]string{"worker", "--name", name, "--record", file(name)}, c.workerArgs...)...)
	}
	worker, killed := recorded("w1"), recorded("w2")
	c.awaitState("two workers", func(s *protocol.StackState) bool { return len(s.Workers) == 2 })
	loaded := c.load("zoo/googlenet", 2)
	c.activated()
	answered := 0
	for i := range 60 {
		if _, refusal := c.infer(loaded.Models[i%2], 2*time.Second, 4*time.Second); refusal == nil {
			answered++
		}
	}
	killed.Kill()
	for name, p := range map[string]*process{"worker": worker, "front door": door, "controller": controller, "scheduler": scheduler} {
		if code := p.terminate(); code != 0 {
			t.Errorf("the %s ends with exit code %d", name, code)
		}
	}
	if answered < 50 {
		t.Errorf("%d of 60 requests are answered: this proves little", answered)
	}
	taken := 0
	for name, cores := range map[string]string{"controller": "frontdoor startup", "frontdoor": "frontdoor", "w1": "work", "w2": "work"} {
		body, err := os.ReadFile(file(name))
		if err != nil {
			t.Fatal(err)
		}
		v := replayed(t, file(name))
		t.Logf("%s: %v, %d events, hash %v, cut %v, %d bytes", name, begun(v), v.Events, v.Hash, v.Cut, len(body))
		if got := strings.Join(begun(v), " "); got != cores || !v.Same() || v.Hash == 0 || v.Cut != (name == "w2") || v.Events < 20 {
			t.Errorf("%s: %q, %+v", name, got, v)
		}
		taken += decoded(t, body)
	}
	v := replayed(t, file("scheduler"))
	if o := v.Outcome; !v.Same() || v.Cut || len(v.Machines) != 1 || o.Submitted < 60 || o.Done < answered {
		t.Errorf("scheduler: %d cores, %d events, %+v", len(v.Machines), v.Events, o)
	}
	t.Logf("scheduler: %d events, hash %s, %+v", v.Events, v.Hash, v.Outcome)
	if taken < 60 {
		t.Errorf("the front doors' recordings have %d requests of 60", taken)
	}
}
