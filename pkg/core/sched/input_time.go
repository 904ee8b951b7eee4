package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// The inputs of an Infer go from the front door to the worker after the core has decided.
// Large ones take longer than a message, by how much depends on the deployment: nothing
// within a process, some milliseconds for half a megabyte through a broker. The core learns
// it from results, which say when the inputs were in place. It sends work so much earlier,
// so that the lane does not wait for them, and refuses what its inputs make late.

// inputTime is how long large inputs take to a worker, in addition to the messages.
type inputTime struct {
	// extra and bytes are the mean additional time, in nanoseconds, and the mean size of the
	// inputs of an Infer: EWMAs with weight 1/inputMemory. 0 without a sample.
	extra, bytes float64
}

// inputMemory is the number of Infers over which the time of inputs is averaged. learnedBytes
// is the least size that says something: the time of smaller inputs is that of a message.
const (
	inputMemory  = 32
	learnedBytes = 32 << 10
)

// mostInputAhead bounds how much earlier work is sent for its inputs. Inputs that wait for
// each other on a slow connection take longer the more of them are under way.
const mostInputAhead = 25 * time.Millisecond

// add adds a sample: inputs of so many bytes were in place so long after two messages.
func (i *inputTime) add(bytes int64, extra time.Duration) {
	if bytes < learnedBytes {
		return
	}
	sample := inputTime{float64(max(0, extra)), float64(bytes)}
	if i.bytes == 0 {
		*i = sample
		return
	}
	i.extra += (sample.extra - i.extra) / inputMemory
	i.bytes += (sample.bytes - i.bytes) / inputMemory
}

// of returns how long inputs of so many bytes take, in addition to the messages.
func (i *inputTime) of(bytes int64) time.Duration {
	if i.bytes == 0 {
		return 0
	}
	return time.Duration(float64(bytes) * i.extra / i.bytes)
}

// observeInputs adds the time of an Infer's inputs to its worker's and to the fleet's. Of
// inputs that did not come it is known that they took longer than the worker waited.
func (c *engine) observeInputs(a *action, r *protocol.Result) {
	arrived := r.Input.End
	if r.Code == protocol.InputMissing {
		arrived = r.Sent
	}
	if a.inputs == 0 || arrived == 0 {
		return
	}
	for _, w := range []*netDelay{&a.replica.gpu.worker.delay, &c.fleetDelay} {
		w.inputs.add(a.inputs, arrived.Sub(a.sent)-2*w.toWorker.value())
	}
}

// inputBytes returns the size of a request's inputs that a front door sends.
func (r *request) inputBytes() int64 {
	if r.Generated {
		return 0
	}
	return r.model.itemBytes * int64(r.Batch)
}

// inputBytesOf returns the size of the inputs of all members.
func inputBytesOf(members []*request) (sum int64) {
	for _, r := range members {
		sum += r.inputBytes()
	}
	return sum
}
