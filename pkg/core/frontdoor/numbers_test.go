package frontdoor

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/hostile"
)

// TestAnyNumberOfAPeerIsTaken has a front door serve a request, while one number of what
// schedulers and workers send is an extreme one: nothing panics.
func TestAnyNumberOfAPeerIsTaken(t *testing.T) {
	hostile.EachNumber(t, func(give func(any, func())) {
		m := New(testConfig())
		now := protocol.Time(1e9)
		var out *Output
		step := func(e Event) {
			now = now.Add(time.Millisecond)
			out = m.Step(now, e)
		}
		peer := func(e Event) { give(e, func() { step(e) }) }
		model := &ModelSeen{spec("a")}
		peer(model)
		step(&StageSeen{protocol.Active})
		peer(&SchedulerBeat{protocol.Heartbeat{ID: "s1", State: protocol.SchedulerActive, Epoch: 5, Incarnation: 1, Capacity: protocol.Capacity{GPUs: 1}}})
		step(&Inbound{Model: "a", Reply: "_INBOX.x", Bytes: 100})
		step(&Decoded{Request: out.Admitted, SLO: 100 * time.Millisecond, Payload: make([]byte, 8), Batch: 1})
		id := protocol.RequestID{Door: 7, Seq: 1}
		peer(&Dispatched{protocol.Dispatch{ID: id, Kind: protocol.ToWorker, Epoch: 5, Worker: "w1", Crashes: 1}})
		output := &protocol.Output{ID: id, Batch: 1, Items: 1, Queued: 1, Input: 1, Exec: 1, Output: 1, Data: make([]byte, 8)}
		give(output, func() { step(&OutputArrived{"w1", output}) })
		peer(&SchedulerLost{protocol.Heartbeat{ID: "s1", State: protocol.SchedulerActive, Epoch: 5, Incarnation: 1}})
		for range 20 {
			now = now.Add(protocol.HeartbeatEvery)
			step(&Tick{})
		}
		_ = m.String()
	})
}
