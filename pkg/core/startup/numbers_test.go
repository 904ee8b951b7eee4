package startup

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/hostile"
)

// TestAnyNumberOfAPeerIsTaken has a controller load a model at a worker that it measures, while
// one number of what others say is an extreme one: nothing panics.
func TestAnyNumberOfAPeerIsTaken(t *testing.T) {
	hostile.EachNumber(t, func(give func(any, func())) {
		config := DefaultConfig()
		config.Issuer = 7
		m, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		now := protocol.Time(1e9)
		worker := protocol.WorkerState{ID: "w1", Incarnation: 3, PageSize: 16, GPUs: []protocol.GPUState{{Type: "t4", PagesTotal: 8, PagesUsed: 1}}}
		var step func(Event)
		step = func(e Event) {
			now = now.Add(10 * time.Millisecond)
			out := m.Step(now, e)
			if out.SetStage != nil {
				step(StageStored{Stage: *out.SetStage})
			}
			for _, s := range out.Store {
				step(ModelsStored{Token: s.Token})
			}
			for _, a := range out.Actions {
				if a.Action.Kind == protocol.GetWorkerState {
					answered := &WorkerAnswered{worker}
					give(answered, func() { step(*answered) })
				} else {
					result := &LoadResult{loaded(a)}
					give(result, func() { step(*result) })
				}
			}
		}
		step(Started{})
		seen := &WorkerSeen{ID: "w1", Incarnation: 3}
		give(seen, func() { step(*seen) })
		now = now.Add(10 * time.Second)
		step(Tick{})
		step(LoadRequested{Token: 1, Request: protocol.LoadRequest{Path: "p", Name: "m"}})
		for range 20 {
			now = now.Add(time.Second)
			step(Tick{})
		}
		_ = m.Models()
	})
}

// loaded is the result of an action that loads a model.
func loaded(a WorkerAction) protocol.Result {
	tensor := []protocol.TensorSpec{{Name: "x", Datatype: protocol.FP32, Shape: []int64{2}}}
	spec := protocol.ModelSpec{Name: "m", Path: "p", Digest: "d", Version: 1, Inputs: tensor, Outputs: tensor, BatchSizes: []int{1}, WeightsBytes: 16, Pages: 1}
	at := protocol.Measurement{Samples: 3, Min: 1, P50: 2, P99: 3, Max: 4}
	return protocol.Result{Action: a.Action.ID, Issuer: a.Action.Issuer, Incarnation: 3, Worker: a.Worker, Kind: a.Action.Kind, Code: protocol.OK,
		Loaded: []protocol.ModelSpec{spec}, Profiles: []protocol.Profile{{Digest: "d", GPUType: "t4", LoadWeights: at,
			Infer: []protocol.BatchMeasurement{{Batch: 1, Measurement: at}}}}}
}
