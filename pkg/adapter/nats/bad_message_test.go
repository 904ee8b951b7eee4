package bus

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestAFloodOfBadMessagesIsAFewShortLines(t *testing.T) {
	var out bytes.Buffer
	b := &Bus{Log: slog.New(slog.NewTextHandler(&out, nil))}
	long := errors.New(strings.Repeat("x", 100_000))
	for range 1000 {
		b.BadMessage("bad result", "s", long)
		b.BadMessage("bad submission", "s", long)
	}
	if lines := strings.Count(out.String(), "\n"); lines < 2 || lines > 60 || out.Len() > 60*(maxBad+200) {
		t.Errorf("%d lines, %d bytes", lines, out.Len())
	}
}
