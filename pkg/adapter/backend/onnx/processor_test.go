//go:build linux && !static

package onnx

import (
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"clockwork/pkg/protocol"
)

func TestTheInventoryIsWhatThisProcessMayRunOn(t *testing.T) {
	inventory, err := Inventory()
	if err != nil {
		t.Fatal(err)
	}
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	if len(inventory.Devices) != allowed.Count() || !protocol.ValidName(inventory.Host) {
		t.Errorf("%+v, and %d processors are allowed", inventory, allowed.Count())
	}
	for i, name := range inventory.Devices {
		if !protocol.ValidName(name) || slices.Contains(inventory.Devices[:i], name) {
			t.Errorf("%v has a name twice, or one that is none", inventory.Devices)
		}
	}
}

// TestADeviceExecutesOnItsProcessor: Bind concerns the calling thread alone.
func TestADeviceExecutesOnItsProcessor(t *testing.T) {
	inventory, err := Inventory()
	if err != nil {
		t.Fatal(err)
	}
	last := inventory.Devices[len(inventory.Devices)-1]
	b := withModels(t, t.TempDir(), func(o *Options) { o.GPUs, o.Host, o.Processors = 1, inventory.Host, []string{last} })
	info := b.Devices()[0].Info()
	if want := inventory.Host + "/" + last; info.UUID != want {
		t.Errorf("it is called %s, want %s", info.UUID, want)
	}
	bound := make(chan int)
	go func() {
		runtime.LockOSThread() // and ends with it
		if err := info.Bind(); err != nil {
			t.Error(err)
		}
		var now unix.CPUSet
		if err := unix.SchedGetaffinity(0, &now); err != nil {
			t.Error(err)
		}
		bound <- now.Count()
	}()
	if n := <-bound; n != 1 {
		t.Errorf("its thread may run on %d processors", n)
	}
}
