package controller

import (
	"context"
	"log/slog"
	"time"

	"clockwork/pkg/core/startup"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// announceWait bounds the wait for the scheduler's confirmation.
const announceWait = time.Second

// announce tells the scheduler of a worker, and reports to the machine that it was
// confirmed. The machine has a worker announced again that is not.
func (l *leader) announce(ctx context.Context, w protocol.WorkerState) {
	by, err := l.announceTo(ctx, wire.Join.Encode(&w))
	if err != nil {
		l.bus.Notice(slog.LevelInfo, "worker not announced to the scheduler yet; trying again", w.ID, "worker", w.ID, "error", err)
		return
	}
	l.step(ctx, startup.JoinConfirmed{ID: w.ID, Incarnation: w.Incarnation, Epoch: by.Epoch})
}

// announceTo returns the heartbeat with which the scheduler answers.
func (l *leader) announceTo(ctx context.Context, body []byte) (by protocol.Heartbeat, err error) {
	ctx, cancel := context.WithTimeout(ctx, announceWait)
	defer cancel()
	answer, err := l.bus.RequestChunks(ctx, l.bus.Payload, l.bus.Subjects.SchedulerJoin(), body)
	if err != nil {
		return by, err
	}
	by, fault := wire.Heartbeat.Decode(answer.Data)
	if fault != nil {
		return by, fault
	}
	return by, nil
}
