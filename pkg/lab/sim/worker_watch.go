package sim

import (
	"clockwork/pkg/core/liveness"
	"clockwork/pkg/protocol"
)

// workerWatch follows the workers for a service, as the shells of controller and profiler do.
type workerWatch struct {
	liveness.Watch
	report func(liveness.Change)
}

// heard takes a worker's heartbeat.
func (w *workerWatch) heard(h protocol.Heartbeat) {
	changes, _ := w.Beat(h)
	w.reportAll(changes)
}

// tick advances the watch and reports the lost ones.
func (w *workerWatch) tick() { w.reportAll(w.Tick()) }

func (w *workerWatch) reportAll(changes []liveness.Change) {
	for _, c := range changes {
		w.report(c)
	}
}
