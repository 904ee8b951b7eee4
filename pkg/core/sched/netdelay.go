package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// Messages to a worker and back take time that every plan has to contain, and that
// differs from stack to stack: 0.1 ms within a host, 10 ms between sites. It is learned
// from results, which say when the action arrived and when the result left, in this
// core's time. Config.Future has room for a near one, and for one
// message that is late; it stands for the way until enough is known.
//
//	door --> core --> worker --> door
//	           \-----> door -----^
//
// A hop is taken to be the same everywhere. An action comes after one, the inputs
// of its requests after two, through their door. A request was one hop under way
// to the core, and its outputs will be one to their door.

// netDelay is what is known of the messages to a worker and from it.
type netDelay struct {
	toWorker, fromWorker minDelay
	updatedAt            protocol.Time // when it last learned
}

// minDelay is the least that a message took of late: of the last window samples and
// those of the window before. A machine that stands still for a moment delays
// many messages as no network does, and they all come at once; the least knows
// better as soon as one comes in time.
type minDelay struct {
	now, before time.Duration
	samples     int
}

const window = 16

func (h *minDelay) add(took time.Duration) {
	took = max(0, took)
	switch {
	case h.samples == 0:
		h.now, h.before = took, took
	case h.samples%window == 0:
		h.now, h.before = took, h.now
	default:
		h.now = min(h.now, took)
	}
	h.samples++
}

func (h *minDelay) value() time.Duration { return min(h.now, h.before) }

// observeDelay takes note of an action's way and its result's.
func (c *engine) observeDelay(a *action, r *protocol.Result) {
	if r.Received == 0 || r.Sent == 0 {
		return
	}
	for _, w := range []*netDelay{&a.replica.gpu.worker.delay, &c.fleetDelay} {
		w.toWorker.add(r.Received.Sub(a.sent))
		w.fromWorker.add(c.now.Sub(r.Sent))
		w.updatedAt = c.now
	}
}

// resetDelays forgets the way to workers that refused requests may have been for, if
// nothing was learned for a while: what is refused brings no samples.
func (c *engine) resetDelays(m *model) {
	c.fleetDelay.resetIfOld(c.now)
	for _, r := range m.replicas {
		r.gpu.worker.delay.resetIfOld(c.now)
	}
}

func (w *netDelay) resetIfOld(now protocol.Time) {
	if now.Sub(w.updatedAt) >= estimateTrust {
		*w = netDelay{updatedAt: now}
	}
}

// expected is what it takes until an Infer with these members can begin, as far as
// that is known; else it is longer than any plan.
func (w *netDelay) expected(members []*request) time.Duration {
	if w.toWorker.samples == 0 {
		return time.Hour
	}
	for _, r := range members {
		if !r.Generated {
			return 2 * w.toWorker.value() // their inputs come through their door
		}
	}
	return w.toWorker.value()
}

// inferDelay is how long from now on an Infer can begin at an idle GPU.
func (p *clockworkPolicy) inferDelay(w *netDelay) time.Duration {
	if p.Original {
		return p.config.Future
	}
	return max(p.config.Future, 2*w.toWorker.value()+p.config.Future/2)
}

// inferArrival is when an Infer sent now could begin at an idle GPU.
func (p *clockworkPolicy) inferArrival(g *gpu) protocol.Time {
	return p.now.Add(p.inferDelay(&g.worker.delay))
}

// ahead is how far ahead of its beginning work is sent.
func (p *clockworkPolicy) ahead(g *gpu) time.Duration {
	return p.config.Ahead + p.inferDelay(&g.worker.delay) - p.config.Future
}

// loadOverhead is what a load takes beside the transfer until an Infer can begin: the
// order, its result, and the Infer on their ways.
func (p *clockworkPolicy) loadOverhead(w *netDelay) time.Duration {
	return w.toWorker.value() + w.fromWorker.value() + p.inferDelay(w)
}

// replyDelay is what a request's way to the core and its outputs' to their door take
// together, as far as Config.Future has no room for them.
func (p *clockworkPolicy) replyDelay() time.Duration {
	if p.Original {
		return 0
	}
	return max(0, 2*p.fleetDelay.fromWorker.value()-p.config.Future/2)
}
