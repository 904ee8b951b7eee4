package sched

import (
	"testing"

	"clockwork/pkg/protocol"
)

// What a policy noted of models and GPUs goes with its epoch: another one may have
// other models, and other types of GPU.
func TestAnEpochLeavesNothingToTheNext(t *testing.T) {
	for _, policy := range []string{"clockwork", "faithful", "simple"} {
		t.Run(policy, func(t *testing.T) {
			r := newRig(t, policy, Defaults(), part{name: "a", load: 20, exec: []float64{1}}, part{name: "b", load: 20, exec: []float64{1}})
			r.join(0, "w1", 8)
			r.submit(1, "a", 100) // the transfer lane is busy
			r.submit(2, "b", 100)
			r.submit(2, "b", 10) // turned away, so b is wanted
			state := r.state
			state.Models = state.Models[:1]
			r.step(3, &Activate{Epoch: 2, Issuer: 7, State: state})
			before := len(r.all.Actions)
			gpus := []protocol.GPUState{{ID: 0, Type: "t4", PagesTotal: 8}, {ID: 1, Type: "a100", PagesTotal: 8}}
			r.step(4, &WorkerJoined{protocol.WorkerState{ID: "w1", Incarnation: 2, Models: state.Models, GPUs: gpus}})
			r.until(200)
			for _, a := range r.all.Actions[before:] {
				t.Errorf("epoch 2 sends %s of %s, for which nobody asked", a.Action.Kind, a.Action.Model)
			}
		})
	}
}
