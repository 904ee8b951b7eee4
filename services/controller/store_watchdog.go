package controller

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/protocol"
	"clockwork/services/frontdoor"
)

// storeWatchdog checks, in the leading controller, that the store exists and
// holds the machine's state, and rewrites it if not: the broker's data may be
// lost while all processes continue. Serving does not depend on the store, so
// the loss would remain unnoticed until a restart.
//
// It does not help a controller that restarts before the store is rewritten, nor
// a standby that takes over in between: they start in QUERYING, with the models
// that all workers hold. One goroutine owns it.
type storeWatchdog struct {
	l       *leader
	watcher *frontdoor.StartupBuffer
	buffer  time.Time // creation time of the buffer's stream, zero before the first check
	away    bool      // the store was not reached at the last check
}

const (
	// watchdogEvery is the interval between two checks.
	watchdogEvery = 2 * time.Second
	// watchdogWait bounds one check, mendWait the rewriting of the store.
	watchdogWait = 5 * time.Second
	mendWait     = time.Minute
)

func (g *storeWatchdog) run(ctx context.Context) {
	for {
		if err := g.look(ctx); ctx.Err() == nil {
			g.note(err)
		}
		if !clock.Pause(ctx, watchdogEvery) {
			return
		}
	}
}

// note logs the start and the end of an outage, once each.
func (g *storeWatchdog) note(err error) {
	switch {
	case err != nil && !g.away:
		g.l.bus.Log.Warn("state store not reached: loaded models are served, but loads are refused, "+
			"requests cannot wait for activation, and a controller that restarts waits for the store", "error", err)
	case err == nil && g.away:
		g.l.bus.Log.Info("state store reached again")
	}
	g.away = err != nil
}

func (g *storeWatchdog) look(parent context.Context) error {
	ctx, cancel := context.WithTimeout(parent, watchdogWait)
	defer cancel()
	if err := g.l.bus.OpenLeases(ctx); err != nil {
		return err
	}
	if _, err := g.l.bus.OpenState(ctx); err != nil {
		return err
	}
	if err := g.lookAtBuffer(ctx); err != nil {
		return err
	}
	stored, _, _, err := g.l.state.Stage(ctx)
	if err != nil || stored != 0 {
		return err
	}
	return g.mend(parent)
}

// lookAtBuffer recreates a missing stream, and makes the StartupBuffer start
// afresh with a stream that it does not know.
func (g *storeWatchdog) lookAtBuffer(ctx context.Context) error {
	created, err := g.l.buffer.Created(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if _, err := g.l.bus.OpenBuffer(ctx, g.l.config.Buffer()); err != nil {
			return err
		}
		created, err = g.l.buffer.Created(ctx)
	}
	if err != nil {
		return err
	}
	if !g.buffer.IsZero() && !created.Equal(g.buffer) {
		if err := g.watcher.Renew(ctx); err != nil {
			return err
		}
	}
	g.buffer = created
	return nil
}

// mend rewrites the machine's state, the stage last: while the stage is missing,
// the next check repeats the rewrite.
func (g *storeWatchdog) mend(ctx context.Context) error {
	var stage protocol.Stage
	var models []protocol.ModelState
	var workers []protocol.WorkerState
	if !g.l.inTurn(ctx, func() { stage, models, workers = g.l.machine.Stage(), g.l.machine.Models(), g.l.machine.Workers() }) || stage == 0 {
		return nil // nothing was stored before
	}
	g.l.bus.Log.Warn("the state store was lost and is being rewritten; a controller that restarts before that begins anew and waits for loads",
		"stage", stage, "models", len(models))
	ctx, cancel := context.WithTimeout(ctx, mendWait)
	defer cancel()
	reasons := map[string]string{}
	for _, m := range models {
		if err := g.l.state.PutModel(ctx, m.ModelSpec); err != nil {
			return err
		}
		for _, p := range m.Profile {
			if err := g.l.state.PutProfile(ctx, p); err != nil {
				return err
			}
		}
		if m.Quarantined != "" {
			reasons[m.Name] = m.Quarantined
		}
	}
	if stage == protocol.Active {
		if err := g.l.state.SetQuarantine(ctx, reasons); err != nil {
			return err
		}
		g.l.storeWorkers(ctx, workers)
	}
	revision, since, err := g.l.state.AdvanceStage(ctx, 0, stage)
	if err != nil {
		return err
	}
	g.l.inTurn(ctx, func() { g.l.stage, g.l.since, g.l.revision = stage, since, revision })
	g.l.bus.Log.Info("the state store is rewritten", "stage", stage, "models", len(models))
	return nil
}
