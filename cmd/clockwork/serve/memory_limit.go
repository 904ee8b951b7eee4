package serve

import (
	"io/fs"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// BoundMemory tells Go's runtime how much memory this process may have, if the system bounds
// it: near the bound, the collector then runs more often, where otherwise the system would end
// the process while garbage waits. GOMEMLIMIT takes precedence.
func BoundMemory() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if limit := cgroupMemory(os.DirFS("/")); limit > 0 {
		debug.SetMemoryLimit(limit / 10 * 9) // the rest is what others of the process have: threads, mapped files
	}
}

// cgroupMemory returns the least bound on memory of this process's control groups, in bytes; 0
// for none. root is the file system.
func cgroupMemory(root fs.FS) (least int64) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0 // no Linux
	}
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		switch mount, file := "sys/fs/cgroup", "memory.max"; {
		case parts[0] != "0" && parts[1] == "memory":
			mount, file = mount+"/memory", "memory.limit_in_bytes"
			fallthrough
		case parts[0] == "0":
			least = lesser(least, boundOf(root, mount, parts[2], file))
		}
	}
	return least
}

// boundOf returns the least bound of a group and those above it. In a container the group's
// path may be the host's, and the files of the group are at the mount.
func boundOf(root fs.FS, mount, group, file string) (least int64) {
	for at := path.Clean("/" + group); ; at = path.Dir(at) {
		if text, err := fs.ReadFile(root, mount+path.Join(at, "/", file)); err == nil {
			bound, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			if err == nil && bound > 0 && bound < unbounded { // else "max"
				least = lesser(least, bound)
			}
		}
		if at == "/" {
			return least
		}
	}
}

// unbounded is what the first version of control groups says where there is no bound, rounded
// down: no machine has so much.
const unbounded = 1 << 60

// lesser returns the lesser of two bounds, of which 0 is none.
func lesser(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
