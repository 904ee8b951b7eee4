package integration

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// TestG7NoMessageMakesAnEpoch: a worker says that it obeys an epoch, a front door that it has
// seen one, which no scheduler had, by little and by far; somebody with a scheduler's key gives
// orders and beats in one that cannot be. Serving goes on, also after takeovers, with processes
// that have seen it all and with some that have just begun.
func TestG7NoMessageMakesAnEpoch(t *testing.T) {
	s := startBroker(t, quick())
	stopController := s.startController()
	s.startProfiler()
	stop := s.startScheduler()
	s.startWorker("w1")
	s.load("zoo/resnet18_v2", 1)
	takeover := func(what string) {
		t.Helper()
		before := s.activated().Epoch
		stop()
		stop = s.startScheduler()
		s.awaitState(what, func(st *protocol.StackState) bool { return st.Epoch > before && st.GPUsServing > 0 })
	}
	serves := func(what string) {
		t.Helper()
		s.awaitState(what, func(st *protocol.StackState) bool { return st.Epoch != 0 && st.GPUsServing > 0 })
		if _, refusal := s.infer("resnet18_v2", 5*time.Second, patience); refusal != nil {
			t.Errorf("%s: %v", what, refusal)
		}
	}
	s.activated()
	serves("before the lies")

	lies := s.plain()
	liar := bustest.StartWorker(t, bustest.Open(t, s.broker), "liar", "t4")
	for _, by := range []uint64{1, 1000, 1 << 40, 1 << 62} {
		lie := func() uint64 { return s.activated().Epoch + by }
		liar.Script(func(a protocol.Action) *protocol.Result {
			if a.Kind != protocol.GetWorkerState {
				return nil
			}
			state := liar.State()
			state.Epoch += by
			return &protocol.Result{Kind: a.Kind, Code: protocol.OK, State: &state}
		})
		beat := func(of protocol.ServiceKind, id string, h protocol.Heartbeat) {
			publish(t, lies, "clockwork.heartbeat."+string(of)+"."+id, wire.Heartbeat.Encode(&h))
		}
		beat(protocol.Worker, "liar", protocol.Heartbeat{Incarnation: liar.Incarnation, Epoch: lie(), State: protocol.Idle})
		beat(protocol.FrontDoor, protocol.DoorName(7), protocol.Heartbeat{Incarnation: 7, Epoch: lie(), State: "open"})
		serves("a lie")
		takeover("a takeover after a lie")
		serves("a takeover after a lie")
	}
	for _, absurd := range []uint64{1 << 62, 1<<64 - 1} {
		h := protocol.Heartbeat{Incarnation: 8, Epoch: absurd, State: protocol.SchedulerActive, Capacity: protocol.Capacity{GPUs: 1}}
		publish(t, lies, "clockwork.heartbeat.scheduler.8", wire.Heartbeat.Encode(&h))
		for _, order := range []protocol.Action{{ID: 1, Issuer: 8, Epoch: absurd}, {ID: 2, Issuer: 8, Leader: protocol.Leader{Service: protocol.Controller, Term: absurd}},
			{ID: 3, Issuer: 8, Leader: protocol.Leader{Service: protocol.Profiler, Term: absurd}}} {
			order.Kind, order.Latest = protocol.GetWorkerState, protocol.Never
			publish(t, lies, "clockwork.worker.w1.action", wire.Actions.Encode(&[]protocol.Action{order}))
		}
		serves("an absurd epoch")
	}
	liar.Stop()
	stopController()
	s.startController()
	s.startFrontDoor()
	s.startWorker("w2")
	s.awaitState("a worker that has just begun", func(st *protocol.StackState) bool { return st.GPUsServing == 2 && st.WorkerCount == 2 })
	takeover("a takeover after all lies")
	s.awaitState("both workers", func(st *protocol.StackState) bool { return st.GPUsServing == 2 })
	for range 6 { // by both front doors
		serves("after all lies")
	}
}

func publish(t *testing.T, nc *nats.Conn, subject string, body []byte) {
	t.Helper()
	if err := nc.Publish(subject, body); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}
