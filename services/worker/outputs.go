package worker

import (
	"sync"
	"time"

	"clockwork/pkg/bus"
	"clockwork/pkg/protocol"
)

// outputs sends each front door its outputs, as many in a message as have
// queued up and as a message holds. Any goroutine may call it.
type outputs struct {
	bus *bus.Bus

	mu    sync.Mutex
	boxes map[uint64]*outputBox
}

type outputBox struct {
	*bus.Batch[protocol.Output]
	used time.Time
}

const (
	// maxOutputs bounds the outputs of one message, outputOverhead what one
	// takes besides its data.
	maxOutputs     = 256
	outputOverhead = 256
	// idleBox is how long a front door may be silent before it is forgotten,
	// maxBoxes how many are known before somebody looks.
	idleBox  = time.Minute
	maxBoxes = 1024
)

func newOutputs(b *bus.Bus) *outputs { return &outputs{bus: b, boxes: map[uint64]*outputBox{}} }

// limit is the largest output that can be sent, in bytes.
func (s *outputs) limit() int64 { return s.bus.Payload.MaxPayload() - outputOverhead }

// send sends the outputs of one action, to as many front doors as it has.
func (s *outputs) send(list []protocol.Output, now time.Time) {
	for i := range list {
		box := s.box(list[i].ID.Door, now)
		box.Add(list[i])
		if i == len(list)-1 || list[i+1].ID.Door != list[i].ID.Door {
			box.Flush()
		}
	}
}

func (s *outputs) box(door uint64, now time.Time) *outputBox {
	s.mu.Lock()
	defer s.mu.Unlock()
	box := s.boxes[door]
	if box == nil {
		s.forget(now)
		subject := s.bus.Subjects.Output(door)
		box = &outputBox{Batch: bus.NewBatch(maxOutputs, func(batch []protocol.Output) { s.publish(subject, batch) })}
		s.boxes[door] = box
	}
	box.used = now
	return box
}

// publish sends a batch in as few messages as hold it.
func (s *outputs) publish(subject string, batch []protocol.Output) {
	for len(batch) > 0 {
		n, size := 1, int64(len(batch[0].Data))
		for n < len(batch) && size+int64(len(batch[n].Data))+int64(n+1)*outputOverhead <= s.limit() {
			size += int64(len(batch[n].Data))
			n++
		}
		part := batch[:n]
		if err := s.bus.Payload.Publish(subject, bus.Outputs.Encode(&part)); err != nil {
			s.bus.Log.Warn("outputs not sent", "count", n, "error", err) // deadlines answer them
		}
		batch = batch[n:]
	}
}

// forget drops boxes of front doors that were not heard of for long, once there
// are many. The caller holds the lock.
func (s *outputs) forget(now time.Time) {
	if len(s.boxes) < maxBoxes {
		return
	}
	for door, box := range s.boxes {
		if now.Sub(box.used) > idleBox {
			delete(s.boxes, door)
		}
	}
}
