package frontdoor

import (
	"clockwork/pkg/core/frontdoor"
	"time"
)

// drainWait bounds how long a door that closes goes on taking what its clients
// sent before.
const drainWait = 2 * time.Second

// Stop closes the door: what clients sent before is taken still and answered as
// ever for Config.StopWait; what is in flight then is answered SHUTTING_DOWN.
func (d *FrontDoor) Stop() {
	defer d.unregister()
	if d.taking != nil {
		d.drain()
	}
	if d.heartbeats != nil { // else it was never open
		d.finish()
	}
	for _, sub := range d.subs {
		_ = sub.Unsubscribe() // it ends with the connection at the latest
	}
	d.live.stop()
	if d.beats != nil {
		d.beats.Stop()
	}
	if d.heartbeats != nil {
		d.heartbeats.Stop()
	}
	d.cancel()
	d.work.Stop()
	d.timer.Stop()
	d.step(&frontdoor.Stop{})
}

// drain gives up the subscription to infer and waits until what had arrived
// was taken.
func (d *FrontDoor) drain() {
	drained := make(chan struct{})
	d.taking.SetClosedHandler(func(string) { close(drained) })
	if err := d.taking.Drain(); err != nil {
		return // the broker is gone; so are the requests
	}
	select {
	case <-drained:
	case <-time.After(drainWait):
	}
}

// finishEvery is how often a door that closes looks whether all is answered.
const finishEvery = 5 * time.Millisecond

// finish waits until everything that was taken is answered.
func (d *FrontDoor) finish() {
	for end := time.Now().Add(d.config.StopWait); time.Now().Before(end); time.Sleep(finishEvery) {
		if d.snapshot().InFlight == 0 {
			return
		}
	}
}
