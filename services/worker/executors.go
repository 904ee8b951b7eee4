package worker

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
)

// onNotice takes news about the executors of the GPUs from the backend's goroutines.
// The backend starts the next executor when onNotice has returned.
func (a *agent) onNotice(n backend.Notice) {
	g, doing := a.gpus[n.Device], strings.Join(n.Models, " ")
	switch n.Kind {
	case backend.ExecutorLost:
		a.bus.Notice(slog.LevelWarn, "an executor ended; its GPU gets another", g.info.UUID, "gpu", n.Device, "device", g.info.UUID, "executing", doing,
			"how", n.Text, "overdue", n.Overdue)
		a.mu.Lock()
		g.lost(n)
		a.step(&work.ExecutorLost{GPU: n.Device, Executor: n.Executor})
		a.unlock()
	case backend.ExecutorReady:
		a.bus.Notice(slog.LevelInfo, "an executor began", g.info.UUID, "gpu", n.Device, "device", g.info.UUID)
		a.mu.Lock()
		a.step(&work.ExecutorReady{GPU: n.Device})
		a.unlock()
	case backend.ExecutorSaid:
		a.bus.Log.Warn("an executor wrote", "gpu", n.Device, "executing", doing, "line", n.Text)
		return
	}
	a.beatNow()
}

// beatNow sends a heartbeat at once, for the scheduler waits for what it says.
func (a *agent) beatNow() {
	a.mu.Lock()
	heartbeats := a.heartbeats
	a.mu.Unlock()
	if heartbeats != nil {
		heartbeats.Now()
	}
}

// lost forgets the weights that an executor held. The caller holds the lock.
func (g *gpu) lost(n backend.Notice) {
	g.losses++
	if n.Overdue {
		g.overdue++
	}
	clear(g.weights)
}

// endOverdue ends the executor of a GPU whose order counts as hung: the order then ends
// with EXECUTOR_LOST. The caller holds the lock.
func (a *agent) endOverdue(o *work.Order) {
	what := map[protocol.Kind]string{protocol.Infer: "executing", protocol.LoadWeights: "loading", protocol.EvictWeights: "evicting"}[o.Action.Kind]
	if what == "" {
		what = "clearing"
	}
	expected := "no expected time"
	if o.Action.Expected > 0 {
		expected = fmt.Sprintf("%v expected", o.Action.Expected.Round(time.Microsecond))
	}
	a.gpus[o.GPU].device.End(fmt.Sprintf("it was %s %s for more than %v, with %s", what, o.Action.Model,
		a.config.Overdue.After(o.Action.Expected).Round(time.Millisecond), expected))
}

// endStart ends the start of an executor that counts as hung; another one is started. The
// caller holds the lock.
func (a *agent) endStart(s work.HungStart) {
	g := a.gpus[s.GPU]
	a.bus.Notice(slog.LevelWarn, "an executor does not become ready; it is ended, and another started", g.info.UUID, "gpu", s.GPU, "device", g.info.UUID, "after", s.After)
	g.device.EndStart(fmt.Sprintf("it was not ready after %v", s.After))
}

// endBusy ends the executors of GPUs that are still at something when the worker stops:
// it may never end.
func (a *agent) endBusy() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, g := range a.gpus {
		if execution, transfer := a.core.Running(g.index); execution != nil || transfer != nil {
			g.device.End("the worker stops")
		}
	}
}
