package serve

import (
	"testing"
	"testing/fstest"
)

// The least bound of a process's control groups counts, wherever its files are.
func TestTheMemoryOfAControlGroupIsFound(t *testing.T) {
	for about, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no Linux":           {nil, 0},
		"no bound":           {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0},
		"a container":        {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}, 512 << 20},
		"the host's path":    {map[string]string{"proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/memory.max": "1000\n"}, 1000},
		"a service":          {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "2000\n", "sys/fs/cgroup/a/b/memory.max": "max\n"}, 2000},
		"a group within":     {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "2000\n", "sys/fs/cgroup/a/b/memory.max": "1500\n"}, 1500},
		"version 1":          {map[string]string{"proc/self/cgroup": "5:cpu:/x\n4:memory:/x\n0::/\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "3000\n"}, 3000},
		"version 1, none":    {map[string]string{"proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		"what is not a list": {map[string]string{"proc/self/cgroup": "what\n::\n0::../../..\n", "sys/fs/cgroup/memory.max": "-5\n"}, 0},
	} {
		root := fstest.MapFS{}
		for name, text := range c.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := cgroupMemory(root); got != c.want {
			t.Errorf("%s: %d, expected %d", about, got, c.want)
		}
	}
}
