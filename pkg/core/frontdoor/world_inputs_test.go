package frontdoor

import "slices"

// largeBooks say which large payload is sent next, in the plainest way: all that were
// dispatched and not sent since, in the order of their first dispatches.
type largeBooks struct {
	queue   []uint64
	sending bool
}

// sendsInput expects a request's payload in this step, or in its turn.
func (b *books) sendsInput(x *entry, worker string) {
	x.to = worker
	switch {
	case x.payload <= b.config.LargeInput:
		b.want.input = x
	case slices.Contains(b.large.queue, x.seq):
		b.count("large input planned again")
	default:
		b.large.queue = append(b.large.queue, x.seq)
		b.nextLarge()
	}
}

func (b *books) inputSent() {
	b.large.sending = false
	b.nextLarge()
}

func (b *books) nextLarge() {
	for len(b.large.queue) > 0 && !b.large.sending {
		x := b.open[b.large.queue[0]]
		b.large.queue = slices.Delete(b.large.queue, 0, 1)
		if x == nil || x.phase != waiting {
			b.count("large input not needed any more")
			continue
		}
		b.count("large input")
		b.want.large, b.large.sending = x, true
	}
}
