package scheduler

import (
	"maps"
	"testing"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

func TestCopiesAreOfTheModelsAskedForMostLately(t *testing.T) {
	var d demand
	models := []sched.ModelSnapshot{{Name: "a", Copies: 1, Submitted: 8}, {Name: "b", Copies: 2, Submitted: 3}, {Name: "nowhere", Submitted: 9}}
	if got := d.copies(models); !maps.Equal(got, map[string]int{"a": 1, "b": 2}) {
		t.Errorf("copies %v", got)
	}
	models[1].Submitted += 7
	d.copies(models)
	if d.asked["a"] != 4 || d.asked["b"] != 8 {
		t.Errorf("asked for %v", d.asked)
	}
	models[1].Submitted = 1 // another epoch counts anew
	d.copies(models)
	if d.asked["b"] != 4 {
		t.Errorf("asked for %v", d.asked)
	}
	many := make([]sched.ModelSnapshot, protocol.MaxCopyStats+5)
	for i := range many {
		many[i] = sched.ModelSnapshot{Name: string(rune('A' + i)), Copies: 1, Submitted: uint64(i)}
	}
	if got := new(demand).copies(many); len(got) != protocol.MaxCopyStats || got["A"] != 0 {
		t.Errorf("%d copies, of the least asked for %d", len(got), got["A"])
	}
}
