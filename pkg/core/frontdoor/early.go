package frontdoor

import (
	"slices"

	"clockwork/pkg/protocol"
)

// early is an output that came before the notice that its worker was given the request.
// A generated input needs nothing from the front door, so its worker may be faster than
// the notice, which travels on another connection. Until the notice comes nobody knows
// whether the worker was given the request, so nothing is answered (G9). Any other input
// goes to the worker after the notice, so an output before it is foreign.
type early struct {
	// worker is the sender by its subject, which the broker enforces; the output is kept until
	// the request is dispatched to it, or ends.
	worker string
	output *protocol.Output
	bytes  int // of Config.EarlyBytes
}

// Bounds of early outputs. maxEarly is how many of one request are kept, each of another
// worker; earlyCost is what each takes of Config.EarlyBytes besides its bytes.
const (
	maxEarly  = 8
	earlyCost = 512
)

// keepEarly keeps an output until the notice of its dispatch, or until the request has
// its answer. It reports whether the worker has one that is kept.
func (t *table) keepEarly(r *Request, worker string, o *protocol.Output) bool {
	if r.earlyOf(worker) != nil {
		return true // sent twice
	}
	n := earlyCost + len(o.Data)
	if !r.Generated || len(r.early) >= maxEarly || !t.early.take(worker, n) {
		return false
	}
	kept := *o
	kept.Data = slices.Clone(o.Data) // the message that it came in may be far larger
	r.early = append(r.early, early{worker, &kept, n})
	return true
}

// earlyOf returns the output of a worker that waits for its notice, nil for none.
func (r *Request) earlyOf(worker string) *protocol.Output {
	for _, e := range r.early {
		if e.worker == worker {
			return e.output
		}
	}
	return nil
}

// dropEarly gives back what the early outputs of a request take.
func (t *table) dropEarly(r *Request) {
	for _, e := range r.early {
		t.early.giveBack(e.worker, e.bytes)
	}
}

// noteForeign reports the early outputs of a request that ended before a notice came.
func (m *Machine) noteForeign(r *Request) {
	for _, e := range r.early {
		if !r.mayComeFrom(e.worker) {
			m.out.Foreign = append(m.out.Foreign, Foreign{e.worker, r})
		}
	}
	r.early = nil
}
