package work

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// TestATickAtWhichNothingIsDueAllocatesNothing: loads that wait for a reader, orders that wait
// for their begin and payloads that nobody claimed are only looked at.
func TestATickAtWhichNothingIsDueAllocatesNothing(t *testing.T) {
	config := Defaults()
	config.Name, config.Incarnation, config.ConcurrentLoads = "w", 1, 1
	config.GPUs = []GPU{{Type: "t", Pages: 8, PageSize: 1}}
	w := New(config)
	now := protocol.Time(1e9)
	for i := range 5 {
		load := &protocol.LoadSpec{Path: "p/a", Names: []string{"a"}, Within: time.Minute}
		w.Step(now, &Received{Action: protocol.Action{ID: protocol.ActionID(i + 1), Issuer: 1, Kind: protocol.LoadModelFromDisk, Latest: protocol.Never, Load: load}})
		w.Step(now, &Input{ID: protocol.RequestID{Seq: uint64(i)}, Bytes: 1, Data: []byte{1}})
	}
	if len(w.reading) != 1 || len(w.unread) != 4 {
		t.Fatalf("%d loads are read and %d wait, expected 1 and 4", len(w.reading), len(w.unread))
	}
	if n := testing.AllocsPerRun(100, func() { w.Step(now, &Tick{}) }); n > 0 {
		t.Errorf("a tick allocates %v times", n)
	}
	if out := w.Step(now.Add(time.Minute), &Tick{}); len(out.Results) != 4 || len(out.GivenUp) != 1 || len(w.unread) != 0 {
		t.Errorf("after a minute %d loads have ended, %d are given up and %d wait; expected 4, 1 and 0", len(out.Results), len(out.GivenUp), len(w.unread))
	}
}
