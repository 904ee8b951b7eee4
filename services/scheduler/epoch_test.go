package scheduler

import (
	"fmt"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// storedEpoch is the number that the store gave last to a scheduler.
func (d *door) storedEpoch() (epoch uint64) {
	d.t.Helper()
	kv, err := d.bus.JS.KeyValue(d.t.Context(), "clockwork_epoch")
	if err != nil {
		d.t.Fatal(err)
	}
	entry, err := kv.Get(d.t.Context(), "fence.scheduler")
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(entry.Value()), `{"term":%d,`, &epoch); err != nil {
		d.t.Fatalf("%s: %v", entry.Value(), err)
	}
	return epoch
}

// TestG7OnlyTheStoreMakesAnEpoch: whatever a worker says of the one that it obeys, and a front
// door of the one that it saw, the scheduler has the epoch that it was given, and serves.
func TestG7OnlyTheStoreMakesAnEpoch(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	s, _ := d.scheduler("simple", protocol.SchedulerReady)
	given := d.storedEpoch()
	state := protocol.ClockworkState{PageSize: 1 << 20, Models: models(), Profiles: profiles("t4"), Workers: []protocol.WorkerState{lean(w)}}
	for i, lie := range []uint64{given + 1, given + 1<<40, 1<<64 - 2} {
		state.Workers = append(state.Workers, protocol.WorkerState{ID: "liar" + string(rune('a'+i)), Incarnation: 1, Epoch: lie})
		beat := protocol.Heartbeat{Incarnation: 1, Epoch: lie, ClockEpoch: given, State: protocol.Idle}
		d.publish(d.bus.Subjects.Heartbeat(protocol.FrontDoor, protocol.DoorName(7)), wire.Heartbeat.Encode(&beat))
		d.publish(d.bus.Subjects.Heartbeat(protocol.Worker, state.Workers[i+1].ID), wire.Heartbeat.Encode(&beat))
	}
	d.publishParcel(d.bus.Subjects.SchedulerStart(), wire.Start.Encode(&state))
	if h := d.await(s, protocol.SchedulerActive); h.Epoch != given {
		t.Errorf("epoch %d, the store gave %d", h.Epoch, given)
	}
	d.served("a")
	for _, a := range w.Received(protocol.Infer) {
		if a.Epoch != given {
			t.Errorf("an action of epoch %d, the store gave %d", a.Epoch, given)
		}
	}
}

// TestG12ALostStoreGivesHigherEpochs than those that workers obey.
func TestG12ALostStoreGivesHigherEpochs(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	first, stop := d.scheduler("simple", protocol.SchedulerReady)
	d.activate(w)
	before := d.await(first, protocol.SchedulerActive).Epoch
	d.served("a")
	stop()
	for _, stream := range []string{"KV_clockwork_epoch", "KV_clockwork_lease"} {
		if err := d.bus.JS.DeleteStream(t.Context(), stream); err != nil {
			t.Fatal(err)
		}
	}
	second, _ := d.scheduler("simple", protocol.SchedulerReady)
	d.activate(w)
	if h := d.await(second, protocol.SchedulerActive); h.Epoch <= before {
		t.Errorf("epoch %d after %d", h.Epoch, before)
	}
	d.served("a")
}

// TestG7AnEpochThatNobodyWasGivenPasses: somebody who has a scheduler's key gave orders in it,
// and the only worker obeys. It serves again once the store gives higher numbers.
func TestG7AnEpochThatNobodyWasGivenPasses(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	s, _ := d.scheduler("simple", protocol.SchedulerReady)
	d.activate(w)
	d.await(s, protocol.SchedulerActive)
	d.served("a")
	forged := uint64(time.Now().Add(time.Second).UnixMicro())
	d.publish(d.bus.Subjects.Action("w1"), wire.Actions.Encode(&[]protocol.Action{{ID: 1, Issuer: 6, Epoch: forged, Kind: protocol.GetWorkerState, Latest: protocol.Never}}))
	for end := time.Now().Add(bustest.Wait); ; {
		h := bustest.Next(t, "a heartbeat", d.beats)
		if h.Incarnation == s.id && h.State == protocol.SchedulerReady {
			d.activate(w)
		}
		if h.Incarnation == s.id && h.State == protocol.SchedulerActive && h.Epoch > forged {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("no epoch above %d", forged)
		}
	}
	d.served("a")
}
