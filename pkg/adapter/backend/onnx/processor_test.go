//go:build linux && !static

package onnx

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

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

// TestADeviceExecutesOnItsProcessor: a thread of its executor is bound.
func TestADeviceExecutesOnItsProcessor(t *testing.T) {
	inventory, err := Inventory()
	if err != nil {
		t.Fatal(err)
	}
	last := inventory.Devices[len(inventory.Devices)-1]
	b := withModels(t, t.TempDir(), func(o *Options) { o.GPUs, o.Host, o.Processors = 1, inventory.Host, []string{last} })
	if want := inventory.Host + "/" + last; b.Devices()[0].Info().UUID != want {
		t.Errorf("it is called %s, want %s", b.Devices()[0].Info().UUID, want)
	}
	if got := b.Devices()[0].Info().Processor; !strings.HasPrefix(got, last) {
		t.Errorf("it says that it executes on %q, want %s", got, last)
	}
	number := strings.TrimPrefix(last, processorPrefix)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if bound := threadsOn(t, b.devices[0].executor.now().cmd.Process.Pid, number); bound >= 1 {
			return
		} else if time.Now().After(end) {
			t.Fatalf("%d threads of the executor are bound to %s", bound, last)
		}
	}
}

// threadsOn counts the threads of a process that may run on just one processor.
func threadsOn(t *testing.T, pid int, processor string) (bound int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	for _, file := range files {
		status, _ := os.ReadFile(file) // it may have ended
		if strings.Contains(string(status), "Cpus_allowed_list:\t"+processor+"\n") {
			bound++
		}
	}
	return bound
}

// What a device says of its processor is so: one thread of its executor, and no other, has the
// priority that it names.
func TestWhatADeviceHasOfItsProcessorIsSaid(t *testing.T) {
	inventory, err := Inventory()
	if err != nil {
		t.Fatal(err)
	}
	for _, spare := range []bool{true, false} {
		taken := inventory.Devices
		if spare {
			taken = taken[:1]
		}
		b := withModels(t, t.TempDir(), func(o *Options) { o.GPUs, o.Host, o.Processors = len(taken), inventory.Host, taken })
		got := b.Devices()[0].Info().Processor
		realTime, nice := prioritiesOf(t, b.devices[0].executor.now().cmd.Process.Pid)
		switch {
		case !spare || len(inventory.Devices) == 1:
			if want := taken[0] + ", which everything else uses too"; got != want || realTime+nice > 0 {
				t.Errorf("%q, want %q; %d threads in real time, %d nice", got, want, realTime, nice)
			}
		case strings.HasSuffix(got, ", in real time"):
			if realTime != 1 || nice != 0 {
				t.Errorf("%q: %d threads in real time, %d nice", got, realTime, nice)
			}
		case strings.HasSuffix(got, fmt.Sprintf(", nice %d", executingNice)):
			if realTime != 0 || nice != 1 {
				t.Errorf("%q: %d threads in real time, %d nice", got, realTime, nice)
			}
		case realTime+nice > 0:
			t.Errorf("%q: %d threads in real time, %d nice", got, realTime, nice)
		}
	}
}

// prioritiesOf counts the threads of a process that are in real time, and those with
// executingNice.
func prioritiesOf(t *testing.T, pid int) (realTime, nice int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	for _, file := range files {
		text, _ := os.ReadFile(file) // it may have ended
		f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		const niceField, policyField = 16, 38 // counted from the state, which follows the name
		if len(f) <= policyField {
			continue
		}
		if f[policyField] == "1" { // SCHED_FIFO
			realTime++
		} else if f[niceField] == strconv.Itoa(executingNice) {
			nice++
		}
	}
	return realTime, nice
}
