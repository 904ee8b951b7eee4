package frontdoor

import (
	"log/slog"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// maxInputs bounds the inputs of one message, however small they are.
const maxInputs = 2048

// newInputs returns outboxes of payloads, by worker. Small ones that are dispatched together
// share messages of at most so many bytes, because for them a message costs more than its
// bytes.
func newInputs(b *bus.Bus, most int) *bus.Outboxes[string, protocol.Input] {
	cut := bus.Cut[protocol.Input]{
		Items: maxInputs,
		Bytes: func() int64 { return int64(most) },
		Size:  func(in *protocol.Input) int64 { return int64(len(in.Data)) },
	}
	return bus.NewOutboxes(cut, func(worker string) func([]protocol.Input) {
		return func(list []protocol.Input) { publishInputs(b, worker, list) }
	})
}

// publishInputs hands payloads over to a worker of this process, or sends them. The list is
// the caller's again.
func publishInputs(b *bus.Bus, worker string, list []protocol.Input) {
	if b.Local.Inputs(worker, list) {
		return
	}
	if err := bus.PublishCut(b.Payload, wire.Inputs, b.Subjects.Input(worker), &list, bus.Halves); err != nil {
		b.Notice(slog.LevelWarn, "inputs not sent", worker, "worker", worker, "inputs", len(list), "error", err) // the worker answers INPUT_MISSING
	}
}

// sendLarge sends a payload that shares no message on a goroutine of its own, since that takes as
// long as the broker does not take it. The core gives out one at a time.
func (d *FrontDoor) sendLarge(worker string, in protocol.Input) {
	d.work.Start(func() {
		publishInputs(d.bus, worker, []protocol.Input{in})
		d.step(&frontdoor.InputSent{})
	})
}
