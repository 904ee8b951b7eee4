package frontdoor

import (
	"log/slog"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// inputBoxes collects payloads by worker. Small payloads that are dispatched
// together share a message, because for them a message costs more than its
// bytes. It belongs to one goroutine. add sends nothing; flush sends, without any lock.
type inputBoxes struct {
	bus   *bus.Bus
	most  int // bytes of payloads that share a message
	boxes map[string]*inputBox
	full  []*inputBox // boxes with unsent payloads
	ready []inputBox  // full messages, which are sent before what is in boxes
	count int         // payloads in them
}

type inputBox struct {
	worker string
	list   []protocol.Input
	bytes  int
}

// maxBoxes bounds the workers with a box.
const maxBoxes = 4096

func (b *inputBoxes) add(worker string, in protocol.Input) {
	box := b.boxes[worker]
	if box == nil {
		if len(b.boxes) >= maxBoxes {
			b.close()
		}
		box = &inputBox{worker: worker}
		b.boxes[worker] = box
	}
	if len(box.list) > 0 && box.bytes+len(in.Data) > b.most {
		b.ready = append(b.ready, *box)
		box.list, box.bytes = nil, 0
	} else if len(box.list) == 0 {
		b.full = append(b.full, box)
	}
	box.list = append(box.list, in)
	box.bytes += len(in.Data)
	b.count++
}

// close makes what is in boxes ready, and removes the boxes.
func (b *inputBoxes) close() {
	for _, box := range b.full {
		b.ready = append(b.ready, *box)
	}
	clear(b.full)
	b.full = b.full[:0]
	clear(b.boxes)
}

func (b *inputBoxes) flush() {
	for i := range b.ready {
		publishInputs(b.bus, &b.ready[i])
	}
	clear(b.ready)
	for _, box := range b.full {
		publishInputs(b.bus, box)
		clear(box.list)
		box.list, box.bytes = box.list[:0], 0
	}
	clear(b.full)
	b.ready, b.full, b.count = b.ready[:0], b.full[:0], 0
}

// publishInputs hands payloads over to a worker of this process, or sends them. box.list is
// the caller's again.
func publishInputs(b *bus.Bus, box *inputBox) {
	if b.Local.Inputs(box.worker, box.list) {
		return
	}
	if err := bus.PublishCut(b.Payload, wire.Inputs, b.Subjects.Input(box.worker), &box.list, bus.Halves); err != nil {
		b.Notice(slog.LevelWarn, "inputs not sent", box.worker, "worker", box.worker, "inputs", len(box.list), "error", err) // the worker answers INPUT_MISSING
	}
}

// sendLarge sends a payload that shares no message on a goroutine of its own, since that takes as
// long as the broker does not take it. The core gives out one at a time.
func (d *FrontDoor) sendLarge(worker string, in protocol.Input) {
	d.work.Start(func() {
		publishInputs(d.bus, &inputBox{worker: worker, list: []protocol.Input{in}})
		d.step(&frontdoor.InputSent{})
	})
}
