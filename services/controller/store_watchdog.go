package controller

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/core/startup"
	"clockwork/pkg/protocol"
	"clockwork/services/frontdoor"
)

// storeWatchdog carries out the errands of a startup.StoreWatch in the leading controller. One
// goroutine owns it.
type storeWatchdog struct {
	l       *leader
	watch   *startup.StoreWatch
	watcher *frontdoor.StartupBuffer
	// revision is that of the stage, as last seen.
	revision uint64
}

func newStoreWatchdog(l *leader, watcher *frontdoor.StartupBuffer) *storeWatchdog {
	return &storeWatchdog{l: l, watch: startup.NewStoreWatch(l.readable), watcher: watcher}
}

// watchdogWait bounds what one look asks of the broker; to read and to rewrite the state of
// many models may take longer.
const watchdogWait = 5 * time.Second

func (g *storeWatchdog) run(ctx context.Context) {
	for {
		g.look(ctx)
		if !clock.Pause(ctx, g.l.config.StoreCheckEvery) {
			return
		}
	}
}

func (g *storeWatchdog) look(parent context.Context) {
	ctx, cancel := context.WithTimeout(parent, watchdogWait)
	defer cancel()
	order := g.watch.Step(startup.StoreAnswer{})
	for order.Errand != startup.NoErrand {
		answer, err := g.carryOut(ctx, parent, &order)
		if parent.Err() != nil {
			return // the controller stops
		}
		if err != nil {
			answer.Fault, answer.Fenced = err.Error(), g.l.fenced(parent, err)
		}
		order = g.watch.Step(answer)
	}
	if order.Turned {
		g.note(order.Fault)
	}
}

// note logs the begin or the end of an outage, and shows it.
func (g *storeWatchdog) note(fault string) {
	if fault == "" {
		g.l.storeFault.Store(nil)
		g.l.bus.Log.Warn("state store in order again")
		return
	}
	g.l.storeFault.Store(&fault)
	g.l.bus.Log.Warn("state store out of order: loaded models are served, but loads are refused, "+
		"requests cannot wait for activation, and a controller that restarts waits for the store", "error", fault)
}

// carryOut carries out an errand; long is for those that may take longer than ctx lasts.
func (g *storeWatchdog) carryOut(ctx, long context.Context, order *startup.StoreOrder) (a startup.StoreAnswer, err error) {
	l := g.l
	switch order.Errand {
	case startup.OpenBuckets:
		err = g.openBuckets(ctx)
	case startup.CheckWrites:
		err = l.bus.StoreFault()
	case startup.LookAtState:
		if a.Missing, g.revision, err = l.writer.Missing(ctx); a.Missing {
			g.revision = 0
		}
	case startup.ReadValues:
		var broken map[string][]byte
		broken, a.Upto, err = l.writer.Unreadable(long, order.Readable)
		if a.Broken = len(broken) > 0; a.Broken {
			a.Loss = g.lossOf(broken)
		}
	case startup.MendState:
		a.Rewrites, err = g.mend(long, order)
	case startup.RepairValues:
		_, err = l.writer.Repair(long)
	case startup.LookAtBuffer:
		var made time.Time
		made, err = l.buffer.Created(ctx)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return a, nil
		}
		a.Made = made.UnixNano()
	case startup.MakeBuffer:
		_, err = l.bus.OpenBuffer(ctx, l.config.Buffer())
	case startup.RenewBuffer:
		err = g.watcher.Renew(ctx)
	}
	return a, err
}

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

// lossOf says what values that nobody can read are of.
func (g *storeWatchdog) lossOf(broken map[string][]byte) (loss startup.StoreLoss) {
	g.l.bus.Log.Warn("values in the state store cannot be read and are being replaced", "keys", strings.Join(slices.Sorted(maps.Keys(broken)), ", "))
	for key := range broken {
		if name, is := strings.CutPrefix(key, "model."); is {
			loss.Models = append(loss.Models, name)
		}
		loss.Stage = loss.Stage || key == "stage"
	}
	return loss
}

// mend writes what the machine says of a loss; rewrites: all of the state.
func (g *storeWatchdog) mend(ctx context.Context, order *startup.StoreOrder) (rewrites bool, err error) {
	var writes []startup.Write
	g.l.locked(func() { writes = g.l.machine.Mend(order.Loss) })
	for i := range writes {
		w := &writes[i]
		if w.Kind == startup.RaiseFence {
			rewrites = true
			if order.Tell {
				g.tell(order.Lost, writes[len(writes)-1].Stage)
			}
		}
		if err := g.write(ctx, w); err != nil {
			return rewrites, err
		}
	}
	return rewrites, nil
}

// tell logs that the state is written again, before it is.
func (g *storeWatchdog) tell(lost bool, stage protocol.Stage) {
	why := "the state is being rewritten"
	if lost {
		why = "the state store was lost and is being rewritten; a controller that restarts before that begins anew and waits for loads"
	}
	g.l.bus.Log.Warn(why, "stage", stage)
}

func (g *storeWatchdog) write(ctx context.Context, w *startup.Write) error {
	l := g.l
	switch w.Kind {
	case startup.RaiseFence:
		return l.writer.Raise(ctx)
	case startup.WriteModel:
		return l.writer.PutModel(ctx, w.Model.ModelSpec)
	case startup.WriteProfiles:
		return l.fillProfiles(ctx, w.Model.Profile)
	case startup.WriteQuarantine:
		return l.writer.SetQuarantine(ctx, w.Quarantine)
	case startup.WriteWorkers:
		l.records.put(w.Workers, func() { l.work.Start(func() { l.writeRecords(ctx) }) })
	case startup.WriteStage:
		revision, since, err := l.writer.AdvanceStage(ctx, g.revision, w.Stage)
		if err != nil {
			return err
		}
		l.locked(func() { l.stage, l.since, l.revision = w.Stage, since, revision })
		l.bus.Log.Info("the state store is rewritten", "stage", w.Stage)
	}
	return nil
}
