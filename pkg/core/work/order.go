package work

import (
	"clockwork/pkg/core/executor"
	"clockwork/pkg/protocol"
)

// Order is an action on its way through the worker. Instants are local. Fields are
// the core's; a driver reads them and owns Driver alone.
type Order struct {
	// Number counts orders, from 1.
	Number executor.TaskID
	Action protocol.Action
	// GPU is the index of its GPU, -1 for none.
	GPU      int
	Received protocol.Time
	// Earliest and Latest are the window in which it may begin, on this clock.
	Earliest, Latest protocol.Time
	// Inputs of an Infer by member; nil for those to be generated, and for those
	// that are missing. InputBytes is how much of them has to be copied to the device.
	Inputs     [][]byte `json:"-"`
	InputBytes int64
	// Model is the model, nil where the action names none; Spec is that of the name.
	Model *Model
	Spec  *protocol.ModelSpec
	// Frames are the pages that a LoadWeights loads into.
	Frames []int
	// Dropping are the models whose weights its part of a ClearCache drops.
	Dropping []string
	// Begin and End are when it ran, 0 for never; Input, Exec and Output its phases.
	Begin, End          protocol.Time
	Input, Exec, Output protocol.Phase
	// Driver is the driver's own; the core neither reads nor keeps it.
	Driver any `json:"-"`

	gpu     *gpu
	model   *hosted
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

// Model is a model in host memory as its driver knows it; copies share it.
type Model struct {
	// Number is that of the order that had it read.
	Number executor.TaskID
	// Handle is the driver's own, of ModelRead; the core does not look at it.
	Handle any `json:"-"`
}

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
