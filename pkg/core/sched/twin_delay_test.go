package sched

import (
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// plainDelay is what messages took, each of them: to a worker, and from it; and the inputs that
// were seen to arrive.
type plainDelay struct {
	to, from []time.Duration
	inputs   []plainInput
	last     protocol.Time // when the last result came
}

// plainInput is how long inputs of so many bytes took, after two messages.
type plainInput struct{ bytes, took float64 }

// inputsTake is the mean time by size, of the latest ones more than of earlier ones.
func (d *plainDelay) inputsTake(bytes int64) time.Duration {
	if len(d.inputs) == 0 {
		return 0
	}
	mean := d.inputs[0]
	for _, in := range d.inputs[1:] {
		mean.bytes += (in.bytes - mean.bytes) / 32
		mean.took += (in.took - mean.took) / 32
	}
	return time.Duration(float64(bytes) * mean.took / mean.bytes)
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
		w.timedInputs(d, e)
	}
}

func (w *world) timedInputs(d *plainDelay, e *Result) {
	arrived, bytes := e.Input.End, w.inputBytes(w.open[e.Action])
	if e.Code == protocol.InputMissing {
		arrived = e.Sent
	}
	if arrived != 0 && bytes >= 32<<10 {
		took := max(0, arrived.Sub(w.sentAt[e.Action])-2*shortest(d.to))
		d.inputs = append(d.inputs, plainInput{float64(bytes), float64(took)})
	}
}

// inputBytes are those that the front doors send for an Infer.
func (w *world) inputBytes(a protocol.Action) (bytes int64) {
	for _, r := range a.Requests {
		if !r.Generated {
			bytes += w.spec(a.Model).ItemBytes() * int64(r.Batch)
		}
	}
	return bytes
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
	const some = 100_000
	if is.inputs.of(some) != d.inputsTake(some) {
		w.fail("inputs to %q take %v for %d bytes, by the twin %v", worker, is.inputs.of(some), some, d.inputsTake(some))
	}
	if to, from := shortest(d.to), shortest(d.from); is.toWorker.value() != to || is.fromWorker.value() != from {
		w.fail("messages to %q take %v and from it %v, by the twin %v and %v", worker, is.toWorker.value(), is.fromWorker.value(), to, from)
	}
}

// inferDelay is when an Infer can begin at a worker that is sent now, by a plan. inputs is
// when its inputs are likely to be in place, below 0 if that is not planned.
func (w *world) inferDelay(worker string, bytes int64) (begins, inputs time.Duration) {
	p, is := w.core.policy.(*clockworkPolicy)
	if !is || p.Original {
		return w.config.Future, -1
	}
	d := w.delay(worker)
	begins, inputs = 2*shortest(d.to), -1
	if p.Inputs && bytes > 0 {
		begins += d.inputsTake(bytes)
		inputs = begins
	}
	return max(w.config.Future, begins+w.config.Future/2), inputs
}
