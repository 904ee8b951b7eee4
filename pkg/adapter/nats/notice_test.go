package bus

import (
	"fmt"
	"testing"
	"time"
)

// TestNoticesOfAPeerAreFew: whatever a peer does, a kind has a bounded number of lines a
// minute, about one subject and in all, and what is kept of subjects is bounded too. All that
// was not logged is counted.
func TestNoticesOfAPeerAreFew(t *testing.T) {
	const times = 10_000 // in a minute
	for name, c := range map[string]struct {
		subject func(i int) string
		most    int
	}{
		"one name":    {func(int) string { return "w" }, 20 + 60},
		"two names":   {func(i int) string { return fmt.Sprint("w", i%2) }, 2 * (20 + 60)},
		"other names": {func(i int) string { return fmt.Sprint("w", i) }, 500 + 600},
	} {
		var n notices
		now, lines, told := time.Unix(1000, 0), 0, 0
		for i := range times {
			if count := n.add(now, "kind", c.subject(i)); count > 0 {
				lines, told = lines+1, told+count
			}
			now = now.Add(time.Minute / times)
		}
		if lines > c.most || lines < 20 {
			t.Errorf("%s: %d lines, expected at most %d", name, lines, c.most)
		}
		if told > times || told < times-times/60-1 {
			t.Errorf("%s: the lines stand for %d notices of %d", name, told, times)
		}
		if kept := len(n.kind["kind"].subjects); kept > maxNoticed {
			t.Errorf("%s: %d subjects are kept", name, kept)
		}
	}
}

// TestRareNoticesAreAllLogged: a fleet that begins at once, and a worker that restarts now
// and then.
func TestRareNoticesAreAllLogged(t *testing.T) {
	var n notices
	now := time.Unix(1000, 0)
	for i := range 400 {
		if n.add(now, "joined", fmt.Sprint("w", i)) != 1 {
			t.Fatalf("worker %d is not logged", i)
		}
	}
	for i := range 100 {
		now = now.Add(time.Second)
		if n.add(now, "lost", "w1") != 1 || n.add(now, "joined", "w1") != 1 {
			t.Fatalf("restart %d is not logged", i)
		}
	}
}
