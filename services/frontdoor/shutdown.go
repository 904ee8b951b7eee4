package frontdoor

import (
	"time"

	"clockwork/pkg/core/frontdoor"
)

// drainWait bounds how long a stopping front door takes requests that its
// clients sent before.
const drainWait = 2 * time.Second

// Stop stops the front door: requests sent before are still taken and answered
// normally for Config.StopWait; then the remaining requests are answered
// SHUTTING_DOWN.
func (d *FrontDoor) Stop() {
	defer d.unregister()
	if d.taking != nil {
		d.drain()
	}
	if d.heartbeats != nil { // otherwise Start failed
		d.finish()
	}
	d.leave()
	for _, sub := range d.subs {
		_ = sub.Unsubscribe() // the subscription ends with the connection at the latest
	}
	d.live.stop()
	if d.beats != nil {
		d.beats.Stop()
	}
	if d.heartbeats != nil {
		d.heartbeats.Stop()
	}
	d.mu.Lock()
	d.stopping = true
	d.mu.Unlock()
	d.cancel()
	d.work.Stop()
	d.timer.Stop()
	d.step(&frontdoor.Stop{})
}

// drain ends the subscription to infer and waits until the pending requests are
// taken.
func (d *FrontDoor) drain() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	drained := make(chan struct{})
	d.taking.SetClosedHandler(func(string) { close(drained) })
	if err := d.taking.Drain(); err != nil {
		return // the broker is unreachable, and so are the requests
	}
	select {
	case <-drained:
	case <-time.After(drainWait):
	}
}

// finishEvery is the interval between checks whether all requests are answered.
const finishEvery = 5 * time.Millisecond

// finish waits until all requests are answered, for at most StopWait.
func (d *FrontDoor) finish() {
	for end := time.Now().Add(d.config.StopWait); time.Now().Before(end); time.Sleep(finishEvery) {
		if d.snapshot().InFlight == 0 {
			return
		}
	}
}
