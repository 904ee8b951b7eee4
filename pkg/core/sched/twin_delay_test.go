package sched

import (
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// plainDelay is what messages took, each of them: to a worker, and from it.
type plainDelay struct {
	to, from []time.Duration
	last     protocol.Time // when the last result came
}

// shortest is the shortest of the present window of samples and the one before it.
func shortest(samples []time.Duration) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	begin := (len(samples)-1)/window*window - window
	return slices.Min(samples[max(0, begin):])
}

// delay is that of a worker, or of all for "".
func (w *world) delay(worker string) *plainDelay {
	if w.delays[worker] == nil {
		w.delays[worker] = &plainDelay{}
	}
	return w.delays[worker]
}

// timed takes what an answered action and its result say of their messages.
func (w *world) timed(e *Result) {
	for _, d := range []*plainDelay{w.delay(e.Worker), w.delay("")} {
		d.to = append(d.to, max(0, e.Received.Sub(w.sentAt[e.Action])))
		d.from = append(d.from, max(0, w.now.Sub(e.Sent)))
		d.last = w.now
	}
}

// checkDelays: the core knows what the messages of its workers take, and forgets it only if it
// is old.
func (w *world) checkDelays() {
	w.checkDelay("", &w.core.fleetDelay)
	for _, of := range w.core.workers {
		w.checkDelay(of.id, &of.delay)
	}
}

func (w *world) checkDelay(worker string, is *netDelay) {
	d := w.delay(worker)
	if is.toWorker.samples == 0 && len(d.to) > 0 && w.now.Sub(d.last) >= estimateTrust {
		*d = plainDelay{}
	}
	if to, from := shortest(d.to), shortest(d.from); is.toWorker.value() != to || is.fromWorker.value() != from {
		w.fail("messages to %q take %v and from it %v, by the twin %v and %v", worker, is.toWorker.value(), is.fromWorker.value(), to, from)
	}
}

// inferDelay is when an Infer can begin at a worker that is sent now.
func (w *world) inferDelay(worker string) time.Duration {
	if p, is := w.core.policy.(*clockworkPolicy); is && !p.Original {
		return max(w.config.Future, 2*shortest(w.delay(worker).to)+w.config.Future/2)
	}
	return w.config.Future
}
