package frontdoor

import (
	"log/slog"
	"sync"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// inputBoxes collects payloads by worker. Small payloads that are dispatched
// together share a message, because for them a message costs more than its
// bytes. It belongs to one goroutine. add sends nothing; flush sends, without any lock,
// and leaves large payloads to another goroutine.
type inputBoxes struct {
	bus   *bus.Bus
	large *largeInputs
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
			b.close()
		}
		box = &inputBox{worker: worker}
		b.boxes[worker] = box
	}
	if len(box.list) > 0 && box.bytes+len(in.Data) > smallMessage {
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
		b.send(b.ready[i])
	}
	clear(b.ready)
	for _, box := range b.full {
		if b.send(*box) {
			clear(box.list)
			box.list = box.list[:0]
		} else {
			box.list = nil
		}
		box.bytes = 0
	}
	clear(b.full)
	b.ready, b.full, b.count = b.ready[:0], b.full[:0], 0
}

// send sends a message, or leaves it to largeInputs and returns false.
func (b *inputBoxes) send(box inputBox) bool {
	if b.bus.Local.Inputs(box.worker, box.list) {
		return true
	}
	if box.bytes > smallMessage {
		b.large.add(box)
		return false
	}
	publishInputs(b.bus, &box)
	return true
}

func publishInputs(b *bus.Bus, box *inputBox) {
	if err := bus.PublishCut(b.Payload, wire.Inputs, b.Subjects.Input(box.worker), &box.list, bus.Halves); err != nil {
		b.Notice(slog.LevelWarn, "inputs not sent", box.worker, "worker", box.worker, "inputs", len(box.list), "error", err) // the worker answers INPUT_MISSING
	}
}

// largeInputs sends payloads that do not share a message, one after the other, on a
// goroutine of their own while there are any: writing one takes as long as the broker does
// not take it. A request whose payload comes too late is planned again, often many times
// before the payload could be sent once. So each request has at most one place in the
// queue, for the worker that it was given to last, and what has its answer is not sent:
// otherwise a burst that is larger than the network is fast would never end. Its methods
// may be called from any goroutine.
type largeInputs struct {
	send  func(*inputBox)
	open  func(seq uint64) bool // the request has no answer yet
	start func(func()) bool     // starts a goroutine

	mu      sync.Mutex
	queue   []uint64            // requests, by number
	boxes   map[uint64]inputBox // of those in queue
	sending bool                // a goroutine is running
}

func (l *largeInputs) add(box inputBox) {
	if l.put(box) && !l.start(l.run) { // the front door has stopped
		l.mu.Lock()
		l.sending = false
		l.mu.Unlock()
	}
}

// put reports whether nobody sends yet: the caller does then.
func (l *largeInputs) put(box inputBox) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	seq := box.list[0].ID.Seq
	if _, waits := l.boxes[seq]; !waits {
		l.queue = append(l.queue, seq)
	}
	l.boxes[seq] = box
	idle := !l.sending
	l.sending = true
	return idle
}

// run sends until nothing is left.
func (l *largeInputs) run() {
	for box := l.next(); box != nil; box = l.next() {
		if l.open(box.list[0].ID.Seq) {
			l.send(box)
		}
	}
}

func (l *largeInputs) next() *inputBox {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.queue, l.sending = nil, false
		return nil
	}
	box := l.boxes[l.queue[0]]
	delete(l.boxes, l.queue[0])
	l.queue = l.queue[1:]
	return &box
}
