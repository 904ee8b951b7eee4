package scheduler

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// door is a front door's side of the conversation, and everybody else's.
type door struct {
	t      *testing.T
	server *server.Server
	bus    *bus.Bus
	id     uint64
	seq    uint64
	epoch  uint64 // that it thinks is active

	dispatches chan protocol.Dispatch
	outputs    chan protocol.Output
	beats      chan protocol.Heartbeat
}

func newDoor(t *testing.T) *door {
	s := bustest.Server(t)
	d := &door{t: t, server: s, bus: bustest.Open(t, s), id: bus.RandomID(), dispatches: make(chan protocol.Dispatch, 10000),
		outputs: make(chan protocol.Output, 10000), beats: make(chan protocol.Heartbeat, 100000)}
	d.on(d.bus.Subjects.Dispatch(d.id), func(m *nats.Msg) {
		list, fault := wire.Dispatches.Decode(m.Data)
		if fault != nil {
			t.Error(fault)
		}
		for _, x := range list {
			d.dispatches <- x
		}
	})
	d.on(d.bus.Subjects.Output(d.id), func(m *nats.Msg) {
		list, fault := wire.Outputs.Decode(m.Data)
		if fault != nil {
			t.Error(fault)
		}
		for _, x := range list {
			d.outputs <- x
		}
	})
	d.on(d.bus.Subjects.Heartbeat(protocol.Scheduler, "*"), func(m *nats.Msg) {
		h, fault := wire.Heartbeat.Decode(m.Data)
		if fault != nil {
			t.Error(fault)
		}
		d.beats <- h
	})
	return d
}

func (d *door) on(subject string, f nats.MsgHandler) {
	d.t.Helper()
	if _, err := d.bus.Subscribe(d.bus.Control, subject, f); err != nil {
		d.t.Fatal(err)
	}
	if err := d.bus.Control.Flush(); err != nil {
		d.t.Fatal(err)
	}
}

// scheduler starts one and waits until it beats in that state.
func (d *door) scheduler(policy string, state protocol.ServiceState) (*Service, func()) {
	d.t.Helper()
	s, err := New(Config{Policy: policy, Core: sched.Defaults()}, bustest.Config(d.server, "scheduler"))
	if err != nil {
		d.t.Fatal(err)
	}
	stop := bustest.Run(d.t, s)
	d.await(s, state)
	return s, stop
}

func (d *door) await(s *Service, state protocol.ServiceState) protocol.Heartbeat {
	d.t.Helper()
	for end := time.Now().Add(bustest.Wait); time.Now().Before(end); {
		h := bustest.Next(d.t, "a scheduler that is "+string(state), d.beats)
		if h.Incarnation == s.id && h.State == state {
			return h
		}
	}
	d.t.Fatalf("the scheduler is not %s", state)
	panic("unreachable")
}

func models() []protocol.ModelSpec {
	return []protocol.ModelSpec{bustest.Spec("a", "zoo/a"), bustest.Spec("b", "zoo/b")}
}

func profiles(kinds ...string) []protocol.Profile {
	var list []protocol.Profile
	for _, m := range models() {
		for _, kind := range kinds {
			at := func(d time.Duration) protocol.Measurement {
				return protocol.Measurement{Samples: 1, Min: d, P50: d, P99: d, Max: d}
			}
			p := protocol.Profile{Digest: m.Digest, Backend: m.Backend, BackendVersion: m.BackendVersion, GPUType: kind, LoadWeights: at(time.Millisecond)}
			for _, b := range m.BatchSizes {
				p.Infer = append(p.Infer, protocol.BatchMeasurement{Batch: b, Measurement: at(time.Millisecond)})
			}
			list = append(list, p)
		}
	}
	return list
}

// lean is a worker's state as the controller hands it on: without the models
// that all of them hold.
func lean(w *bustest.Worker) protocol.WorkerState {
	s := w.State()
	s.Models = nil
	return s
}

func (d *door) activate(workers ...*bustest.Worker) {
	d.t.Helper()
	state := protocol.ClockworkState{PageSize: 1 << 20, Models: models(), Profiles: profiles("t4")}
	for _, w := range workers {
		state.Workers = append(state.Workers, lean(w))
	}
	d.publishParcel(d.bus.Subjects.SchedulerStart(), wire.Start.Encode(&state))
}

func (d *door) publishParcel(subject string, body []byte) {
	d.t.Helper()
	if err := d.bus.PublishChunks(d.bus.Payload, subject, body); err != nil {
		d.t.Fatal(err)
	}
}

func (d *door) publish(subject string, body []byte) {
	d.t.Helper()
	if err := d.bus.Control.Publish(subject, body); err != nil {
		d.t.Fatal(err)
	}
}

// submit submits a request for a generated input.
func (d *door) submit(model string, budget time.Duration) protocol.RequestID {
	d.t.Helper()
	d.seq++
	id := protocol.RequestID{Door: d.id, Seq: d.seq}
	d.publish(d.bus.Subjects.Submit(d.id), wire.Submissions.Encode(&protocol.SubmissionBatch{Door: d.id, Epoch: d.epoch, Requests: []protocol.Submitted{
		{Submission: protocol.Submission{ID: id, Model: model, Batch: 1, Bytes: 8, Budget: budget, Generated: true}}}}))
	return id
}

// served submits a request and waits for its output.
func (d *door) served(model string) {
	d.t.Helper()
	id := d.submit(model, bustest.Wait)
	for {
		select {
		case out := <-d.outputs:
			if out.ID == id {
				return
			}
		case x := <-d.dispatches:
			if x.ID == id && x.Kind != protocol.ToWorker {
				d.t.Fatalf("request for %s: %+v, %v", model, x, x.Refusal)
			}
		case <-time.After(bustest.Wait):
			d.t.Fatalf("request for %s has no outcome", model)
		}
	}
}

func (d *door) refused(id protocol.RequestID, want protocol.Code) {
	d.t.Helper()
	for {
		x := bustest.Next(d.t, "a refusal", d.dispatches)
		if x.ID != id || x.Kind == protocol.ToWorker {
			continue
		}
		if x.Refusal == nil || x.Refusal.Code != want {
			d.t.Fatalf("refused with %+v, want %s", x.Refusal, want)
		}
		return
	}
}
