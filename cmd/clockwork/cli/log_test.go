package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/watch/terminal"
)

func TestALogThatIsNoTerminalIsJSON(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for flag, want := range map[string]logFormat{"auto": {json: true}, "text": {}, "json": {json: true}} {
		if got := (&LogFlags{LogFormat: flag}).format(file); got != want {
			t.Errorf("--log-format %s: %+v, want %+v", flag, got, want)
		}
	}
}

// logged is what a log writes of one event.
func logged(format logFormat) string {
	var out bytes.Buffer
	log := newLog(slog.LevelInfo, format, &out)
	log.Debug("not at this level")
	log.Warn("broker lost", "after", 1500*time.Millisecond, "error", errors.New("no route"), "name", "two words", slog.Group("n", "x", 1))
	return out.String()
}

func TestJSONLogsSayUnitsOfDurations(t *testing.T) {
	var line map[string]any
	if err := json.Unmarshal([]byte(logged(logFormat{json: true})), &line); err != nil {
		t.Fatal(err)
	}
	group, _ := line["n"].(map[string]any)
	if line["level"] != "WARN" || line["msg"] != "broker lost" || line["after"] != "1.5s" || line["error"] != "no route" || group["x"] != 1.0 {
		t.Errorf("%v", line)
	}
	if _, err := time.Parse(time.RFC3339Nano, line["time"].(string)); err != nil {
		t.Error(err)
	}
}

func TestTextLogsAreForPeople(t *testing.T) {
	const line = `WRN broker lost after=1.5s error="no route" name="two words" n.x=1` + "\n"
	at, rest, _ := strings.Cut(logged(logFormat{}), " ")
	if _, err := time.Parse(time.RFC3339, at); err != nil || rest != line {
		t.Errorf("%s %s(%v)", at, rest, err)
	}
	if at, rest, _ = strings.Cut(logged(logFormat{short: true}), " "); len(at) != len("15:04:05.000") || rest != line {
		t.Errorf("on a terminal: %s %s", at, rest)
	}
	if !strings.Contains(logged(logFormat{colour: true}), "\x1b[93mWRN\x1b[0m") {
		t.Errorf("in colour: %q", logged(logFormat{colour: true}))
	}
}

func TestNobodyIsColouredWhoDoesNotWantIt(t *testing.T) {
	for _, row := range []struct {
		noColour, term string
		want           bool
	}{{"", "xterm", true}, {"1", "xterm", false}, {"", "dumb", false}} {
		t.Setenv("NO_COLOR", row.noColour)
		t.Setenv("TERM", row.term)
		if wantsColour() != row.want {
			t.Errorf("NO_COLOR=%s TERM=%s: %v", row.noColour, row.term, wantsColour())
		}
	}
}

// TestLogLinesGoThroughTheBars while there are any, if both share a terminal, and
// nothing is lost before or after.
func TestLogLinesGoThroughTheBars(t *testing.T) {
	for _, shared := range []bool{true, false} {
		var straight, shown bytes.Buffer
		s := &Screen{Log: &straight, shared: shared}
		log := newLog(slog.LevelInfo, logFormat{short: true, colour: true}, s)
		bars := StartProgress(&Console{Display: terminal.New(&shown, true, func() int { return 80 })})
		log.Info("before")
		s.Say("nobody looks on")
		s.Bars.Store(bars)
		log.Info("while")
		s.Say("for a person")
		s.Bars.Store(nil)
		bars.Stop()
		log.Info("after")
		through, beside := strings.Contains(shown.String(), "INF while"), strings.Contains(straight.String(), "while")
		if through != shared || beside == shared || strings.Contains(shown.String(), "?") {
			t.Errorf("shared %v: through the bars %q, beside them %q", shared, shown.String(), straight.String())
		}
		if !strings.Contains(straight.String(), "before") || !strings.Contains(straight.String(), "after") {
			t.Errorf("without bars: %q", straight.String())
		}
		if !strings.Contains(shown.String(), "for a person\n") || strings.Contains(shown.String(), "nobody") {
			t.Errorf("shown %q", shown.String())
		}
	}
}
