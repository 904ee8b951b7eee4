// Package command runs command lines in tests and waits for the stack that a
// command has started. Tests of cmd/clockwork and of the packages below it use
// it; each call is for one goroutine.
package command

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clockwork/pkg/client"
	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

// Invoke runs a command line and returns its exit code and output.
func Invoke(t *testing.T, run func(args []string, stdout, stderr *os.File) int, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	files := make([]*os.File, 2)
	for i, name := range []string{"out", "err"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	code = run(args, files[0], files[1])
	texts := make([]string, 2)
	for i, f := range files {
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(text)
	}
	return code, texts[0], texts[1]
}

// FreeAddress returns an address on which a stack of the test can listen.
func FreeAddress(t *testing.T) string {
	t.Helper()
	address, err := chaos.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// AwaitStage waits until the stack at url has reached a stage and has a worker.
func AwaitStage(t *testing.T, url string, stage protocol.Stage) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		c, err := client.Connect(url, "")
		if err != nil {
			continue
		}
		s, refusal := c.State(context.Background())
		c.Close()
		if refusal == nil && s.Stage >= stage && len(s.Workers) > 0 {
			return
		}
	}
	t.Fatalf("the stack is not in stage %s", stage)
}

// Printed fails the test unless the output is as wanted. A leading newline in
// want is ignored.
func Printed(t *testing.T, want, got string) {
	t.Helper()
	if d := cmp.Diff(strings.TrimPrefix(want, "\n"), got); d != "" {
		t.Error(d)
	}
}
