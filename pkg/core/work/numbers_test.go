package work

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/hostile"
)

// TestAnyNumberOfAPeerIsTaken has a worker load a model and execute it, while one number of
// what schedulers, controllers and front doors send is an extreme one: nothing panics.
func TestAnyNumberOfAPeerIsTaken(t *testing.T) {
	hostile.EachNumber(t, func(give func(any, func())) {
		config := Defaults()
		config.Name, config.Incarnation, config.Overdue = "w", 1, DefaultOverdue()
		config.GPUs = []GPU{{Type: "t", Pages: 8, PageSize: 1}}
		w := New(config)
		now := protocol.Time(1e9)
		var read, staged, executed, transfers []*Order
		step := func(e Event) {
			now = now.Add(time.Millisecond)
			out := w.Step(now, e)
			read, staged = append(read, out.Read...), append(staged, out.Stage...)
			executed, transfers = append(executed, out.Execute...), append(transfers, out.Transfer...)
		}
		peer := func(e Event) { give(e, func() { step(e) }) }
		for i := range protocol.Time(10) {
			peer(&ClockReading{Epoch: 5, Asked: now, Answered: now.Add(time.Microsecond), Remote: now.Add(time.Second) + i})
		}
		action := func(id protocol.ActionID, kind protocol.Kind) protocol.Action {
			return protocol.Action{ID: id, Issuer: 7, Epoch: 5, Incarnation: 1, Kind: kind, Latest: now.Add(2 * time.Second), Expected: time.Millisecond, Model: "a", Batch: 1}
		}
		load := protocol.Action{ID: 1, Issuer: 6, Kind: protocol.LoadModelFromDisk, Latest: protocol.Never,
			Load: &protocol.LoadSpec{Path: "p/a", Names: []string{"a"}, Version: 1, MaxBatch: 4, MaxExec: time.Second, Within: time.Second}}
		peer(&Received{load})
		for _, o := range read {
			step(&ModelRead{Order: o, Begin: now, End: now, Spec: worldSpec("p/a"), Handle: 1})
		}
		peer(&Received{action(2, protocol.LoadWeights)})
		for _, o := range transfers {
			step(&Transferred{Order: o, Begin: now, End: now})
		}
		infer := action(3, protocol.Infer)
		infer.Requests = []protocol.RequestRef{{ID: protocol.RequestID{Door: 1, Seq: 1}, Batch: 1}}
		peer(&Received{infer})
		peer(&Input{ID: protocol.RequestID{Door: 1, Seq: 1}, Bytes: itemBytes, Data: make([]byte, itemBytes)})
		for _, o := range staged {
			step(&Staged{Order: o, Phase: protocol.Phase{Begin: now, End: now}})
		}
		for _, o := range executed {
			step(&Executed{Order: o, Begin: now, End: now, Fetched: true})
		}
		peer(&Received{action(4, protocol.EvictWeights)})
		for range 10 {
			now = now.Add(time.Second)
			step(&Tick{})
		}
		_ = w.String()
	})
}
