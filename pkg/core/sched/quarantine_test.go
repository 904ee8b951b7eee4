package sched

import (
	"fmt"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// TestASnapshotSaysWhoIsQuarantined, and for how long: as long as requests are refused.
func TestASnapshotSaysWhoIsQuarantined(t *testing.T) {
	s := Snapshot{Now: 10, Models: []ModelSnapshot{{Name: "never"}, {Name: "late", Quarantined: 30}, {Name: "over", Quarantined: 10}, {Name: "b", Quarantined: 20}, {Name: "a", Quarantined: 20}}}
	list := s.Quarantined()
	if got := fmt.Sprint(list); got != fmt.Sprint([]Quarantine{{"a", 20}, {"b", 20}, {"late", 30}}) {
		t.Errorf("quarantined are %v", got)
	}
	if still := StillQuarantined(list, 20); len(still) != 1 || still[0] != (protocol.QuarantinedModel{Name: "late", Left: 10}) {
		t.Errorf("at the end of two: %v", still)
	}
	list = nil
	for i := range protocol.MaxQuarantined + 3 {
		list = append(list, Quarantine{fmt.Sprint(i), protocol.Time(time.Hour)})
	}
	if still := StillQuarantined(list, 0); len(still) != protocol.MaxQuarantined || still[0].Name != "3" {
		t.Errorf("%d fit into a heartbeat, the first is %s", len(still), still[0].Name)
	}
}
