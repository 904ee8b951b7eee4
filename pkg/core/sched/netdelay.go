package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// Messages to a worker and back take time, which every plan must include and which
// differs between deployments: 0.1 ms within a host, 10 ms between sites. The core
// measures it by results, which carry the times of the action's arrival and of the
// result's departure in the core's clock. Config.Future covers near workers and an
// occasional slow message; it is used alone until results have arrived.
//
//	front door --> core --> worker --> front door
//	                 \-----> front door --^
//
// All messages between two services are assumed to take the same time. An action
// arrives after one message; the inputs of its requests after two, because their front
// door sends them. A request took one message to the core, and its outputs take one
// to the front door.

// netDelay is the measured time of the messages to a worker and from it.
type netDelay struct {
	toWorker, fromWorker minDelay
	inputs               inputTime
	updatedAt            protocol.Time // of the last sample, or of the last reset
}

// minDelay is the shortest recent time of a message: over the samples of the current
// window and the window before. The minimum is used because a process that is paused for
// a moment delays many messages at once, which says nothing about the network; one
// message in time corrects that.
type minDelay struct {
	// now and before are the minima of the two windows; equal during the first window
	// until a shorter sample arrives.
	now, before time.Duration
	// samples counts all samples; 0: value is 0 and means nothing.
	samples int
}

// window is the number of samples of a window.
const window = 16

// add adds a sample; one below 0, by an error of the clocks, counts as 0.
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

// value returns the shortest recent time, 0 without a sample.
func (h *minDelay) value() time.Duration { return min(h.now, h.before) }

// observeDelay adds the message times of an action and its result, to its worker's delay
// and to the fleet's.
func (c *engine) observeDelay(a *action, r *protocol.Result) {
	if r.Received == 0 || r.Sent == 0 {
		return
	}
	for _, w := range []*netDelay{&a.replica.gpu.worker.delay, &c.fleetDelay} {
		w.toWorker.add(r.Received.Sub(a.sent))
		w.fromWorker.add(c.now.Sub(r.Sent))
		w.updatedAt = c.now
	}
	c.observeInputs(a, r)
}

// resetDelays removes the delays that may have caused a refusal, if they are older than
// estimateTrust: a refused request brings no sample that could correct them.
func (c *engine) resetDelays(m *model) {
	c.fleetDelay.resetIfOld(c.now)
	for _, r := range m.replicas {
		r.gpu.worker.delay.resetIfOld(c.now)
	}
}

// resetIfOld removes a delay without a recent sample.
func (w *netDelay) resetIfOld(now protocol.Time) {
	if now.Sub(w.updatedAt) >= estimateTrust {
		*w = netDelay{updatedAt: now}
	}
}

// expected returns the likely time from sending an Infer with these members, whose inputs have
// so many bytes, until it can begin. Without samples it is longer than any plan.
func (w *netDelay) expected(members []*request, inputs int64) time.Duration {
	if w.toWorker.samples == 0 {
		return time.Hour
	}
	for _, r := range members {
		if !r.Generated {
			return 2*w.toWorker.value() + w.inputs.of(inputs) // sent after the dispatch
		}
	}
	return w.toWorker.value()
}

// inferDelay returns how long an Infer sent now with inputs of so many bytes takes until it
// can begin at an idle GPU, as plans assume it.
func (p *clockworkPolicy) inferDelay(w *netDelay, inputs int64) time.Duration {
	if p.Original {
		return p.config.Future
	}
	return max(p.config.Future, 2*w.toWorker.value()+p.inputDelay(w, inputs)+p.config.Future/2)
}

// inputDelay returns what inputs of so many bytes add to inferDelay.
func (p *clockworkPolicy) inputDelay(w *netDelay, inputs int64) time.Duration {
	if !p.Inputs {
		return 0
	}
	return w.inputs.of(inputs)
}

// inferArrival returns when an Infer sent now can begin at an idle GPU.
func (p *clockworkPolicy) inferArrival(g *gpu, inputs int64) protocol.Time {
	return p.now.Add(p.inferDelay(&g.worker.delay, inputs))
}

// arrivalOf implements policy.
func (p *clockworkPolicy) arrivalOf(g *gpu, inputs int64) arrivalTimes {
	a := arrivalTimes{begin: p.inferArrival(g, inputs)}
	if p.Inputs && inputs > 0 {
		w := &g.worker.delay
		a.inputs = p.now.Add(2*w.toWorker.value() + w.inputs.of(inputs))
	}
	return a
}

// ahead returns how long before its planned begin work is sent to a GPU: Config.Ahead, and
// more for a distant worker and for large inputs.
func (p *clockworkPolicy) ahead(g *gpu) time.Duration {
	return p.config.Ahead + p.inferDelay(&g.worker.delay, 0) - p.config.Future + p.inputAhead(g)
}

// inputAhead returns how much earlier work is sent for inputs as large as those of the latest
// Infers. It is 0 while a copy is next that would block tighter models: what is sent last
// follows the latest information, and the lane waits for its inputs.
func (p *clockworkPolicy) inputAhead(g *gpu) time.Duration {
	covered := (p.config.Ahead - p.config.Future) / 2
	extra := p.inputDelay(&g.worker.delay, int64(g.inputBytes)) - covered
	if extra <= 0 || g.runQueue.First() != nil && p.blocking(g.runQueue.First().Of) {
		return 0
	}
	return min(mostInputAhead, extra)
}

// loadOverhead returns what a load takes in addition to its transfer until an Infer can
// begin: the messages of the load, of its result, and of the Infer.
func (p *clockworkPolicy) loadOverhead(w *netDelay, inputs int64) time.Duration {
	return w.toWorker.value() + w.fromWorker.value() + p.inferDelay(w, inputs)
}

// replyDelay returns the time of two messages, the request to the core and its outputs to
// the front door, less half of Config.Future, which is the reserve of every plan.
func (p *clockworkPolicy) replyDelay() time.Duration {
	if p.Original {
		return 0
	}
	return max(0, 2*p.fleetDelay.fromWorker.value()-p.config.Future/2)
}
