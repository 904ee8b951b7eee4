//go:build linux && !static

package onnx

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/protocol"
)

// A device is a processor: ONNX Runtime executes on the calling thread alone, and
// two that share one take twice as long, which nobody measured.

// processorPrefix begins the names of processors: cpu-0, cpu-1, ...
const processorPrefix = "cpu-"

// Inventory lists the processors that this process may run on, the last one first:
// the system itself likes to use the first. Where two share a core, the second of
// each comes after all first ones: it is a device of its own, but as slow as the core
// is busy.
func Inventory() (backend.Inventory, error) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return backend.Inventory{}, fmt.Errorf("ask which processors there are: %w", err)
	}
	inventory := backend.Inventory{Host: hostID()}
	var seconds []string
	for n := len(allowed)*64 - 1; n >= 0; n-- {
		name := processorPrefix + strconv.Itoa(n)
		switch {
		case !allowed.IsSet(n):
		case sharesCore(n, &allowed):
			seconds = append(seconds, name)
		default:
			inventory.Devices = append(inventory.Devices, name)
		}
	}
	inventory.Devices = append(inventory.Devices, seconds...)
	return inventory, nil
}

// hostID names this machine since it was started: unlike its name, containers
// share it.
func hostID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err == nil {
		return protocol.Name(strings.TrimSpace(string(id)))
	}
	name, _ := os.Hostname() // better than nothing
	return protocol.Name(name)
}

// sharesCore reports whether a processor of a lower number is on the same core.
func sharesCore(n int, allowed *unix.CPUSet) bool {
	list, err := os.ReadFile(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", n))
	if err != nil {
		return false
	}
	for _, text := range strings.FieldsFunc(string(list), notWord) {
		if first, err := strconv.Atoi(text); err == nil && first < n && allowed.IsSet(first) {
			return true
		}
	}
	return false
}

// place gives device i its identity, and what puts a thread on its processor.
func (o *Options) place(i int) (uuid string, bind func() error) {
	if len(o.Processors) == 0 {
		return o.WorkerName + "-onnx-" + strconv.Itoa(i), func() error { return nil }
	}
	name := o.Processors[i]
	return o.Host + "/" + name, func() error { return bindThread(name) }
}

// bindThread has the calling thread run on one processor alone.
func bindThread(processor string) error {
	n, err := strconv.Atoi(strings.TrimPrefix(processor, processorPrefix))
	if err != nil {
		return fmt.Errorf("bind a thread: %q is no processor", processor)
	}
	var only unix.CPUSet
	only.Set(n)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return fmt.Errorf("bind a thread to %s: %w", processor, err)
	}
	return nil
}
