package frontdoor

import (
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// inputBoxes collects payloads by worker. Small payloads that are dispatched
// together share a message, because for them a message costs more than its
// bytes. It belongs to one goroutine.
type inputBoxes struct {
	bus   *bus.Bus
	boxes map[string]*inputBox
	full  []*inputBox // boxes with unsent payloads
	count int         // payloads in them
}

type inputBox struct {
	worker string
	list   []protocol.Input
	bytes  int
}

// smallMessage bounds the bytes of payloads that share a message: the worker
// keeps the whole message until its last payload is executed. A larger payload
// is sent alone.
const smallMessage = 32 << 10

// maxBoxes bounds the workers with a box.
const maxBoxes = 4096

func (b *inputBoxes) add(worker string, in protocol.Input) {
	box := b.boxes[worker]
	if box == nil {
		if len(b.boxes) >= maxBoxes {
			b.flush()
			clear(b.boxes)
		}
		box = &inputBox{worker: worker}
		b.boxes[worker] = box
	}
	if box.bytes+len(in.Data) > smallMessage {
		b.send(box)
	}
	if len(box.list) == 0 {
		b.full = append(b.full, box)
	}
	box.list = append(box.list, in)
	box.bytes += len(in.Data)
	b.count++
}

func (b *inputBoxes) flush() {
	for _, box := range b.full {
		b.send(box)
	}
	clear(b.full)
	b.full, b.count = b.full[:0], 0
}

func (b *inputBoxes) send(box *inputBox) {
	if len(box.list) == 0 {
		return
	}
	if err := bus.Publish(b.bus.Payload, wire.Inputs, b.bus.Subjects.Input(box.worker), &box.list); err != nil {
		b.bus.Log.Warn("inputs not sent", "worker", box.worker, "count", len(box.list), "error", err) // the worker answers INPUT_MISSING
	}
	clear(box.list)
	box.list, box.bytes = box.list[:0], 0
}
