//go:build linux && !static

package onnx

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"clockwork/pkg/adapter/backend"
)

// A device is a processor: ONNX Runtime executes only on the calling thread, and two
// devices that shared a processor would take twice as long as their profiles say.

// processorPrefix begins the names of processors: cpu-0, cpu-1, ...
const processorPrefix = "cpu-"

// Inventory lists the processors that this process may run on, the last one first: the
// system itself prefers the first. If two processors share a core, the second of each
// core is listed after all first ones: it is a device of its own, but its speed depends
// on the load of the core.
func Inventory() (backend.Inventory, error) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return backend.Inventory{}, fmt.Errorf("ask which processors there are: %w", err)
	}
	inventory := backend.Inventory{}
	inventory.Host, inventory.Secret = hostID()
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

// hostID returns what identifies this machine until it is rebooted, which unlike the host
// name containers share, and what only processes on it know: the system's id of this boot.
func hostID() (id string, secret []byte) {
	secret, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		name, _ := os.Hostname() // fallback: the host name, which is no secret
		secret = []byte(name)
	}
	sum := sha256.Sum256(append([]byte("clockwork host "), secret...))
	return hex.EncodeToString(sum[:16]), secret
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

// place returns device i's UUID, and the processor on which it executes, "" for any.
func (o *Options) place(i int) (uuid, processor string) {
	if len(o.Processors) == 0 {
		return o.WorkerName + "-onnx-" + strconv.Itoa(i), ""
	}
	return o.Host + "/" + o.Processors[i], o.Processors[i]
}

// takeProcessor gives the calling thread, which executes, the processor of its device, and
// returns in words what it got. spare: everything else has other processors, so that the
// thread may have its own whenever it wants it. It goes before other threads in real time
// where the system allows that, else it is nicer to itself than to others. The system leaves
// others a twentieth of a processor that a thread in real time never gives up.
func takeProcessor(processor string, spare bool) string {
	if err := bindThread(processor); err != nil {
		return "any processor: " + err.Error() // slower, and that is all
	}
	switch {
	case processor == "":
		return "any processor"
	case !spare:
		return processor + ", which everything else uses too"
	case goFirst() == nil:
		return processor + ", in real time"
	case unix.Setpriority(unix.PRIO_PROCESS, 0, executingNice) == nil:
		return fmt.Sprintf("%s, nice %d", processor, executingNice)
	}
	return processor + ", like any other thread: the system allows no priority"
}

// executingNice is the nice value of an executing thread that may not have real time.
const executingNice = -10

// goFirst puts the calling thread before all that are not in real time. What it starts is
// not.
func goFirst() error {
	return unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: 1}, 0)
}

// sparesOthers reports whether this process may use other processors than these.
func sparesOthers(taken []string) bool {
	var allowed unix.CPUSet
	err := unix.SchedGetaffinity(0, &allowed)
	return err == nil && allowed.Count() > len(taken)
}

// bindThread restricts the calling thread to one processor, "" for none.
func bindThread(processor string) error {
	if processor == "" {
		return nil
	}
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
