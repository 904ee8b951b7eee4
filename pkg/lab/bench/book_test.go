package bench

import (
	"testing"

	"clockwork/pkg/lab/workload"
)

func TestARequestLeavesTheBookOnce(t *testing.T) {
	var b book
	first, second := b.enter(workload.Arrival{At: 1}, 0, 100), b.enter(workload.Arrival{At: 2}, 0, 200)
	if b.open() != 2 || first == second {
		t.Fatalf("%d open, tokens %d and %d", b.open(), first, second)
	}
	if a, _, open := b.leave(second); !open || a.At != 2 {
		t.Errorf("left %+v, %v", a, open)
	}
	if _, _, open := b.leave(second); open {
		t.Error("it left twice")
	}
	if _, _, open := b.leave(1 << 20); open {
		t.Error("one left that never entered")
	}
}

// An answer that comes after its request was given up finds the entry used by
// another request, and must not end that one.
func TestALateAnswerMeetsNoLaterRequest(t *testing.T) {
	var b book
	token := b.enter(workload.Arrival{At: 1}, 0, 100)
	if gone := b.expired(99); gone != nil {
		t.Errorf("too early: %+v", gone)
	}
	if gone := b.expired(100); len(gone) != 1 || gone[0].At != 1 {
		t.Errorf("gave up %+v", gone)
	}
	other := b.enter(workload.Arrival{At: 2}, 0, 200)
	if uint32(other) != uint32(token) {
		t.Fatalf("entry %d was not used again but %d", uint32(token), uint32(other))
	}
	if _, _, open := b.leave(token); open {
		t.Error("the late answer ended another request")
	}
	if _, _, open := b.leave(other); !open {
		t.Error("the request is gone")
	}
}

func TestABookOfManyRequestsIsLookedThroughToItsEnd(t *testing.T) {
	var b book
	for i := range 3*chunk + 1 {
		b.enter(workload.Arrival{Client: i}, 0, 10)
	}
	if gone := b.expired(10); len(gone) != 3*chunk+1 || b.open() != 0 {
		t.Errorf("gave up %d, %d are open", len(gone), b.open())
	}
}
