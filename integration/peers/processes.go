package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tagName is the variable of the environment by which a server's processes are found, also
// those that left its process group.
const tagName = "PEERS_SERVER"

// family returns the processes that descend from root or have the tag.
func family(root int, tag string) (all []int) {
	parents := parents()
	for pid := range parents {
		if pid != os.Getpid() && (descends(pid, root, parents) || tagged(pid, tag)) {
			all = append(all, pid)
		}
	}
	return all
}

// parents returns the living processes with their parents.
func parents() map[int]int {
	found := map[int]int{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if f := stat(pid); len(f) > 1 && f[0] != "Z" {
			found[pid], _ = strconv.Atoi(f[1])
		}
	}
	return found
}

// stat returns the fields of /proc/PID/stat that follow the name: state, parent, ...
func stat(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil // it has ended
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

func descends(pid, root int, parents map[int]int) bool {
	for ; pid > 1; pid = parents[pid] {
		if pid == root {
			return true
		}
	}
	return false
}

func tagged(pid int, tag string) bool {
	environment, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return bytes.Contains(environment, []byte(tagName+"="+tag+"\x00"))
}

// processorTime is the processor time of processes so far.
func processorTime(pids []int) (sum time.Duration) {
	const user, system = 11, 12 // fields of stat, in hundredths of a second
	for _, pid := range pids {
		f := stat(pid)
		for _, i := range []int{user, system} {
			if len(f) > i {
				ticks, _ := strconv.Atoi(f[i])
				sum += time.Duration(ticks) * 10 * time.Millisecond
			}
		}
	}
	return sum
}

// memory is the proportional set size of processes, in MiB: what several share counts once.
func memory(pids []int) (mib float64) {
	for _, pid := range pids {
		rollup, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		for line := range strings.Lines(string(rollup)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
				kib, _ := strconv.ParseFloat(f[1], 64)
				mib += kib / 1024
			}
		}
	}
	return mib
}

// ownTime is the processor time of this process so far.
func ownTime() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // cannot fail with these arguments
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// loadAverage is the machine's of the last minute.
func loadAverage() float64 {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	value, _ := strconv.ParseFloat(first, 64)
	return value
}
