package worker

import (
	"log/slog"
	"sync"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// outputs sends the outputs to the front doors, with as many in a message as are
// queued and fit. Any goroutine may call it.
type outputs struct {
	bus *bus.Bus

	sending sync.Mutex // held by the running flush
	leaving *outboxes  // is sent; guarded by sending, and empty between flushes

	mu     sync.Mutex
	queued *outboxes // what leaves next
}

type outboxes = bus.Outboxes[uint64, protocol.Output]

// maxOutputs bounds the outputs of one message, outputOverhead the bytes of an
// output besides its data.
const (
	maxOutputs     = 128
	outputOverhead = 256
)

func newOutputs(b *bus.Bus, worker string) *outputs {
	s := &outputs{bus: b}
	cut := bus.Cut[protocol.Output]{
		Items: maxOutputs, Bytes: s.limit,
		Size: func(o *protocol.Output) int64 { return int64(len(o.Data)) + outputOverhead },
	}
	to := func(door uint64) func([]protocol.Output) {
		subject := b.Subjects.OutputOf(door, worker)
		return func(part []protocol.Output) {
			if b.Local.Outputs(worker, door, part) {
				return
			}
			if err := bus.Publish(b.Payload, wire.Outputs, subject, &part); err != nil {
				b.Notice(slog.LevelWarn, "outputs not sent", subject, "outputs", len(part), "error", err) // the requests' deadlines answer them
			}
		}
	}
	s.queued, s.leaving = bus.NewOutboxes(cut, to), bus.NewOutboxes(cut, to)
	return s
}

// limit returns the largest output that can be sent, in bytes.
func (s *outputs) limit() int64 { return s.bus.Payload.MaxPayload() - outputOverhead }

// add queues the outputs of one action, one payload per request.
func (s *outputs) add(o *work.Order, payloads [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range o.Action.Requests {
		s.queued.Add(r.ID.Door, protocol.Output{
			ID:     r.ID,
			Model:  o.Action.Model,
			Batch:  o.Action.Batch,
			Items:  r.Batch,
			Queued: max(0, o.Begin.Sub(o.Received)),
			Input:  o.Input.Device,
			Exec:   o.Exec.Device,
			Output: o.Output.Device,
			Data:   payloads[i],
		})
	}
}

// flush sends the queued outputs. If another flush is running, that one sends
// them, after this one has returned.
func (s *outputs) flush() {
	for s.waiting() && s.sending.TryLock() {
		s.mu.Lock()
		s.queued, s.leaving = s.leaving, s.queued
		s.mu.Unlock()
		s.leaving.Flush()
		s.sending.Unlock()
	}
}

func (s *outputs) waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queued.Len() > 0
}
