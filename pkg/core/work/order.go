package work

import (
	"clockwork/pkg/core/lane"
	"clockwork/pkg/protocol"
)

// Order is an action from its arrival until its result, or one GPU's part of a
// ClearCache. All times are local. Only the core changes the fields, except for Driver;
// a driver reads the exported ones.
//
// Invariants: an order with a missing input is not staged. An order that was output for
// Execute or Transfer does not end before the driver's event for it.
type Order struct {
	// Number counts the worker's orders from 1, in order of arrival.
	Number lane.TaskID
	Action protocol.Action
	// GPU is the index of the order's GPU, -1 for none.
	GPU int
	// Received is when the action arrived.
	Received protocol.Time
	// Earliest and Latest are the window in which the order may begin.
	Earliest, Latest protocol.Time
	// Inputs are the payloads of an Infer by member (index into Action.Requests), until
	// the release; nil for a generated input and for a missing one. InputBytes is the
	// sum of their lengths, which must be copied to the device.
	Inputs     [][]byte `json:"-"`
	InputBytes int64
	// Model and Spec are the model that the action names; nil if it names none.
	Model *Model
	Spec  *protocol.ModelSpec
	// Frames are the page frames that a LoadWeights fills; set when it begins.
	Frames []int
	// Dropping are the models whose weights this part of a ClearCache drops from its
	// GPU; set when the part begins.
	Dropping []string
	// Begin and End are the times of the execution, transfer or read, 0 if it did not
	// begin. Input, Exec and Output are its phases, as the driver reported them.
	Begin, End          protocol.Time
	Input, Exec, Output protocol.Phase
	// Driver belongs to the driver; the core never uses it.
	Driver any `json:"-"`

	// gpu and model are set for a valid action that names a GPU and a model.
	gpu   *gpu
	model *hosted
	// here marks the members whose payloads have arrived or are generated. sizes are
	// the lengths of the arrived ones. missing counts the members that are not in here.
	here    []bool
	sizes   []memberSize
	missing int
	// staging: the driver is copying the inputs to the device. Inputs and model are
	// released only afterwards, even if the order has its result.
	staging bool
	// slow is from when on a load that is read keeps no reader from others, if they are few.
	slow protocol.Time
	// givenUp: the load was output as GivenUp.
	givenUp bool
	// over: the order has its result.
	over bool
	// started is when the execution or transfer began in its lane, and executor is
	// gpu.executor at that time.
	started  protocol.Time
	executor uint32
	// version identifies the weights that were on the GPU when the order was staged,
	// then those that it executes with; 0 for none. Another version fails the order
	// with WEIGHTS_CHANGED.
	version uint64
	// due is when the order counts as hung, once it has begun, or when a load's time is over;
	// Never: not, or it was output as Overdue or GivenUp. spared: the worker stood still, and due was put off.
	due    protocol.Time
	spared bool
	// part is the ClearCache to which this order is one GPU's part; nil otherwise.
	part *clearing
}

// Model is a model in host memory. Copies that share it also share this value.
type Model struct {
	// Number is the Number of the order that read the model; it identifies the model.
	Number lane.TaskID
	// Handle is ModelRead.Handle; the core does not use it.
	Handle any `json:"-"`
}

// Items returns the number of items of each member. A measurement has one member that
// fills the batch.
func (o *Order) Items() []int {
	if len(o.Action.Requests) == 0 {
		return []int{o.Action.Batch}
	}
	items := make([]int, len(o.Action.Requests))
	for i, r := range o.Action.Requests {
		items[i] = r.Batch
	}
	return items
}

// Late returns TOO_LATE if an order may not begin any more (G2), nil if it may. The
// driver calls it immediately before the execution, which may be long after
// Output.Execute if the operating system delayed the driver's thread.
func (o *Order) Late(now protocol.Time) *protocol.Error {
	if now <= o.Latest {
		return nil
	}
	return protocol.Errorf(protocol.TooLate, "GPU %d could not begin the action in time: its latest begin passed %v ago", o.gpu.index, now.Sub(o.Latest))
}

func (o *Order) key() actionKey { return actionKey{o.Action.Issuer, o.Action.ID} }
