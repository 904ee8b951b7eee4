package frontdoor

import (
	"context"
	"log/slog"
	"time"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// StartupBuffer watches the startup buffer in the leading controller. The core
// of its front door decides when a buffered request expires and when it is
// submitted.
type StartupBuffer struct {
	door    *FrontDoor
	renewed chan struct{} // the buffer was lost and recreated
}

// claimWait bounds the store operations of one claim.
const claimWait = 2 * time.Second

// NewStartupBuffer makes a StartupBuffer for a front door; Run starts it.
func NewStartupBuffer(door *FrontDoor) *StartupBuffer {
	return &StartupBuffer{door: door, renewed: make(chan struct{})}
}

// Run runs until ctx ends, with a new watch for each recreated buffer.
func (k *StartupBuffer) Run(ctx context.Context) {
	d := k.door
	defer d.step(&frontdoor.BufferReleased{})
	var complaint bus.Complaint
	for ctx.Err() == nil {
		stop, err := d.buffer.Watch(ctx, d.onBuffered)
		if err != nil {
			complaint.Warn(d.bus.Log, time.Now(), "buffer not watched", err)
			clock.Pause(ctx, 200*time.Millisecond)
			continue
		}
		select {
		case <-ctx.Done():
			stop()
		case <-k.renewed:
			stop()
			d.step(&frontdoor.BufferLost{})
		}
	}
}

// Renew reports that the buffer was lost and recreated. It waits until Run has
// received that.
func (k *StartupBuffer) Renew(ctx context.Context) error {
	select {
	case k.renewed <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// onBuffered reports a stored request to the core.
func (d *FrontDoor) onBuffered(b bus.Buffered) {
	d.step(&frontdoor.BufferSeen{
		BufferedID: frontdoor.BufferedID{Seq: b.Seq, Stored: b.Stored.UnixNano()}, Model: b.Model, Reply: b.Reply, Encoding: b.Encoding, Budget: b.Budget, Age: time.Since(b.Stored), Bytes: b.Bytes,
		Driver: &client{Exchange: &natsExchange{ingress: d.broker, reply: b.Reply, encoding: b.Encoding}, trace: d.traceOf(&b)},
	})
}

// startClaim claims a stored request in the background. The caller holds the
// lock.
func (d *FrontDoor) startClaim(c frontdoor.Claim) {
	d.work.Start(func() { // if not started: this front door stops, and the next leader serves the request
		e := d.claimBuffered(c)
		d.step(&e)
	})
}

// claimBuffered reads a stored request and removes it from the store.
func (d *FrontDoor) claimBuffered(c frontdoor.Claim) frontdoor.Claimed {
	ctx, cancel := context.WithTimeout(context.Background(), claimWait)
	defer cancel()
	e := frontdoor.Claimed{BufferedID: c.BufferedID}
	body, err := d.buffer.Body(ctx, c.Seq, time.Unix(0, c.Stored))
	if err == nil && body == nil {
		return e // the request was already answered
	}
	if err == nil {
		e.Mine, err = d.buffer.Claim(ctx, c.Seq)
	}
	if err != nil {
		d.bus.Notice(slog.LevelWarn, "buffered request not claimed", "", "error", err)
		e.Unknown = true
		return e
	}
	if e.Mine {
		e.Bytes = len(body)
		_, e.Fault = decode(body, &c.Spec, c.Known, &e.Read)
	}
	return e
}

// traceOf returns the trace of a buffered request.
func (d *FrontDoor) traceOf(b *bus.Buffered) watch.Trace {
	if b.Traceparent == "" {
		return d.config.Telemetry.Trace(nil)
	}
	return d.config.Telemetry.Trace(map[string][]string{bus.TraceHeader: {b.Traceparent}})
}

// traceparent returns the trace context that is stored with a buffered request.
// Whether the trace is recorded is decided again when the request is answered.
func traceparent(t watch.Trace) string {
	if t.Parent == [8]byte{} {
		return ""
	}
	return t.Traceparent()
}

// Scheduler returns the epoch of the active scheduler, 0 for none, its capacity, and the
// state of the schedulers.
func (d *FrontDoor) Scheduler() (epoch uint64, capacity protocol.Capacity, state protocol.ServiceState) {
	s := d.snapshot()
	switch {
	case s.Epoch != 0:
		return s.Epoch, s.Capacity, protocol.SchedulerActive
	case len(d.beats.Alive()) > 0:
		return 0, capacity, protocol.Standby
	}
	return 0, capacity, protocol.ServiceAbsent
}
