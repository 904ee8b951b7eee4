package liveness

import (
	"fmt"
	"slices"
	"testing"

	"clockwork/pkg/protocol"
)

func beat(id string, incarnation uint64) protocol.Heartbeat {
	return protocol.Heartbeat{ID: id, Incarnation: incarnation}
}

// changed shows changes: who is there, and -who is lost.
func changed(changes []Change) (list []string) {
	for _, c := range changes {
		list = append(list, fmt.Sprintf("%s%s#%d", map[bool]string{false: "-"}[c.There], c.ID, c.Incarnation))
	}
	return list
}

func TestASilentInstanceIsLostOnce(t *testing.T) {
	var w Watch
	for _, id := range []string{"c", "a", "b"} {
		if changes, followed := w.Beat(beat(id, 1)); fmt.Sprint(changed(changes)) != "["+id+"#1]" || !followed {
			t.Fatalf("first beat of %s: %v %v", id, changed(changes), followed)
		}
	}
	for i := range LostTicks {
		if lost := w.Tick(); len(lost) > 0 {
			t.Fatalf("tick %d: %v lost", i+1, changed(lost))
		}
		if changes, _ := w.Beat(beat("b", 1)); len(changes) > 0 {
			t.Fatalf("its next beat changes %v", changed(changes))
		}
	}
	if lost := fmt.Sprint(changed(w.Tick())); lost != "[-a#1 -c#1]" {
		t.Errorf("lost %s", lost)
	}
	if alive := w.Alive(); len(alive) != 1 || alive[0].ID != "b" {
		t.Errorf("alive %v", alive)
	}
	for range LostTicks - 1 {
		if lost := w.Tick(); len(lost) > 0 {
			t.Errorf("%v lost again", changed(lost))
		}
	}
	if changes, _ := w.Beat(beat("a", 1)); fmt.Sprint(changed(changes)) != "[a#1]" {
		t.Errorf("heard again after its loss: %v", changed(changes))
	}
}

func TestANewIncarnationLosesTheOneBefore(t *testing.T) {
	var w Watch
	w.Beat(beat("a", 1))
	for _, want := range []string{"[-a#1 a#2]", "[]"} {
		if changes, _ := w.Beat(beat("a", 2)); fmt.Sprint(changed(changes)) != want {
			t.Errorf("changes %v, want %s", changed(changes), want)
		}
	}
}

func TestAnExpectedInstanceIsLostIfItIsNeverHeard(t *testing.T) {
	var w Watch
	w.Beat(beat("heard", 1))
	w.Expect(beat("heard", 7)) // no news
	w.Expect(beat("unheard", 1))
	w.Expect(beat("late", 1))
	if changes, _ := w.Beat(beat("late", 1)); fmt.Sprint(changed(changes)) != "[late#1]" {
		t.Errorf("the first beat of one that is expected: %v", changed(changes))
	}
	for range LostTicks {
		w.Tick()
		w.Beat(beat("heard", 1))
		w.Beat(beat("late", 1))
	}
	if lost := fmt.Sprint(changed(w.Tick())); lost != "[-unheard#1]" {
		t.Errorf("lost %s", lost)
	}
}

func TestAWatchIsBounded(t *testing.T) {
	var w Watch
	for i := range MaxInstances {
		w.Beat(beat(fmt.Sprint(i), 1))
	}
	if _, followed := w.Beat(beat("one more", 1)); followed {
		t.Error("one more is followed")
	}
	w.Expect(beat("one more", 1))
	if n := len(w.Alive()); n != MaxInstances {
		t.Errorf("%d are followed", n)
	}
	if _, followed := w.Beat(beat("7", 1)); !followed {
		t.Error("one that is known is not followed")
	}
}

// A step of a candidate's test: a heartbeat of an id, or what is read, and the bid on it.
type bid struct {
	event CandidateEvent
	want  Bid
}

// beats are heartbeats of the candidate itself.
func beats(n int) (list []bid) {
	for range n {
		list = append(list, bid{event: Heard{"b"}})
	}
	return list
}

var heldByA = LeaseRead{Held: true, Holder: "a", Revision: 7}

// TestG7ACandidate takes a lease that is nobody's, or of a holder that is silent in the
// candidate's own time. Where it hears nobody, not even itself, no time has passed.
func TestG7ACandidate(t *testing.T) {
	take, ask, wait := Bid{Take: true}, Bid{ReadStore: true}, Bid{From: 7}
	for what, steps := range map[string][]bid{
		"nobody has it":                         {{LeaseRead{}, take}},
		"it hears nobody":                       {{heldByA, wait}, {heldByA, wait}, {heldByA, wait}, {heldByA, wait}, {heldByA, wait}, {heldByA, wait}},
		"a beat too early":                      slices.Concat([]bid{{heldByA, wait}}, beats(TakeoverBeats-1), []bid{{Heard{"c"}, Bid{}}, {heldByA, wait}}),
		"the holder is silent":                  slices.Concat([]bid{{heldByA, wait}}, beats(TakeoverBeats), []bid{{heldByA, Bid{Take: true, From: 7}}}),
		"the holder was heard":                  slices.Concat([]bid{{heldByA, wait}}, beats(TakeoverBeats-1), []bid{{Heard{"a"}, Bid{}}}, beats(TakeoverBeats-1), []bid{{heldByA, wait}}),
		"nobody was listened to before":         slices.Concat(beats(TakeoverBeats), []bid{{heldByA, wait}}),
		"another one is the holder":             slices.Concat([]bid{{heldByA, wait}}, beats(TakeoverBeats), []bid{{LeaseRead{Held: true, Holder: "c", Revision: 8}, Bid{From: 8}}}),
		"the holder is not named":               slices.Concat([]bid{{heldByA, wait}}, beats(TakeoverBeats), []bid{{LeaseRead{Held: true, Revision: 8}, Bid{Take: true, From: 8}}}),
		"the lease was given back":              {{heldByA, wait}, {LeaseRead{}, ask}, {StoreRead{7}, take}},
		"the store was lost":                    {{heldByA, wait}, {LeaseRead{}, ask}, {StoreRead{6}, Bid{}}},
		"the store was lost, and its holder":    slices.Concat([]bid{{heldByA, wait}}, beats(TakeoverBeats), []bid{{LeaseRead{}, take}}),
		"the store was lost before it was read": {{LeaseRead{}, take}},
	} {
		c := NewCandidate("b")
		for i, s := range steps {
			if got := c.Step(s.event); got != s.want {
				t.Errorf("%s: step %d, %+v: %+v, want %+v", what, i, s.event, got, s.want)
			}
		}
	}
}
