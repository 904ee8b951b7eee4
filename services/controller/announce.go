package controller

import (
	"context"
	"fmt"
	"time"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

const (
	// announceEvery is the pause before a worker is announced again.
	announceEvery = 200 * time.Millisecond
	// announceWait is how long the scheduler may take to confirm it.
	announceWait = time.Second
)

// announce tells the scheduler of a worker until the active one has confirmed it:
// either message may be lost, nobody may be active yet, or a scheduler that lost
// its lease may have taken the message. The scheduler takes note of a life of a
// worker once, however often it is told.
func (l *leader) announce(ctx context.Context, w protocol.WorkerState) {
	body := wire.Join.Encode(&w)
	for tried := 0; ; tried++ {
		err := l.announceOnce(ctx, body)
		if err == nil || ctx.Err() != nil {
			return
		}
		if tried == 0 {
			l.bus.Log.Info("worker not announced to the scheduler yet; trying again", "worker", w.ID, "error", err)
		}
		clock.Pause(ctx, announceEvery)
	}
}

func (l *leader) announceOnce(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, announceWait)
	defer cancel()
	answer, err := l.bus.RequestChunks(ctx, l.bus.Payload, l.bus.Subjects.SchedulerJoin(), body)
	if err != nil {
		return err
	}
	by, fault := wire.Heartbeat.Decode(answer.Data)
	if fault != nil {
		return fault
	}
	if epoch, _ := l.door.Scheduler(); by.Epoch < epoch {
		return fmt.Errorf("the scheduler of epoch %d took it, active is that of %d", by.Epoch, epoch)
	}
	return nil
}

// announcing are the workers that the scheduler is being told of. The machine's
// goroutine owns it.
type announcing map[string]context.CancelFunc

// begin returns the context of telling of a worker, in place of what was told of
// it before.
func (a announcing) begin(ctx context.Context, id string) context.Context {
	a.end(id)
	ctx, a[id] = context.WithCancel(ctx)
	return ctx
}

// end: the worker is gone, or told of in another way.
func (a announcing) end(id string) {
	if cancel := a[id]; cancel != nil {
		cancel()
		delete(a, id)
	}
}

func (a announcing) endAll() {
	for id := range a {
		a.end(id)
	}
}
