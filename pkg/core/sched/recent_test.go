package sched

import (
	"maps"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// What was asked for fades, by the core's clock and not by how often somebody looks.
func TestRequestsOfLateFade(t *testing.T) {
	var r recentRequests
	start := protocol.Time(100 * recentHalf)
	for range 8 {
		r.add(start)
	}
	for _, row := range []struct {
		halves time.Duration
		want   uint64
	}{{0, 8}, {1, 4}, {1, 4}, {2, 2}, {70, 0}} {
		if got := r.at(start.Add(row.halves * recentHalf)); got != row.want {
			t.Errorf("after %v: %d, not %d", row.halves*recentHalf, got, row.want)
		}
	}
	if r.add(start.Add(70 * recentHalf)); r.count != 1 {
		t.Errorf("one more after a long time: %d", r.count)
	}
}

func TestCopiesAreOfTheModelsInDemand(t *testing.T) {
	s := Snapshot{Models: []ModelSnapshot{{Name: "a", Copies: 1, Recent: 3}, {Name: "b", Copies: 2, Recent: 8}, {Name: "nowhere", Recent: 9}, {Name: "c", Copies: 4, Recent: 3}}}
	for most, want := range []map[string]int{{}, {"b": 2}, {"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 4}, {"a": 1, "b": 2, "c": 4}} {
		if got := s.CopiesInDemand(most); !maps.Equal(got, want) {
			t.Errorf("of at most %d: %v, not %v", most, got, want)
		}
	}
}

// A snapshot has the requests of each model, the refused ones too.
func TestASnapshotHasTheRequestsOfLate(t *testing.T) {
	c, err := New("clockwork", Defaults())
	if err != nil {
		t.Fatal(err)
	}
	c.Step(1, &Activate{Epoch: 1, State: protocol.ClockworkState{Models: []protocol.ModelSpec{{Name: "m"}}}})
	for i := range uint64(5) {
		c.Step(2, &Submit{protocol.Submission{ID: protocol.RequestID{Door: 1, Seq: i}, Model: "m", Batch: 1, Budget: 1}})
	}
	var s Snapshot
	if c.Snapshot(&s); len(s.Models) != 1 || s.Models[0].Recent != 5 {
		t.Errorf("%+v", s.Models)
	}
	c.Step(protocol.Time(recentHalf), &Tick{})
	if c.Snapshot(&s); s.Models[0].Recent != 2 {
		t.Errorf("after %v: %+v", recentHalf, s.Models)
	}
}
