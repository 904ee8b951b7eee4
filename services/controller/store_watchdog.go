package controller

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/core/startup"
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
	read    uint64    // the revision up to which all values in the state can be read
	said    bool      // that the state is being rewritten, since it was there last
}

// watchdogWait bounds what one check asks of the broker; to read and to rewrite the state of
// many models may take longer.
const watchdogWait = 5 * time.Second

func (g *storeWatchdog) run(ctx context.Context) {
	for {
		if err := g.look(ctx); ctx.Err() == nil {
			g.note(err)
		}
		if !clock.Pause(ctx, g.l.config.StoreCheckEvery) {
			return
		}
	}
}

// note logs the start and the end of an outage, once each.
func (g *storeWatchdog) note(err error) {
	switch away := g.l.storeFault.Load() != nil; {
	case err != nil && !away:
		text := err.Error()
		g.l.storeFault.Store(&text)
		g.l.bus.Log.Warn("state store out of order: loaded models are served, but loads are refused, "+
			"requests cannot wait for activation, and a controller that restarts waits for the store", "error", err)
	case err == nil && away:
		g.l.storeFault.Store(nil)
		g.l.bus.Log.Warn("state store in order again")
	}
}

func (g *storeWatchdog) look(parent context.Context) error {
	ctx, cancel := context.WithTimeout(parent, watchdogWait)
	defer cancel()
	if err := g.openBuckets(ctx); err != nil {
		return err
	}
	if err := g.l.bus.StoreFault(); err != nil {
		return err // reads succeed also where nothing can be written
	}
	state := g.lookAtState(ctx, parent)
	if g.l.fenced(parent, state) {
		return nil
	}
	return cmp.Or(state, g.lookAtBuffer(ctx)) // the buffer may find no room where the state does
}

// openBuckets makes the buckets that are missing, also while nothing can be written: a bucket
// that is missing is a reason for that, and would stay away with it.
func (g *storeWatchdog) openBuckets(ctx context.Context) error {
	if err := g.l.bus.OpenLeases(ctx); err != nil {
		return err
	}
	if _, err := g.l.bus.OpenState(ctx); err != nil {
		return err
	}
	_, err := g.l.bus.OpenProfiles(ctx)
	return err
}

func (g *storeWatchdog) lookAtState(ctx, parent context.Context) error {
	missing, revision, err := g.l.writer.Missing(ctx)
	if err != nil {
		return err
	}
	if missing {
		g.read = 0
		return g.mend(parent, 0, startup.StoreLoss{Stage: true}, "the state store was lost and is being rewritten; a controller that restarts before that begins anew and waits for loads")
	}
	g.said = false
	return g.lookAtValues(parent, revision)
}

// lookAtValues replaces what nobody can read: what the machine has, by that, all else by what
// was stored before.
func (g *storeWatchdog) lookAtValues(ctx context.Context, revision uint64) error {
	broken, read, err := g.l.writer.Unreadable(ctx, g.read)
	if err != nil {
		return err
	}
	if len(broken) > 0 {
		if err := g.replace(ctx, broken, revision); err != nil {
			return err
		}
	}
	g.read = read
	return nil
}

func (g *storeWatchdog) replace(ctx context.Context, broken map[string][]byte, revision uint64) error {
	g.l.bus.Log.Warn("values in the state store cannot be read and are being replaced", "keys", strings.Join(slices.Sorted(maps.Keys(broken)), ", "))
	var loss startup.StoreLoss
	for key := range broken {
		if name, is := strings.CutPrefix(key, "model."); is {
			loss.Models = append(loss.Models, name)
		}
		loss.Stage = loss.Stage || key == "stage"
	}
	if err := g.mend(ctx, revision, loss, "the state is being rewritten"); err != nil {
		return err
	}
	_, err := g.l.writer.Repair(ctx)
	return err
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

// mend writes what the machine says of a loss, over what the store has at a revision.
func (g *storeWatchdog) mend(ctx context.Context, revision uint64, loss startup.StoreLoss, why string) error {
	var mend startup.Mending
	if !g.l.locked(func() { mend = g.l.machine.Mend(loss) }) {
		return nil // the controller stops
	}
	if mend.Stage != 0 {
		if !g.said { // the broker may forget more while it is rewritten
			g.said = true
			g.l.bus.Log.Warn(why, "stage", mend.Stage, "models", len(mend.Models))
		}
		if err := g.l.writer.Raise(ctx); err != nil {
			return err
		}
	}
	for _, m := range mend.Models {
		if err := g.l.writer.PutModel(ctx, m.ModelSpec); err != nil {
			return err
		}
		if !mend.Profiles {
			continue
		}
		if err := g.l.fillProfiles(ctx, m.Profile); err != nil {
			return err
		}
	}
	if mend.Serving {
		if err := g.l.writer.SetQuarantine(ctx, mend.Quarantine); err != nil {
			return err
		}
		g.l.records.put(mend.Workers, func() { g.l.work.Start(func() { g.l.writeRecords(ctx) }) })
	}
	if mend.Stage == 0 {
		return nil
	}
	revision, since, err := g.l.writer.AdvanceStage(ctx, revision, mend.Stage)
	if err != nil {
		return err
	}
	g.l.locked(func() { g.l.stage, g.l.since, g.l.revision = mend.Stage, since, revision })
	g.l.bus.Log.Info("the state store is rewritten", "stage", mend.Stage, "models", len(mend.Models))
	return nil
}
