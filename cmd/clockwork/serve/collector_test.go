package serve

import (
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

func TestTheHeapGrowsByWhatIsScanned(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		about          string
		scanned, alive uint64
		want           int
	}{
		{"nothing yet", 0, 0, 400},
		{"small messages", 100 * mib, 105 * mib, 400},
		{"some payloads", 10 * mib, 60 * mib, 173},
		{"many payloads", 10 * mib, 400 * mib, 50},
		{"a large state", 800 * mib, 900 * mib, 362},
	} {
		if got := growth(test.scanned, test.alive); got != test.want {
			t.Errorf("%s: %d %%, want %d", test.about, got, test.want)
		}
	}
}

// Payloads that are alive make the percentage fall, and it rises again without them: in a
// process of its own, for it is the whole process's.
func TestThePercentageFollowsPayloads(t *testing.T) {
	const child = "CLOCKWORK_TEST_COLLECTOR"
	if os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run", t.Name())
		cmd.Env = append(os.Environ(), child+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	os.Unsetenv("GOGC")
	TuneCollector()
	payloads := make([][]byte, 200)
	for i := range payloads {
		payloads[i] = make([]byte, 1<<20)
	}
	awaitPercent(t, func(p int) bool { return p < 100 })
	runtime.KeepAlive(payloads)
	payloads = nil
	awaitPercent(t, func(p int) bool { return p == mostPercent })
}

func awaitPercent(t *testing.T, wanted func(int) bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		runtime.GC()
		now := debug.SetGCPercent(mostPercent)
		debug.SetGCPercent(now)
		if wanted(now) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the percentage is %d", now)
		}
	}
}
