package bus

import (
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"

	"clockwork/pkg/wire"
)

func device(worker, host string, inventory ...string) DeviceUser {
	return DeviceUser{Worker: worker, Secret: []byte("secret of " + host), Inventory: inventory}
}

// TestOfManyWorkersEachGetsADeviceOrNone that start at the same time.
func TestOfManyWorkersEachGetsADeviceOrNone(t *testing.T) {
	ctx := limited(t)
	b := open(t)
	inventory := []string{"d0", "d1", "d2"}
	var mu sync.Mutex
	var taken []string
	var starts sync.WaitGroup
	for _, worker := range []string{"w0", "w1", "w2", "w3", "w4", "w5"} {
		starts.Go(func() {
			for {
				l, err := b.ClaimDevices(ctx, device(worker, "h", inventory...), 1)
				mu.Lock()
				if err == nil {
					taken = append(taken, l.Devices...)
					t.Cleanup(l.Release)
				} else if !errors.Is(err, ErrHeld) {
					t.Error(err)
				}
				all := len(taken) >= len(inventory)
				mu.Unlock()
				if err == nil || all {
					return
				}
			}
		})
	}
	starts.Wait()
	if slices.Sort(taken); !slices.Equal(taken, inventory) {
		t.Errorf("taken are %v", taken)
	}
}

// TestADeviceOfAnotherHostIsNotClaimed: a worker says that it has devices of a host on which
// it is not, in its own name, or with what another one stored.
func TestADeviceOfAnotherHostIsNotClaimed(t *testing.T) {
	ctx := limited(t)
	b := open(t)
	own, err := b.ClaimDevices(ctx, device("w1", "h", "d0", "d1"), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Release()
	stored, err := own.kv.Get(ctx, "w1")
	if err != nil {
		t.Fatal(err)
	}
	lie, err := json.Marshal(wire.StoredClaim{Held: true, Devices: map[string]string{"d0": "x", "d1": device("rogue", "another", "d1").proof("rogue", "d1")}})
	if err != nil {
		t.Fatal(err)
	}
	for what, body := range map[string][]byte{"a lie": lie, "another's claim": stored.Value(), "no claim": []byte(`{"devices":7}`), "nothing": nil} {
		if _, err := own.kv.Put(ctx, "rogue", body); err != nil {
			t.Fatal(err)
		}
		holders, err := b.DeviceHolders(ctx, device("", "h", "d0", "d1"))
		if err != nil || !slices.Equal(holders, []string{"w1", ""}) {
			t.Errorf("%s: holders are %q, %v", what, holders, err)
		}
	}
	second, err := b.ClaimDevices(ctx, device("w2", "h", "d0", "d1"), 1)
	if err != nil || !slices.Equal(second.Devices, []string{"d1"}) {
		t.Fatalf("w2 gets %v, %v", second, err)
	}
	second.Release()
}

// TestAnExpiredClaimIsTakenAgainUnlessAnotherHasTheDevice.
func TestAnExpiredClaimIsTakenAgainUnlessAnotherHasTheDevice(t *testing.T) {
	ctx := limited(t)
	b := open(t)
	l, err := b.ClaimDevices(ctx, device("w1", "h", "d0"), 1)
	if err != nil {
		t.Fatal(err)
	}
	close(l.vanish)
	<-l.done
	expire := func() {
		if err := l.kv.Delete(ctx, l.key); err != nil {
			t.Fatal(err)
		}
	}
	expire()
	if !l.renew() {
		t.Error("it is lost to nobody")
	}
	expire()
	if _, err := l.kv.Create(ctx, l.key, l.until); err != nil { // it was interrupted
		t.Fatal(err)
	}
	for ctx.Err() == nil {
		if !l.renew() {
			t.Fatal("its own unfinished claim counts as another's")
		}
		if entry, err := l.kv.Get(ctx, l.key); err == nil && string(entry.Value()) == string(l.holder) {
			break
		}
	}
	expire()
	other, err := b.ClaimDevices(ctx, device("w2", "h", "d0"), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Release()
	for l.renew() {
		if ctx.Err() != nil {
			t.Fatal("another worker has its device")
		}
	}
}
