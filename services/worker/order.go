package worker

import (
	"errors"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/core/executor"
	"clockwork/pkg/protocol"
)

// order is an action on its way through the worker. Instants are local.
type order struct {
	action   protocol.Action
	task     executor.TaskID
	received protocol.Time
	// The window in which it may begin.
	earliest, latest protocol.Time

	gpu   *gpu
	model *hosted
	// Of an Infer: inputs by member, nil for those to be generated; missing is
	// how many have not arrived; run is set once they are on the device, and
	// version says which weights were there at that time, 0 for none.
	inputs  [][]byte
	missing int
	run     backend.Run
	version uint64
	// staging: a goroutine reads inputs and model, so they may not go yet.
	staging bool

	// weights are those it executes with or evicts, frames those it loads into.
	weights backend.Weights
	frames  []int
	// part is set for the share that one GPU has in a ClearCache, dropping are
	// the models whose weights it drops.
	part     *clearing
	dropping []string

	begin, end          protocol.Time
	input, exec, output protocol.Phase
}

// span is a phase that ends now.
func span(begin protocol.Time) protocol.Phase {
	end := clock.Now()
	return protocol.Phase{Begin: begin, End: end, Device: end.Sub(begin)}
}

// finished notes that what began at begin ends now.
func (o *order) finished() {
	o.exec = span(o.begin)
	o.end = o.exec.End
}

// inputBytes is how much has to be copied to the device.
func (o *order) inputBytes() int {
	n := 0
	for _, in := range o.inputs {
		n += len(in)
	}
	return n
}

// items returns how many items each member has. A measurement has one member
// that fills the batch.
func (o *order) items() []int {
	if len(o.action.Requests) == 0 {
		return []int{o.action.Batch}
	}
	items := make([]int, len(o.action.Requests))
	for i, r := range o.action.Requests {
		items[i] = r.Batch
	}
	return items
}

// refusal is what an error of the backend means for an action.
func refusal(err error) *protocol.Error {
	if err == nil {
		return nil
	}
	var coded *protocol.Error
	if errors.As(err, &coded) && coded.Code.Row().Audience&protocol.ForWorkers != 0 {
		return coded
	}
	return protocol.Errorf(protocol.BackendError, "%v", err)
}
