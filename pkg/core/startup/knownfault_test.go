package startup

import (
	"strings"
	"testing"
)

// A fault of the original (OSDI 2020, its published controller): one load that
// fails among several workers aborts the controller. Here that would be a panic,
// a load without a reply, or a startup that goes no further.
// go test -run KnownFault finds the tests of the others as well.

// threeWorkers is a startup in LOADING with three workers.
const threeWorkers = `
0s started LOADING
0s seen w1
0s seen w2
0s seen w3
0s state w1
0s state w2
0s state w3
`

func TestKnownFaultOneFailedLoadEndsTheStartup(t *testing.T) {
	out := newScript(t).play(threeWorkers + `
1s load 1 zoo/a
1s load 2 zoo/b
2s ok w1 zoo/a
2s NO_MEMORY w2 zoo/a
2s ok w3 zoo/a
3s ok w1 zoo/b
3s ok w2 zoo/b
3s ok w3 zoo/b
3s cleared w1
3s cleared w3
3s stored
13s tick
13s stage PROFILING
13s profiler 1 0
`)
	inOrder(t, out,
		"reply 1 PARTIAL_LOAD", "w2: NO_MEMORY", // the load is answered, and says where it failed
		"store 1 [b]", "reply 2 OK b", // the next is loaded everywhere
		"set stage PROFILING", "profile") // and the startup goes on with it
}

// The same where the worker whose load fails came later: it serves nothing, no load is
// judged by it, and all others go on.
func TestKnownFaultALatecomersFailedLoadEndsTheStartup(t *testing.T) {
	out := newScript(t).play(threeWorkers + `
1s load 1 zoo/a
2s ok w1 zoo/a
2s ok w2 zoo/a
2s ok w3 zoo/a
2s stored
3s seen w4
3s state w4
4s NO_MEMORY w4 zoo/a
5s load 2 zoo/b
6s ok w1 zoo/b
6s ok w2 zoo/b
6s ok w3 zoo/b
6s stored
6s NO_MEMORY w4 zoo/b
16s tick
`)
	inOrder(t, out, "reply 1 OK a", "w4 LoadModelFromDisk", "model_missing w4 a NO_MEMORY", "store 2", "reply 2 OK b", "set stage PROFILING")
}

// inOrder checks that the texts stand in out, one after the other.
func inOrder(t *testing.T, out string, texts ...string) {
	t.Helper()
	rest := out
	for _, text := range texts {
		_, after, found := strings.Cut(rest, text)
		if !found {
			t.Fatalf("%q is missing, or comes too early, in:\n%s", text, out)
		}
		rest = after
	}
}
