package liveness

import (
	"fmt"
	"testing"

	"clockwork/pkg/protocol"
)

func beat(id string, incarnation uint64) protocol.Heartbeat {
	return protocol.Heartbeat{ID: id, Incarnation: incarnation}
}

func ids(beats []protocol.Heartbeat) (list []string) {
	for _, h := range beats {
		list = append(list, fmt.Sprintf("%s#%d", h.ID, h.Incarnation))
	}
	return list
}

func TestASilentInstanceIsLostOnce(t *testing.T) {
	var w Watch
	for _, id := range []string{"c", "a", "b"} {
		if replaced, followed := w.Beat(beat(id, 1)); replaced != nil || !followed {
			t.Fatalf("first beat of %s: %v %v", id, replaced, followed)
		}
	}
	for i := range LostTicks {
		if lost := w.Tick(); len(lost) > 0 {
			t.Fatalf("tick %d: %v lost", i+1, ids(lost))
		}
		w.Beat(beat("b", 1))
	}
	if lost := fmt.Sprint(ids(w.Tick())); lost != "[a#1 c#1]" {
		t.Errorf("lost %s", lost)
	}
	if alive := fmt.Sprint(ids(w.Alive())); alive != "[b#1]" {
		t.Errorf("alive %s", alive)
	}
	for range LostTicks - 1 {
		if lost := w.Tick(); len(lost) > 0 {
			t.Errorf("%v lost again", ids(lost))
		}
	}
}

func TestANewIncarnationLosesTheOneBefore(t *testing.T) {
	var w Watch
	w.Beat(beat("a", 1))
	if replaced, _ := w.Beat(beat("a", 2)); replaced == nil || replaced.Incarnation != 1 {
		t.Errorf("replaced %v", replaced)
	}
	if replaced, _ := w.Beat(beat("a", 2)); replaced != nil {
		t.Errorf("replaced %v by its own next beat", replaced)
	}
}

func TestAnExpectedInstanceIsLostIfItIsNeverHeard(t *testing.T) {
	var w Watch
	w.Beat(beat("heard", 1))
	w.Expect(beat("heard", 7)) // no news
	w.Expect(beat("unheard", 1))
	for range LostTicks {
		w.Tick()
		w.Beat(beat("heard", 1))
	}
	if lost := fmt.Sprint(ids(w.Tick())); lost != "[unheard#1]" {
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

// TestG7ACandidateCountsItsOwnBeats: where it hears nobody, not even itself, no
// time has passed.
func TestG7ACandidateCountsItsOwnBeats(t *testing.T) {
	s := Succession{Self: "b"}
	if s.Silent("a") {
		t.Fatal("silent before anybody was listened to")
	}
	for range TakeoverBeats - 1 {
		s.Heard("b")
		s.Heard("c") // another candidate
	}
	if s.Silent("a") {
		t.Error("silent a beat too early")
	}
	s.Heard("a")
	for range TakeoverBeats - 1 {
		s.Heard("b")
	}
	if s.Silent("a") {
		t.Error("what was heard of the holder does not count")
	}
	s.Heard("b")
	if !s.Silent("a") || s.Holder() != "a" {
		t.Error("not silent")
	}
	if s.Silent("c") {
		t.Error("another holder is silent before it was listened to")
	}
}
