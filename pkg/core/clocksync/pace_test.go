package clocksync

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

func TestAWorkerWithoutWorkAsksSeldom(t *testing.T) {
	const start = protocol.Time(time.Hour)
	var p Pace
	if p.Work(start) {
		t.Error("a query is due at once, of a worker that does not rest")
	}
	for _, c := range []struct {
		after time.Duration
		idle  bool
		want  time.Duration
	}{{0, true, QueryEvery}, {restAfter, true, QueryEvery}, {restAfter + 1, false, QueryEvery}, {restAfter + 1, true, restEvery}} {
		if got := p.Next(start.Add(c.after), c.idle); got != c.want {
			t.Errorf("%v after the last work, idle %v: the next query in %v, want %v", c.after, c.idle, got, c.want)
		}
	}
	now := start.Add(time.Minute)
	if !p.Work(now) || p.Work(now) || p.Next(now, true) != QueryEvery {
		t.Error("work of one that rests makes one query due, and then as often as before")
	}
	slow := Pace{Every: time.Second}
	if slow.Next(now, true) != time.Second {
		t.Error("at rest more queries than at work")
	}
}
