// Package script runs the test scripts in testdata, in the format of
// cockroachdb/datadriven: lines of events, ----, their expected results, a blank
// line. It calls only the given player and has no knowledge of events.
//
// A new script is a file testdata/NAME.txt that opens with "# " and its purpose;
// write its events with ---- below each block, and `go test ./pkg/core/X
// -rewrite` fills in the results, to be read before the commit. A new player is
// one call of Play, with a function that makes a fresh player for each file.
package script

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// Play runs each file that matches the pattern as a subtest with its name. For
// each file start makes a player, which is called with one line of events at a
// time (never blank, never a comment) and returns the results.
func Play(t *testing.T, pattern string, start func(t *testing.T) func(line string) string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no script matches %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			opens(t, file)
			play := start(t)
			datadriven.RunTest(t, file, func(_ *testing.T, d *datadriven.TestData) string {
				var out strings.Builder
				for line := range strings.Lines(first(d) + "\n" + d.Input) {
					if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
						out.WriteString(play(line))
					}
				}
				return out.String()
			})
		})
	}
}

// opens fails the test if the file does not open with its purpose.
func opens(t *testing.T, file string) {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(body), "# ") {
		t.Fatalf("%s: a script opens with why it exists", file)
	}
}

// first reassembles the first line of a block, which datadriven has parsed.
func first(d *datadriven.TestData) string {
	var b strings.Builder
	b.WriteString(d.Cmd)
	for _, a := range d.CmdArgs {
		b.WriteString(" " + a.Key)
		if a.Vals != nil {
			b.WriteString("=" + strings.Join(a.Vals, ","))
		}
	}
	return b.String()
}
