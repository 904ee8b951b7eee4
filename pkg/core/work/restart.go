package work

import (
	"fmt"
	"time"

	"clockwork/pkg/protocol"
)

// After an executor has ended, the driver starts the next one. A start may hang as an execution
// may: its time is bounded, and then the driver ends it and starts another. Each start in vain
// gives the next one twice as long, since a machine under load is slow and does not hang.

// restart is the start of a GPU's next executor.
type restart struct {
	// since is when the last executor that was ready ended. vain counts the starts since then
	// that failed or were ended.
	since protocol.Time
	vain  int
	// due is when the present start counts as hung, Never if none does. spared: it was
	// postponed once, since the worker itself stood still.
	due    protocol.Time
	spared bool
}

// maxDoubling bounds how long the later starts may take: 8 times as long as the first.
const maxDoubling = 3

// RestartAfter returns how long the start of an executor may take after so many in vain, 0 for
// any time.
func (c *Config) RestartAfter(vain int) time.Duration {
	return min(c.RestartWithin, maxAfter) << min(vain, maxDoubling)
}

// restarts notes that the driver starts the next executor now.
func (g *gpu) restarts() {
	r := &g.restart
	if g.down {
		r.vain++
	} else {
		*r = restart{since: g.worker.now}
	}
	g.down, r.spared = true, false
	g.expectReady()
}

// expectReady sets when the present start counts as hung.
func (g *gpu) expectReady() {
	r := &g.restart
	r.due = protocol.Never
	if after := g.worker.config.RestartAfter(r.vain); after > 0 {
		r.due = g.worker.now.Add(after)
	}
	g.worker.out.Wake = min(g.worker.out.Wake, r.due)
}

// ready notes that the next executor is ready.
func (g *gpu) ready() { g.down, g.restart = false, restart{due: protocol.Never} }

// overdueRestart outputs a start that counts as hung, again after as long if it does not end
// then. If this worker stood still, it may not have been told that the executor is ready.
func (g *gpu) overdueRestart() {
	w, r := g.worker, &g.restart
	switch {
	case r.due > w.now:
	case w.now.Sub(r.due) > stoodStill && !r.spared:
		r.due, r.spared = w.now.Add(w.config.RestartWithin), true
	default:
		w.out.HungStarts = append(w.out.HungStarts, HungStart{GPU: g.index, After: w.config.RestartAfter(r.vain)})
		g.expectReady()
	}
	w.out.Wake = min(w.out.Wake, r.due)
}

// restarting says why a GPU without an executor gets nothing done.
func (g *gpu) restarting() string {
	why := "its executor ended, and the next one is not ready"
	if vain := g.restart.vain; vain > 0 {
		why = fmt.Sprintf("its executor ended %v ago, and of the next ones %d did not begin", g.worker.now.Sub(g.restart.since).Round(time.Second), vain)
	}
	return why
}
