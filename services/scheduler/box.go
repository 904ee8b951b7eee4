package scheduler

import (
	"log/slog"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/wire"
)

// box collects the decisions for one receiver; the term's lock guards it.
type box[T any] struct {
	bus     *bus.Bus
	subject string
	codec   wire.Codec[[]T]
	most    int // items per message
	items   []T
}

// flusher is a box of any item type.
type flusher interface{ flush() }

func newBox[T any](b *bus.Bus, subject string, codec wire.Codec[[]T], most int) *box[T] {
	return &box[T]{bus: b, subject: subject, codec: codec, most: most}
}

// addBox stores a box for a receiver. Boxes are kept so that their memory is
// reused. If there are too many, all are removed and recreated on demand (items
// in a removed box are still sent).
func addBox[K comparable, T any](boxes map[K]*box[T], of K, b *box[T]) {
	if len(boxes) >= maxBoxes {
		clear(boxes)
	}
	boxes[of] = b
}

// add adds an item and reports whether it is the first since the last flush.
func (b *box[T]) add(item T) (first bool) {
	b.items = append(b.items, item)
	return len(b.items) == 1
}

// flush sends the items, in as few messages as possible.
func (b *box[T]) flush() {
	for rest := b.items; len(rest) > 0; {
		part := rest[:min(len(rest), b.most)]
		rest = rest[len(part):]
		if err := bus.PublishCut(b.bus.Control, b.codec, b.subject, &part, bus.Halves); err != nil {
			b.bus.Notice(slog.LevelWarn, "decisions not sent", b.subject, "subject", b.subject, "count", len(part), "error", err)
		}
	}
	clear(b.items)
	b.items = b.items[:0]
}
