package frontdoor

import (
	"time"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
)

// Stop stops the front door: requests sent before are still taken and answered
// normally for Config.StopWait; then the remaining requests are answered
// SHUTTING_DOWN.
func (d *FrontDoor) Stop() {
	defer d.unregister()
	d.mu.Lock()
	d.taking = protocol.FrontDoorClosed
	d.mu.Unlock()
	d.broker.drain()
	if d.heartbeats != nil { // otherwise Start failed
		d.finish()
	}
	d.leave()
	d.broker.close()
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
