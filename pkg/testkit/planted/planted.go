//go:build planted

package planted

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Fault replaces Was, which must occur exactly once in a file, by Is. File is
// relative to the tested package and may belong to a package that it imports.
// Fault is an alias so that tables need no field names.
type Fault = struct{ Name, File, Was, Is string }

// A fault must be found within so much processor time. The clock on the wall only ends
// runs that hang: how busy the machine is must not decide.
const (
	patience = 10 * time.Second
	hangs    = 12 * patience
)

// Find builds the tests of the caller's package with one fault at a time, and
// runs them with args. It fails for tests that pass despite a fault, or do not
// end in time.
func Find(t *testing.T, faults []Fault, args ...string) {
	for _, f := range faults {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			find(t, build(t, f), append(args[:len(args):len(args)], "-test.failfast"))
		})
	}
}

// Places checks that the text which each fault replaces is where the fault says: code that
// changes takes its faults along. It takes no time, and Find minutes.
func Places(t *testing.T, faults []Fault) {
	for _, f := range faults {
		place(t, f)
	}
}

// place returns the file that a fault is in.
func place(t *testing.T, f Fault) (body string) {
	file, err := os.ReadFile(f.File)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(file), f.Was); n != 1 {
		t.Errorf("planted bug %q: %s has its old text %d times, expected once:\n%s", f.Name, f.File, n, f.Was)
	}
	return string(file)
}

// build makes a test binary with the fault.
func build(t *testing.T, f Fault) (binary string) {
	dir := t.TempDir()
	overlay := filepath.Join(dir, "overlay.json")
	write(t, overlay, plant(t, f, dir))
	binary = filepath.Join(dir, "planted.test")
	out, err := exec.Command("go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", overlay, "-o", binary, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// plant writes the file with its fault, and returns the overlay that maps the
// original to it.
func plant(t *testing.T, f Fault, dir string) (overlay string) {
	body := place(t, f)
	source, err := filepath.Abs(f.File)
	if err != nil {
		t.Fatal(err)
	}
	mutant := filepath.Join(dir, filepath.Base(f.File))
	write(t, mutant, strings.Replace(body, f.Was, f.Is, 1))
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{source: mutant}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// find runs a binary with a fault, on one processor.
func find(t *testing.T, binary string, args []string) {
	limited, stop := context.WithTimeout(t.Context(), hangs)
	defer stop()
	run := exec.CommandContext(limited, binary, args...)
	run.Env = append(os.Environ(), "GOMAXPROCS=1")
	out, err := run.CombinedOutput()
	took := (run.ProcessState.UserTime() + run.ProcessState.SystemTime()).Round(time.Millisecond)
	switch {
	case limited.Err() != nil:
		t.Errorf("not found within %v", hangs)
	case err == nil:
		t.Errorf("not found in %v of processor time", took)
	case took > patience:
		t.Errorf("found after %v of processor time, which is more than %v: %s", took, patience, finding(string(out)))
	default:
		t.Logf("found in %v: %s", took, finding(string(out)))
	}
}

// finding returns the first line that reports a failure.
func finding(out string) string {
	for _, line := range strings.Split(out, "\n") {
		if strings.Contains(line, "_test.go:") || strings.HasPrefix(line, "panic:") {
			return strings.TrimSpace(line)
		}
	}
	return strings.SplitN(out, "\n", 2)[0]
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
