package cli

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// TestNothingInALogActsOnATerminal, whoever said it: colours of our own are all that is left.
func TestNothingInALogActsOnATerminal(t *testing.T) {
	const foreign = "a\x1b]0;title\x07b\x1b[2Jc\x9b31md\u202ee\rf"
	for what, format := range map[string]logFormat{"text": {short: true}, "colours": {short: true, colour: true}, "json": {json: true}} {
		var out bytes.Buffer
		log := newLog(slog.LevelInfo, format, &Screen{Log: &out})
		log.Warn(foreign, "model", foreign, foreign, 1, slog.Group("g", "x", foreign))
		left := colours(format, out.String())
		if strings.ContainsAny(left, "\x1b\x07\r\u009b\u202e") || strings.Count(left, "\n") != 1 {
			t.Errorf("%s: %q", what, out.String())
		}
	}
}

// colours returns a log's line without the colours that its format has.
func colours(format logFormat, line string) string {
	for _, code := range []string{"\x1b[0m", "\x1b[2m", "\x1b[22m", "\x1b[91m", "\x1b[92m", "\x1b[93m", "\x1b[2;91m"} {
		if format.colour {
			line = strings.ReplaceAll(line, code, "")
		}
	}
	return line
}
