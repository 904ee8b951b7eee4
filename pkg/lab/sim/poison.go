package sim

import (
	"math/rand/v2"
	"time"

	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
)

// Poison: some requests end the executor of whoever executes them, or never end. Whether
// a request does depends on the seed and its number alone, so it does so each time.

// poisoned reports whether a run has poison.
func (f Faults) poisoned() bool { return f.Poison > 0 || f.Endless > 0 }

// poison is what a request does to its executor.
type poison uint8

const (
	harmless poison = iota
	kills
	hangs
)

// poisonOf returns what an order does, by the first of its members that does anything.
func (s *world) poisonOf(o *work.Order) poison {
	f := &s.config.Faults
	if !f.poisoned() || o.Action.Kind != protocol.Infer || o.Action.Issuer == profilerIssuer {
		return harmless
	}
	for _, ref := range o.Action.Requests {
		draw := rand.New(rand.NewPCG(s.config.Seed+seedOfPoison<<32, ref.ID.Seq)).Float64()
		switch {
		case draw < f.Poison:
			return kills
		case draw < f.Poison+f.Endless:
			return hangs
		}
	}
	return harmless
}

// endless returns how long an order takes that does not end by itself: until the worker
// ends its executor.
func (h *host) endless(o *work.Order) (time.Duration, bool) {
	if h.world.poisonOf(o) != hangs {
		return 0, false
	}
	h.world.report.Faults.Endless++
	return work.DefaultOverdue().After(o.Action.Expected), true
}

// poisonEnds ends the executor of a GPU with the order that it executes, if that is
// poison.
func (h *host) poisonEnds(o *work.Order) *protocol.Error {
	s := h.world
	if s.poisonOf(o) == harmless {
		return nil
	}
	s.report.Faults.Poisoned++
	h.missed = s.now // the scheduler that has the worker now may not get the result
	if h.books != nil {
		h.books[o.GPU].lose(o)
	}
	return protocol.Refusal(protocol.ExecutorLost)
}

// restarts returns how long the next executor of a GPU takes to start.
func (h *host) restarts() time.Duration {
	return max(time.Millisecond, h.world.config.Faults.ExecutorAfter)
}

// lose removes what a GPU held from the page audit, except for weights that are being
// loaded or evicted: the end of that removes them.
func (b *pageAudit) lose(o *work.Order) {
	b.users[o.Action.Model]--
	for name := range b.there {
		b.drop(name)
	}
}

func (b *pageAudit) drop(name string) {
	delete(b.there, name)
	delete(b.held, name)
}
