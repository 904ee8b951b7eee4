package work

import (
	"clockwork/pkg/core/executor"
	"clockwork/pkg/protocol"
)

// Order is an action on its way through the worker. Instants are local. Fields are
// the core's; a driver reads them and owns Driver alone.
type Order struct {
	Action   protocol.Action
	Received protocol.Time
	// Earliest and Latest are the window in which it may begin, on this clock.
	Earliest, Latest protocol.Time
	// Inputs of an Infer by member; nil for those to be generated, and for those
	// that are missing.
	Inputs [][]byte
	// Model is the handle of the model, nil where the action names none.
	Model any
	// Spec is the model's.
	Spec *protocol.ModelSpec
	// Frames are the pages that a LoadWeights loads into.
	Frames []int
	// Dropping are the models whose weights its part of a ClearCache drops.
	Dropping []string
	// Begin and End are when it ran, 0 for never; Input, Exec and Output its phases.
	Begin, End          protocol.Time
	Input, Exec, Output protocol.Phase
	// Driver is the driver's own; the core neither reads nor keeps it.
	Driver any

	task    executor.TaskID
	gpu     *gpu
	model   *hosted
	bytes   int64        // of the inputs that are here
	here    []bool       // the members whose inputs are here, or are to be generated
	sizes   []memberSize // of the inputs that came
	missing int          // members whose inputs are not here
	staging bool         // the driver reads inputs and model: they may not go yet
	over    bool         // it has its result
	// version says which weights were there when it was staged, 0 for none.
	version uint64
	// part is set for the share that one GPU has in a ClearCache.
	part *clearing
}

// GPU is the index of the order's GPU, -1 for none.
func (o *Order) GPU() int {
	if o.gpu == nil {
		return -1
	}
	return o.gpu.index
}

// InputBytes is how much has to be copied to the device.
func (o *Order) InputBytes() int64 { return o.bytes }

// Items is how many items each member has. A measurement has one member that fills
// the batch.
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

// Late refuses to begin an order past its latest (G2), nil if it is in time. The
// driver asks at the moment of the begin, which may be long after Output.Execute
// where the machine held its thread up.
func (o *Order) Late(now protocol.Time) *protocol.Error {
	if now <= o.Latest {
		return nil
	}
	return protocol.Errorf(protocol.TooLate, "GPU %d could not begin the action in time: its latest begin passed %v ago", o.gpu.index, now.Sub(o.Latest))
}

func (o *Order) key() actionKey { return actionKey{o.Action.Issuer, o.Action.ID} }
