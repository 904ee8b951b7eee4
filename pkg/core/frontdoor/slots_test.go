package frontdoor

import "testing"

// TestATenantLeavesSlotsToOthers: reading large JSON, and storing, are bounded.
func TestATenantLeavesSlotsToOthers(t *testing.T) {
	s := newSlots(8)
	for tenant, want := range map[string]int{"alice": 2, "bob": 2, "carol": 2} {
		got := 0
		for range 10 {
			if s.take(tenant, 1) {
				got++
			}
		}
		if got != want {
			t.Errorf("%s has %d slots, want %d", tenant, got, want)
		}
	}
	first, second := s.take("", 1), s.take("", 1)
	if !first || !second || s.take("", 1) || s.take("dave", 1) {
		t.Error("there are not two left, for who has no name too")
	}
	s.giveBack("alice", 1)
	if s.take("bob", 1) || !s.take("dave", 1) {
		t.Error("what alice gave back is not there for who has less")
	}
	for _, tenant := range []string{"alice", "bob", "bob", "carol", "carol", "dave", "", ""} {
		s.giveBack(tenant, 1)
	}
	if s.taken != 0 || len(s.by) != 0 {
		t.Errorf("%d slots taken by %v after all were given back", s.taken, s.by)
	}
}
