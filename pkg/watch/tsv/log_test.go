package tsv

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"clockwork/pkg/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var columns = []string{"a", "b"}

// idle is a log that writes nothing by itself.
func idle() *Log { return &Log{period: watch.NewPeriod(time.Hour, func(_, _ time.Time) {})} }

// opened is a log at path, which tells into said.
func opened(t *testing.T, c Config) (l *Log, said *bytes.Buffer) {
	t.Helper()
	said = &bytes.Buffer{}
	l, err := open(c, columns, slog.New(slog.NewTextHandler(said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return l, said
}

// put puts a line, as a listener does.
func (l *Log) put(line string) {
	put(l, &line, func(lines []byte, line *string) []byte { return append(lines, *line...) })
}

// write writes lines at once.
func (l *Log) write(lines ...string) {
	for _, line := range lines {
		l.waiting = append(l.waiting, line+"\n"...)
	}
	l.flush(time.Now())
}

func closed(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func expectFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s holds %q (%v), want %q", filepath.Base(path), got, err, want)
	}
}

func path(t *testing.T) string { return filepath.Join(t.TempDir(), "log.tsv") }

func TestWhatIsPutIsInTheFileAtTheEnd(t *testing.T) {
	c := Config{Path: path(t)}
	l, said := opened(t, c)
	l.put("1\t2\n")
	closed(t, l)
	l, _ = opened(t, c) // and goes on the next time
	l.put("3\t4\n")
	closed(t, l)
	expectFile(t, c.Path, "a\tb\n1\t2\n3\t4\n")
	if said.Len() > 0 {
		t.Errorf("it said %s", said)
	}
}

func TestLinesAreWrittenWithoutBeingAskedFor(t *testing.T) {
	c := Config{Path: path(t)}
	l, _ := opened(t, c)
	defer closed(t, l)
	l.put("1\t2\n")
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if text, err := os.ReadFile(c.Path); err != nil || string(text) == "a\tb\n1\t2\n" {
			return
		}
	}
	t.Error("the line was not written")
}

func TestAFileOfOtherColumnsIsLeftAlone(t *testing.T) {
	c := Config{Path: path(t)}
	for _, there := range []string{"a\tc\n1\t2\n", "a", "something else entirely"} {
		if err := os.WriteFile(c.Path, []byte(there), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := open(c, columns, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "move it away") {
			t.Errorf("over %q: %v", there, err)
		}
		expectFile(t, c.Path, there)
	}
}

func TestATornLineIsCutOff(t *testing.T) {
	c := Config{Path: path(t)}
	if err := os.WriteFile(c.Path, []byte("a\tb\n1\t2\n3"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, _ := opened(t, c)
	l.write("5\t6")
	closed(t, l)
	expectFile(t, c.Path, "a\tb\n1\t2\n5\t6\n")
}

func TestAFileHasOneWriter(t *testing.T) {
	c := Config{Path: path(t)}
	l, _ := opened(t, c)
	if _, err := open(c, columns, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opened twice: %v", err)
	}
	closed(t, l)
	if l, err := open(Config{Path: t.TempDir()}, columns, slog.New(slog.DiscardHandler)); err == nil {
		closed(t, l)
		t.Error("a directory was opened")
	}
}

func TestAFullFileIsPutAside(t *testing.T) {
	c := Config{Path: path(t), Rotate: 12, Keep: 2}
	l, said := opened(t, c)
	for i := range 5 {
		l.write(fmt.Sprintf("%d\t%d", i, i))
		l.write(fmt.Sprintf("%d\t0", i))
	}
	closed(t, l)
	expectFile(t, c.Path, "a\tb\n4\t4\n4\t0\n")
	expectFile(t, c.Path+".1", "a\tb\n3\t3\n3\t0\n")
	expectFile(t, c.Path+".2", "a\tb\n2\t2\n2\t0\n")
	if files, err := os.ReadDir(filepath.Dir(c.Path)); err != nil || len(files) != 3 || said.Len() > 0 {
		t.Errorf("%d files (%v); it said %s", len(files), err, said)
	}
}

func TestAFileThatWasMovedAwayIsBegunAnew(t *testing.T) {
	c := Config{Path: path(t)}
	l, _ := opened(t, c)
	l.write("1\t1")
	if err := os.Rename(c.Path, c.Path+".old"); err != nil {
		t.Fatal(err)
	}
	l.write("2\t2")
	if err := os.Truncate(c.Path, 0); err != nil {
		t.Fatal(err)
	}
	l.write("3\t3")
	closed(t, l)
	expectFile(t, c.Path+".old", "a\tb\n1\t1\n")
	expectFile(t, c.Path, "a\tb\n3\t3\n")
}

// TestALogThatCannotBeWritten loses lines, says so once, and goes on when it can.
func TestALogThatCannotBeWritten(t *testing.T) {
	c := Config{Path: path(t)}
	l, said := opened(t, c)
	good := l.file.f
	l.write("1\t1")
	readable, err := os.Open(c.Path) // as a disk that is full: nothing can be written
	if err != nil {
		t.Fatal(err)
	}
	l.file.f = readable
	l.write("2\t2", "2\t2")
	l.write("3\t3")
	if l.Lost() != 3 {
		t.Errorf("%d lines lost, want 3", l.Lost())
	}
	if n := strings.Count(said.String(), "\n"); n != 1 || !strings.Contains(said.String(), c.Path) {
		t.Errorf("it said %d lines: %s", n, said)
	}
	l.file.f = good
	readable.Close()
	l.write("4\t4")
	if !strings.Contains(said.String(), "written again") || !strings.Contains(said.String(), "count=3") {
		t.Errorf("it said %s", said)
	}
	closed(t, l)
	expectFile(t, c.Path, "a\tb\n1\t1\n4\t4\n")
}

func TestWhatCannotWaitIsCounted(t *testing.T) {
	l := idle()
	line := strings.Repeat("x", 1<<20-1) + "\n"
	for range 10 {
		l.put(line)
	}
	l.period.Close()
	if waits := bytes.Count(l.waiting, []byte{'\n'}); waits != 8 || l.Lost() != 2 {
		t.Errorf("%d lines wait and %d are lost, want 8 and 2", waits, l.Lost())
	}
}

func TestLossesAreToldOfNowAndThen(t *testing.T) {
	l, said := opened(t, Config{Path: path(t)})
	start := time.Now()
	for _, after := range []time.Duration{0, time.Second, 2 * time.Second, reportEvery} {
		l.lost.Add(5)
		l.flush(start.Add(after))
	}
	l.lost.Add(1)
	closed(t, l)
	for _, part := range []string{"count=5 total=5", "count=15 total=20", "count=1 total=21"} {
		if !strings.Contains(said.String(), part) {
			t.Errorf("it did not say %q: %s", part, said)
		}
	}
	if n := strings.Count(said.String(), "\n"); n != 3 {
		t.Errorf("it said %d lines: %s", n, said)
	}
}

func TestAHubKnowsWhatItsLogsLost(t *testing.T) {
	hub := &watch.Hub{}
	l, err := Requests(Config{Path: path(t)}, hub, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, l)
	l.lost.Add(4)
	if list := hub.Losses(); len(list) != 1 || list[0] != (watch.Loss{Listener: "request-log", Lost: 4}) {
		t.Errorf("losses %v", list)
	}
}
