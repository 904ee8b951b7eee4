package record

import (
	"encoding/binary"
	"math"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// Hash identifies a sequence of decisions. The zero value is that of a core
// without decisions.
type Hash uint64

// Add adds an output to h. It allocates nothing.
func (h *Hash) Add(out *sched.Output) {
	h.word(uint64(len(out.Actions)))
	for i := range out.Actions {
		h.text(out.Actions[i].Worker)
		h.action(&out.Actions[i].Action)
	}
	h.dispatches(out.Dispatches)
	h.dispatches(out.Refusals)
	h.word(uint64(out.Wake))
}

func (h *Hash) action(a *protocol.Action) {
	h.word(uint64(a.ID))
	h.word(a.Issuer)
	h.word(a.Epoch)
	h.word(a.Incarnation)
	h.word(uint64(a.Kind)<<32 ^ uint64(a.GPU)<<16 ^ uint64(a.Batch))
	h.word(uint64(a.Earliest))
	h.word(uint64(a.Latest))
	h.word(uint64(a.Expected))
	h.text(a.Model)
	h.word(uint64(len(a.Requests)))
	for i := range a.Requests {
		r := &a.Requests[i]
		h.word(r.ID.Door)
		h.word(r.ID.Seq)
		h.word(uint64(r.Batch)<<1 | bit(r.Generated))
	}
}

func (h *Hash) dispatches(list []protocol.Dispatch) {
	h.word(uint64(len(list)))
	for i := range list {
		d := &list[i]
		h.word(d.ID.Door)
		h.word(d.ID.Seq)
		h.word(uint64(d.Crashes)<<32 | uint64(d.Kind)<<1 | bit(d.Cold))
		h.text(d.Worker)
		if e := d.Refusal; e != nil {
			h.text(string(e.Code))
			h.text(e.Message)
			h.word(math.Float64bits(e.EarliestMS))
			h.word(math.Float64bits(e.BudgetMS))
			h.word(uint64(e.Got))
			h.word(uint64(e.Limit))
			h.word(bit(e.Retryable))
		}
	}
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func (h *Hash) word(v uint64) {
	x := (uint64(*h) ^ v) * 0x9e3779b97f4a7c15
	*h = Hash(x ^ x>>29)
}

func (h *Hash) text(s string) {
	h.word(uint64(len(s)))
	for len(s) >= 8 {
		var b [8]byte
		copy(b[:], s)
		h.word(binary.LittleEndian.Uint64(b[:]))
		s = s[8:]
	}
	if len(s) > 0 {
		var b [8]byte
		copy(b[:], s)
		h.word(binary.LittleEndian.Uint64(b[:]))
	}
}
