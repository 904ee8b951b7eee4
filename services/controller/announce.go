package controller

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

const (
	// announceEvery is the pause before an unconfirmed WorkerJoined is sent again.
	announceEvery = 200 * time.Millisecond
	// announceWait bounds the wait for the scheduler's confirmation.
	announceWait = time.Second
)

// announce sends WorkerJoined to the scheduler again and again until the active
// one confirms it: the message or its reply may be lost, there may be no active
// scheduler yet, or a scheduler that has lost its lease may have confirmed.
// Repetition does no harm: the scheduler records an incarnation of a worker
// once.
func (l *leader) announce(ctx context.Context, w protocol.WorkerState) {
	body := wire.Join.Encode(&w)
	for tried := 0; ; tried++ {
		err := l.announceOnce(ctx, body)
		if err == nil || ctx.Err() != nil {
			return
		}
		if tried == 0 {
			l.bus.Notice(slog.LevelInfo, "worker not announced to the scheduler yet; trying again", w.ID, "worker", w.ID, "error", err)
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
	if epoch, _, _ := l.door.Scheduler(); by.Epoch < epoch {
		return fmt.Errorf("the scheduler of epoch %d took it, active is that of %d", by.Epoch, epoch)
	}
	return nil
}

// announcing holds the workers being announced, with the function that cancels
// each. The machine's goroutine owns it.
type announcing map[string]context.CancelFunc

// begin returns the context for announcing a worker, and cancels the worker's
// previous one.
func (a announcing) begin(ctx context.Context, id string) context.Context {
	a.end(id)
	ctx, a[id] = context.WithCancel(ctx)
	return ctx
}

// end cancels the announcement of a worker.
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
