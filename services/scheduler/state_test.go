package scheduler

import (
	"encoding/json"
	"testing"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// TestActiveIsOneWord: what the scheduler's heartbeat says is what front doors and the
// controller compare with, and what clockwork state shows.
func TestActiveIsOneWord(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	s, _ := d.scheduler("simple", protocol.SchedulerReady)
	d.activate(w)
	beat := d.await(s, protocol.SchedulerActive)
	again, fault := wire.Heartbeat.Decode(wire.Heartbeat.Encode(&beat))
	if fault != nil || again.State != protocol.SchedulerActive {
		t.Errorf("over the wire it is %q, %v", again.State, fault)
	}
	body, err := json.Marshal(protocol.StackState{Scheduler: beat.State})
	var shown struct{ Scheduler string }
	if err != nil || json.Unmarshal(body, &shown) != nil || shown.Scheduler != "active" {
		t.Errorf("people are shown %s, %v", body, err)
	}
}
