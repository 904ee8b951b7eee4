package bus

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// Five a second for ten minutes are a dozen lines; another failure is told at once.
func TestAComplaintIsRepeatedEverMoreRarely(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	var c Complaint
	now := time.Unix(1e9, 0)
	for range 5 * 600 {
		c.Warn(log, now, "state not watched", errors.New("no stream"))
		now = now.Add(200 * time.Millisecond)
	}
	if lines := strings.Count(out.String(), "\n"); lines < 10 || lines > 20 {
		t.Errorf("%d lines in ten minutes:\n%s", lines, out.String())
	}
	out.Reset()
	c.Warn(log, now, "state not watched", errors.New("another reason"))
	if !strings.Contains(out.String(), "another reason") {
		t.Error("another failure was not told at once")
	}
}
