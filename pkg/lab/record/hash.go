package record

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// Hash identifies a sequence of outputs. The zero value is that of a term without outputs.
type Hash uint64

// String is 16 hexadecimal digits.
func (h Hash) String() string { return fmt.Sprintf("%016x", uint64(h)) }

// MarshalText writes them, UnmarshalText reads them.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "%016x", (*uint64)(h))
	return err
}

// AddOutput adds the output of any core: of the scheduler's as Add, of others the JSON, which has
// all fields but those that are the driver's own, payloads by their length.
func (h *Hash) AddOutput(out any) error {
	if out, is := out.(*sched.TermOutput); is {
		h.Add(out)
		return nil
	}
	written, err := json.Marshal(out)
	addBytes(h, written)
	return err
}

// Add adds a scheduler's output to h: every field that a scheduler's output can have. It allocates
// nothing for actions, dispatches and refusals.
func (h *Hash) Add(out *sched.TermOutput) {
	h.word(uint64(len(out.Actions)))
	for i := range out.Actions {
		h.text(out.Actions[i].Worker)
		h.action(&out.Actions[i].Action)
		h.plan(&out.Actions[i].Plan)
	}
	h.dispatches(out.Dispatches)
	h.dispatches(out.Refusals)
	for i := range out.Reasons {
		h.reason(&out.Reasons[i])
	}
	for _, l := range out.Late {
		h.word(l.ID.Door)
		h.word(l.ID.Seq)
		h.word(uint64(l.Why))
	}
	for _, u := range out.Unanswered {
		h.word(uint64(u.Action)<<1 | bit(u.Lost))
	}
	h.word(uint64(out.Wake))
	h.dispatches(out.Verdicts)
	if len(out.Incidents)+len(out.Ask)+len(out.Questions)+len(out.Owed)+len(out.Notes) > 0 || out.Activated || out.Resign != "" {
		h.rare(out)
	}
}

// rare adds what few outputs have.
func (h *Hash) rare(out *sched.TermOutput) {
	written, _ := json.Marshal([]any{out.Incidents, out.Ask, out.Questions, out.Owed, out.Activated, out.Resign, out.Notes}) // plain values: it cannot fail
	h.text(string(written))
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

func (h *Hash) plan(p *sched.Plan) {
	h.word(uint64(p.Begin))
	h.word(uint64(p.End))
	h.word(uint64(p.Queued)<<32 ^ uint64(p.Copies))
}

func (h *Hash) dispatches(list []protocol.Dispatch) {
	h.word(uint64(len(list)))
	for i := range list {
		d := &list[i]
		h.word(d.ID.Door)
		h.word(d.ID.Seq)
		h.word(d.Epoch)
		h.word(uint64(d.Crashes)<<32 | uint64(d.Kind)<<1 | bit(d.Cold))
		h.text(d.Worker)
		if refusal := d.Refusal; refusal != nil {
			h.text(string(refusal.Code))
			h.text(refusal.Message)
			h.word(math.Float64bits(refusal.EarliestMS))
			h.word(math.Float64bits(refusal.BudgetMS))
			h.word(uint64(refusal.Got))
			h.word(uint64(refusal.Limit))
			h.word(bit(refusal.Retryable))
		}
	}
}

func (h *Hash) reason(r *sched.Reason) {
	h.word(uint64(r.Why)<<1 | bit(r.Cold))
	for _, at := range []protocol.Time{r.At, r.Arrived, r.Deadline, r.Earliest, r.Idle, r.IdleLoad} {
		h.word(uint64(at))
	}
	h.word(uint64(r.Reserve))
	h.word(uint64(r.Backlog))
	h.word(uint64(r.Budget))
	for _, n := range []int{r.Ahead, r.Waiting, r.Copies, r.GPUs, r.Wanted} {
		h.word(uint64(n))
	}
	h.offer(&r.Best)
}

func (h *Hash) offer(o *sched.Offer) {
	h.text(o.Worker)
	h.word(uint64(o.GPU))
	h.word(uint64(o.Open))
	h.text(o.With)
	h.word(uint64(o.Free))
	h.word(uint64(o.Reach))
	h.word(uint64(o.To))
	h.word(uint64(o.Back))
	h.word(uint64(o.Ready))
	h.word(uint64(o.Load))
	h.word(uint64(o.Exec))
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

func (h *Hash) text(s string) { addBytes(h, s) }

func addBytes[T ~string | ~[]byte](h *Hash, s T) {
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
