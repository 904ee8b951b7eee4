package worker

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// outputs sends the outputs to the front doors, with as many in a message as are
// queued and fit. Any goroutine may call it.
type outputs struct {
	bus    *bus.Bus
	worker string // the worker's name

	sending sync.Mutex // held by the running flush

	mu    sync.Mutex
	boxes map[uint64]*outputBox
	full  []*outputBox // boxes with queued outputs
}

type outputBox struct {
	door    uint64
	subject string
	used    time.Time
	queue   []protocol.Output
	spare   []protocol.Output // the previous queue, for reuse
}

const (
	// maxOutputs bounds the outputs of one message, outputOverhead the bytes of an
	// output besides its data.
	maxOutputs     = 128
	outputOverhead = 256
	// idleBox is how long a front door may be without outputs before its box is
	// removed, maxBoxes the number of boxes from which on idle ones are removed.
	idleBox  = time.Minute
	maxBoxes = 1024
)

func newOutputs(b *bus.Bus, worker string) *outputs {
	return &outputs{bus: b, worker: worker, boxes: map[uint64]*outputBox{}}
}

// limit returns the largest output that can be sent, in bytes.
func (s *outputs) limit() int64 { return s.bus.Payload.MaxPayload() - outputOverhead }

// add queues the outputs of one action, one payload per request.
func (s *outputs) add(o *work.Order, payloads [][]byte) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range o.Action.Requests {
		box := s.box(r.ID.Door, now)
		if len(box.queue) == 0 {
			s.full = append(s.full, box)
		}
		box.queue = append(box.queue, protocol.Output{
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

// box returns a front door's box. The caller holds the lock.
func (s *outputs) box(door uint64, now time.Time) *outputBox {
	box := s.boxes[door]
	if box == nil {
		s.forget(now)
		box = &outputBox{door: door, subject: s.bus.Subjects.OutputOf(door, s.worker)}
		s.boxes[door] = box
	}
	box.used = now
	return box
}

// flush sends the queued outputs. If another flush is running, that one sends
// them, after this one has returned.
func (s *outputs) flush() {
	for s.waiting() && s.sending.TryLock() {
		s.sendNext()
		s.sending.Unlock()
	}
}

func (s *outputs) waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.full) > 0
}

// sendNext sends the queue of one front door. The caller holds sending.
func (s *outputs) sendNext() {
	s.mu.Lock()
	if len(s.full) == 0 {
		s.mu.Unlock()
		return
	}
	box := s.full[0]
	s.full = slices.Delete(s.full, 0, 1)
	queue := box.queue
	box.queue, box.spare = box.spare[:0], nil
	s.mu.Unlock()

	if !s.bus.Local.Outputs(s.worker, box.door, queue) {
		s.publish(box.subject, queue)
	}
	clear(queue)
	box.spare = queue[:0] // guarded by sending
}

// publish sends a batch in as few messages as possible.
func (s *outputs) publish(subject string, batch []protocol.Output) {
	for len(batch) > 0 {
		n, size := 1, int64(len(batch[0].Data))
		for n < min(len(batch), maxOutputs) && size+int64(len(batch[n].Data))+int64(n+1)*outputOverhead <= s.limit() {
			size += int64(len(batch[n].Data))
			n++
		}
		part := batch[:n]
		if err := bus.Publish(s.bus.Payload, wire.Outputs, subject, &part); err != nil {
			s.bus.Notice(slog.LevelWarn, "outputs not sent", subject, "outputs", n, "error", err) // the requests' deadlines answer them
		}
		batch = batch[n:]
	}
}

// forget removes idle boxes, if there are many. The caller holds the lock.
func (s *outputs) forget(now time.Time) {
	if len(s.boxes) < maxBoxes {
		return
	}
	for door, box := range s.boxes {
		if now.Sub(box.used) > idleBox && len(box.queue) == 0 {
			delete(s.boxes, door)
		}
	}
}
