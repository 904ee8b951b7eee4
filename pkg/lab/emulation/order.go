package emulation

import (
	"time"

	"clockwork/pkg/adapter/backend/zoo"
	"clockwork/pkg/core/executor"
	"clockwork/pkg/protocol"
)

// Model is what an order is about. Network is nil where the times are not the
// zoo's.
type Model struct {
	protocol.ModelSpec
	Network *zoo.Network
}

// Order is one action, from its sender through a worker to its result. Every
// copy of the action's message is the same Order.
type Order struct {
	Action protocol.Action
	Model  *Model
	Worker *Worker // whom it is sent to
	// GPU is set once a worker has it and took it.
	GPU *GPU
	// Earliest and Latest are its window on the worker's clock, as are the times
	// below. Begin and End stay 0 when it never began.
	Earliest, Latest           protocol.Time
	Received, Begin, End, Sent protocol.Time
	// Code is how it ended; Epoch and Incarnation are the worker's then.
	Code               protocol.Code
	Epoch, Incarnation uint64

	task    executor.TaskID
	life    uint32
	missing int    // inputs that are not there yet
	staged  uint64 // the members whose inputs are there
	here    bool   // a worker has received it
}

// Lane says which lane of a GPU runs it.
func (o *Order) Lane() int {
	if o.Action.Kind == protocol.Infer {
		return Executions
	}
	return Transfers
}

// Await says how many inputs it needs before it may begin, at most 64.
func (o *Order) Await(inputs int) { o.missing = inputs }

// Took is how long it ran.
func (o *Order) Took() time.Duration { return o.End.Sub(o.Begin) }

// Result describes how it ended, in the times of the worker's clock.
func (o *Order) Result() protocol.Result {
	a := &o.Action
	return protocol.Result{
		Action: a.ID, Issuer: a.Issuer, Epoch: o.Epoch, Incarnation: o.Incarnation, Worker: o.Worker.ID,
		Kind: a.Kind, Code: o.Code, GPU: a.GPU, Model: a.Model, Batch: a.Batch,
		Received: o.Received, Begin: o.Begin, End: o.End, Sent: o.Sent,
	}
}
