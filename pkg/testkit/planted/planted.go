//go:build planted

package planted

import (
	"context"
	"encoding/json"
	"fmt"
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

// Find builds the tests of the caller's package with all faults, and runs them with args
// once for each fault, which the environment names. It fails for tests that pass despite a
// fault, or do not end in time.
func Find(t *testing.T, faults []Fault, args ...string) {
	binary := build(t, faults)
	for n, f := range faults {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			find(t, binary, n, append(args[:len(args):len(args)], "-test.failfast"))
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

// build makes a test binary with the faults, none of which is active by itself. A build for
// each fault would take most of the time.
func build(t *testing.T, faults []Fault) (binary string) {
	dir := t.TempDir()
	overlay := filepath.Join(dir, "overlay.json")
	replaced, err := json.Marshal(map[string]any{"Replace": plant(t, faults, dir)})
	if err != nil {
		t.Fatal(err)
	}
	write(t, overlay, string(replaced))
	binary = filepath.Join(dir, "planted.test")
	out, err := exec.Command("go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", overlay, "-o", binary, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// plant writes the source files with their faults into dir, and returns the file that stands
// in for each, by its absolute path.
func plant(t *testing.T, faults []Fault, dir string) (replaced map[string]string) {
	sources := map[string]*source{}
	for n, f := range faults {
		body := place(t, f) // of each, for each must have its text once
		if sources[f.File] == nil {
			sources[f.File] = parse(t, f.File, body)
		}
		if err := sources[f.File].plant(f, n); err != nil {
			t.Fatal(err)
		}
	}
	replaced = map[string]string{}
	for file, s := range sources {
		standIn(t, replaced, dir, file, s.text())
		standIn(t, replaced, dir, filepath.Join(filepath.Dir(file), "planted_number.go"), fmt.Sprintf(number, s.tree.Name.Name, variable))
	}
	return replaced
}

// The number of the active fault is a variable of each package that has faults.
const (
	variable = "CLOCKWORK_PLANTED"
	number   = "package %s\n\nimport \"os\"\n\nvar planted = os.Getenv(%q)\n"
)

// standIn writes text into dir, where the compiler is to read it in the file's stead.
func standIn(t *testing.T, replaced map[string]string, dir, file, text string) {
	absolute, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	replaced[absolute] = filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
	write(t, replaced[absolute], text)
}

// find runs a binary with one of its faults active, on one processor.
func find(t *testing.T, binary string, fault int, args []string) {
	limited, stop := context.WithTimeout(t.Context(), hangs)
	defer stop()
	run := exec.CommandContext(limited, binary, args...)
	run.Env = append(os.Environ(), "GOMAXPROCS=1", fmt.Sprintf("%s=%d", variable, fault))
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
