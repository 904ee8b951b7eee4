package serve

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// TuneCollector sets how far the heap may grow between two collections. With Go's default
// every few large payloads start one; with a large percentage, live payloads let the heap
// grow by several times their size. But what a collection costs is what it scans, and it does
// not scan payloads. So the heap may grow by a multiple of what is scanned, and by a fixed
// size for payloads. GOGC takes precedence.
func TuneCollector() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(mostPercent)
	afterCollection(mostPercent)
}

const (
	// mostPercent and leastPercent are how far the heap may grow, in percent of what is
	// alive: the most holds where everything is scanned.
	mostPercent  = 400
	leastPercent = 50
	// payloadBytes is by how much payloads may let the heap grow.
	payloadBytes = 64 << 20
)

// afterCollection adapts the percentage after each collection. Setting it stops all
// goroutines for a moment, so a little change is left out.
func afterCollection(now int) {
	const little = 10 // a tenth
	runtime.AddCleanup(new(sentinel), func(now int) {
		wanted := growth(heap())
		if change := wanted - now; change > now/little || -change > now/little {
			debug.SetGCPercent(wanted)
			now = wanted
		}
		afterCollection(now)
	}, now)
}

// sentinel is not alive after the next collection. It has a pointer, so that no other
// object shares its memory.
type sentinel struct{ _ *byte }

// heap returns the bytes of the heap that collections scan, and those that were alive after
// the last one.
func heap() (scanned, alive uint64) {
	samples := []metrics.Sample{{Name: "/gc/scan/heap:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}

// growth returns by how many percent of what is alive the heap may grow.
func growth(scanned, alive uint64) int {
	bytes := mostPercent/100*scanned + payloadBytes
	return int(min(max(100*bytes/max(alive, 1), leastPercent), mostPercent))
}
