//go:build linux && !static

package onnx

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// try runs a model at every batch size in a process of its own, and returns what it found
// out. A model that ends this process, or does not end, is corrupt.
func (m *model) try(ctx context.Context, c config, limit int) (*description, *protocol.Error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, err := startProcess(&m.backend.options, setup{}, ctx.Done(), func(*process) {}, func(*process, string) {})
	if ctx.Err() != nil {
		if err == nil {
			p.wait()
		}
		return nil, protocol.Errorf(protocol.BackendError, "the load was cancelled")
	}
	if refusal := (*protocol.Error)(nil); errors.As(err, &refusal) {
		return nil, refusal
	} else if err != nil {
		return nil, protocol.Errorf(protocol.BackendError, "start a process that tries the model: %v", err)
	}
	late := time.AfterFunc(time.Until(m.deadline.until), func() { p.end("it did not end within " + m.deadline.takes.String()) })
	defer late.Stop()
	type outcome struct {
		found   *description
		refusal *protocol.Error
	}
	answer := make(chan outcome, 1)
	go func() { // ends with the process
		t := m.openTask()
		t.Description, t.Limit, t.Stated, t.Declared = nil, limit, c.inputs, c.triton
		found, refusal := p.perform(&p.models, m, task{Open: &t}, m.image.file)
		answer <- outcome{found, refusal}
		p.end("the trial is over")
	}()
	p.wait()
	o := <-answer
	switch {
	case ctx.Err() != nil:
		return nil, protocol.Errorf(protocol.BackendError, "the load was cancelled")
	case o.refusal != nil && p.killed:
		return nil, protocol.Errorf(protocol.NoMemory, "the process that tried the model ended: %s", p.how)
	case o.refusal != nil && o.refusal.Code.LosesWeights():
		return nil, protocol.Errorf(protocol.ModelCorrupt, "running the model ended the process that tried it: %s", p.how)
	case o.refusal != nil:
		return nil, o.refusal
	case !o.found.valid(limit):
		return nil, protocol.Errorf(protocol.ModelCorrupt, "the process that tried the model says what cannot be")
	}
	return o.found, nil
}

// valid reports whether a description can be that of a model: it comes from a process
// that the model may have taken over.
func (d *description) valid(limit int) bool {
	if d == nil {
		return false
	}
	s := &d.Spec
	sizes := func(list []protocol.TensorSpec, kinds []int, shapes [][]int64) bool {
		if len(list) < 1 || len(list) != len(kinds) || len(list) != len(shapes) {
			return false
		}
		for i, t := range list {
			if n := t.Bytes(); n < 1 || n > maxItem || elementType(kinds[i]) != t.Datatype || len(t.Shape) > maxRank ||
				len(shapes[i]) > maxRank || protocol.Elements(shapes[i]) != protocol.Elements(t.Shape) {
				return false
			}
		}
		return true
	}
	batches := len(s.BatchSizes) > 0 && slices.IsSorted(s.BatchSizes) && s.BatchSizes[0] > 0 && s.BatchSizes[len(s.BatchSizes)-1] <= limit
	return batches && (!s.NoBatch || s.MaxBatch() == 1) &&
		sizes(s.Inputs, d.InputKinds, d.InputShapes) && sizes(s.Outputs, d.OutputKinds, d.OutputShapes) &&
		s.ItemBytes() > 0 && s.ItemBytes() <= maxItem && s.OutputBytes() > 0 && s.OutputBytes() <= maxItem
}
