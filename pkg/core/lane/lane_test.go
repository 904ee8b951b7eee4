package lane

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/script"
)

// TestScripts plays testdata/*.txt. A line is an event, in milliseconds:
// "5 arrive 1 [10,20]" (with " waits" when something is missing), "5 ready 1",
// "5 withdraw 1", "5 ended", "5 tick". What the lane answered stands below it.
func TestScripts(t *testing.T) {
	script.Play(t, "testdata/*.txt", func(t *testing.T) func(string) string {
		var lane Lane
		return func(line string) string {
			now, e, err := parse(line)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			var out strings.Builder
			printOutput(&out, lane.Step(now, e))
			return out.String()
		}
	})
}

func parse(text string) (protocol.Time, Event, error) {
	words := strings.Fields(text)
	var at, id, earliest, latest int64
	if _, err := fmt.Sscan(words[0], &at); err != nil {
		return 0, nil, err
	}
	if len(words) > 2 {
		if _, err := fmt.Sscan(words[2], &id); err != nil {
			return 0, nil, err
		}
	}
	switch words[1] {
	case "arrive":
		if _, err := fmt.Sscanf(words[3], "[%d,%d]", &earliest, &latest); err != nil {
			return 0, nil, err
		}
		task := Task{TaskID(id), ms(earliest), ms(latest)}
		return ms(at), Arrived{Task: task, Ready: len(words) == 4}, nil
	case "ready":
		return ms(at), Ready{TaskID(id)}, nil
	case "withdraw":
		return ms(at), Withdrawn{TaskID(id)}, nil
	case "ended":
		return ms(at), Ended{}, nil
	case "tick":
		return ms(at), Tick{}, nil
	}
	return 0, nil, fmt.Errorf("no event is called %q", words[1])
}

func ms(n int64) protocol.Time { return protocol.Time(n * 1e6) }

func printOutput(out *strings.Builder, o Output) {
	for _, e := range o.Expired {
		why := "too late"
		if !e.Ready {
			why = "input missing"
		}
		fmt.Fprintf(out, "expire %d: %s\n", e.ID, why)
	}
	if o.Start != 0 {
		fmt.Fprintf(out, "start %d\n", o.Start)
	}
	fmt.Fprintf(out, "wake %v\n", o.Wake)
}

// TestG2RandomHistories plays random tasks and checks at every step that no
// task begins outside its window, two never run at once, and each task ends
// exactly once: begun, expired or withdrawn. A driver that obeys Wake sees
// every expiry at once.
func TestG2RandomHistories(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 7))
		var lane Lane
		tasks, ended := map[TaskID]Task{}, map[TaskID]string{}
		now, next, wake := protocol.Time(0), TaskID(0), protocol.Never
		running := false
		for range 3000 {
			now += protocol.Time(rng.IntN(4))
			if wake < now {
				now = wake
			}
			e := randomEvent(rng, now, next, running)
			if a, ok := e.(Arrived); ok {
				next++
				tasks[next] = a.Task
			}
			if w, ok := e.(Withdrawn); ok && lane.Has(w.ID) {
				ended[w.ID] = "withdrawn"
			}
			if _, ok := e.(Ended); ok {
				running = false
			}
			out := lane.Step(now, e)
			for _, x := range out.Expired {
				if tasks[x.ID].Latest >= now || ended[x.ID] != "" {
					t.Fatalf("seed %d: %d expired at %d with window %v, was %q", seed, x.ID, now, tasks[x.ID], ended[x.ID])
				}
				ended[x.ID] = "expired"
			}
			if id := out.Start; id != 0 {
				w := tasks[id]
				if running || now < w.Earliest || now > w.Latest || ended[id] != "" {
					t.Fatalf("seed %d: %d began at %d with window %v, running %t, was %q", seed, id, now, w, running, ended[id])
				}
				ended[id], running = "begun", true
			}
			if len(ended)+lane.Len() != len(tasks) {
				t.Fatalf("seed %d: %d tasks, %d ended, %d wait\n%s", seed, len(tasks), len(ended), lane.Len(), &lane)
			}
			wake = out.Wake
		}
	}
}

func randomEvent(rng *rand.Rand, now protocol.Time, last TaskID, running bool) Event {
	switch n := rng.IntN(10); {
	case n < 4:
		earliest := now + protocol.Time(rng.IntN(20)) - 5
		return Arrived{Task{last + 1, earliest, earliest + protocol.Time(rng.IntN(30))}, rng.IntN(2) == 0}
	case n < 6 && last > 0:
		return Ready{last - TaskID(rng.IntN(int(min(last, 10))))}
	case n == 6 && last > 0:
		return Withdrawn{last - TaskID(rng.IntN(int(min(last, 10))))}
	case n < 9 && running:
		return Ended{}
	}
	return Tick{}
}
