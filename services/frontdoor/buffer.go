package frontdoor

import (
	"context"
	"time"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// Keeper watches the startup buffer in the one controller that leads; its front door's
// core decides when a request's time is over and when it is handed over.
type StartupBuffer struct {
	door    *FrontDoor
	renewed chan struct{} // the buffer was lost and made again
}

// claimWait bounds how long the store may take to give up a request.
const claimWait = 2 * time.Second

// NewKeeper makes a keeper of the buffer for a front door; Run lets it work.
func NewStartupBuffer(door *FrontDoor) *StartupBuffer {
	return &StartupBuffer{door: door, renewed: make(chan struct{})}
}

// Run works until ctx ends, with a new watch for each buffer.
func (k *StartupBuffer) Run(ctx context.Context) {
	d := k.door
	defer d.step(&frontdoor.KeeperEnded{})
	for ctx.Err() == nil {
		stop, err := d.buffer.Watch(ctx, d.onBuffered)
		if err != nil {
			d.bus.Log.Warn("buffer not watched", "error", err)
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

// Renew says that the buffer was lost and made again. It waits until the keeper
// has heard it.
func (k *StartupBuffer) Renew(ctx context.Context) error {
	select {
	case k.renewed <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// onBuffered takes note of a stored request.
func (d *FrontDoor) onBuffered(b bus.Buffered) {
	d.step(&frontdoor.BufferSeen{
		Seq: b.Seq, Model: b.Model, Reply: b.Reply, Encoding: b.Encoding, Budget: b.Budget, Age: time.Since(b.Stored),
		Driver: &client{trace: d.traceOf(&b)},
	})
}

// startClaim claims a stored request beside other work. The caller holds the lock.
func (d *FrontDoor) startClaim(c frontdoor.Claim) {
	d.work.Start(func() { // else this front door stops, and the next keeper serves it
		e := d.claimBuffered(c)
		d.step(&e)
	})
}

// claimBuffered reads a stored request and takes it out of the store.
func (d *FrontDoor) claimBuffered(c frontdoor.Claim) frontdoor.Claimed {
	ctx, cancel := context.WithTimeout(context.Background(), claimWait)
	defer cancel()
	e := frontdoor.Claimed{Seq: c.Seq}
	var body []byte
	var err error
	if c.Read {
		if body, err = d.buffer.Body(ctx, c.Seq); err == nil && body == nil {
			return e // somebody answered it
		}
	}
	if err == nil {
		e.Mine, err = d.buffer.Claim(ctx, c.Seq)
	}
	if err != nil {
		d.bus.Log.Warn("buffered request not claimed", "error", err)
		e.Unknown = true
		return e
	}
	if e.Mine && c.Read {
		e.Bytes = len(body)
		_, e.Fault = d.decode(body, &c.Spec, c.Known, &e.Read)
	}
	return e
}

// traceOf is the trace of a request that was in the startup buffer.
func (d *FrontDoor) traceOf(b *bus.Buffered) watch.Trace {
	if b.Traceparent == "" {
		return d.config.Telemetry.Trace(nil)
	}
	return d.config.Telemetry.Trace(map[string][]string{bus.TraceHeader: {b.Traceparent}})
}

// traceparent is what a request leaves in the startup buffer of the trace that its
// client has begun. Whoever answers it decides anew whether that is recorded.
func traceparent(t watch.Trace) string {
	if t.Parent == [8]byte{} {
		return ""
	}
	return t.Traceparent()
}

// Scheduler returns the epoch of the active scheduler, 0 for none, and how the
// schedulers that are heard stand.
func (d *FrontDoor) Scheduler() (uint64, protocol.ServiceState) {
	d.mu.Lock()
	epoch := d.core.Epoch()
	d.mu.Unlock()
	switch {
	case epoch != 0:
		return epoch, protocol.SchedulerActive
	case len(d.beats.Alive()) > 0:
		return 0, protocol.Standby
	}
	return 0, protocol.SchedulerAbsent
}
