// Package simworker puts workers into the seeded worlds of the cores' tests: their core
// (pkg/core/work) with GPUs in virtual time (pkg/core/work/virtual), on the clock of a world
// (pkg/testkit/simtime). What a world adds are durations, failures and the network.
package simworker

import (
	"time"

	"clockwork/pkg/core/work/virtual"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/simtime"
)

// Time is the part of a virtual.World that a world's clock alone decides.
type Time struct{ Clock *simtime.Clock }

// Now returns the time of the world, which is the worker's.
func (t Time) Now() protocol.Time { return t.Clock.Now }

// After calls do after d.
func (t Time) After(d time.Duration, do func()) { t.Clock.After(d, do) }

// EndIn ends a run after d.
func (t Time) EndIn(d time.Duration, r *virtual.Run) {
	t.Clock.After(d, func() { r.GPU.Worker.End(r) })
}

// WakeIn wakes a worker after d.
func (t Time) WakeIn(d time.Duration, w *virtual.Worker, turn uint64) {
	t.Clock.After(d, func() { w.Wake(turn) })
}
