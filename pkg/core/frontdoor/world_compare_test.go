package frontdoor

import (
	"cmp"
	"fmt"
	"slices"

	"clockwork/pkg/protocol"
)

// compare: the output of a step is exactly the expected one.
func (b *books) compare(e Event, out *Output) {
	want, id := &b.want, b.door.id
	refused := protocol.Code("")
	if out.Refusal != nil {
		refused = out.Refusal.Code
	}
	if refused != want.refused || (out.Admitted != nil) != want.admitted || (out.Ignored != NotIgnored) != want.ignored || (out.Store != nil) != want.store {
		b.failf("front door %d: %T %+v refuses %q, admits %v, ignores %v, stores %v; expected %+v", id, e, e, refused, out.Admitted, out.Ignored, out.Store, want)
	}
	if rejected := out.Rejected; (rejected != nil) != (want.rejected != nil) || rejected != nil && b.clientOf(rejected) != want.rejected {
		b.failf("front door %d rejects %+v, expected %+v", id, rejected, want.rejected)
	}
	b.compareRequests("submits", out.Submit, want.submit)
	b.compareRequests("withdraws", out.Withdraw, want.withdraw)
	b.compareForeign(out)
	b.compareInputs(out)
	b.compareQuestions(out)
	b.compareEnded(e, out)
	b.compareClaims(out)
}

// only is a list of one, or of none.
func only[T any](x *T) []*T {
	if x == nil {
		return nil
	}
	return []*T{x}
}

func each[T any](list []T, show func(T) string) (all []string) {
	for _, x := range list {
		all = append(all, show(x))
	}
	return all
}

func (b *books) compareRequests(does string, got []*Request, want []*entry) {
	same := slices.EqualFunc(got, want, func(r *Request, x *entry) bool {
		return r.ID == protocol.RequestID{Door: b.door.id, Seq: x.seq} && r.Reply == x.c.in.Reply && r.Deadline == x.deadline &&
			r.Submission(b.Now).Crashes == x.crashes
	})
	if !same {
		b.failf("front door %d %s %v, expected %v", b.door.id, does, each(got, func(r *Request) string { return fmt.Sprint(r.ID.Seq, r.Reply, r.Deadline) }),
			each(want, func(x *entry) string { return fmt.Sprint(x.seq, x.c.in.Reply, x.deadline) }))
	}
}

func (b *books) compareForeign(out *Output) {
	var got []*Request
	for _, f := range out.Foreign {
		if got = append(got, f.Request); b.open[f.Request.ID.Seq] != nil && b.open[f.Request.ID.Seq].dispatched[f.Worker] {
			b.failf("front door %d takes an output of %s for foreign, and request %d was given to it", b.door.id, f.Worker, f.Request.ID.Seq)
		}
	}
	slices.SortFunc(got, byNumber)
	slices.SortFunc(b.want.foreign, func(x, y *entry) int { return cmp.Compare(x.seq, y.seq) })
	b.compareRequests("takes for foreign", got, b.want.foreign)
}

// compareInputs: the input is that of the request's client.
func (b *books) compareInputs(out *Output) {
	var got, large []*Request
	for _, in := range out.Inputs {
		got = append(got, in.Request)
	}
	b.compareRequests("sends inputs of", got, only(b.want.input))
	if in := out.LargeInput; in != nil {
		large = append(large, in.Request)
		if x := b.want.large; x != nil && x.to != in.Worker {
			b.failf("front door %d sends the large input of request %d to %s, expected %s", b.door.id, in.Request.ID.Seq, in.Worker, x.to)
		}
	}
	b.compareRequests("sends the large input of", large, only(b.want.large))
	for _, r := range append(got, large...) {
		x := b.open[r.ID.Seq]
		if c := x.c; !slices.Equal(r.Payload, c.payload()) || r.Batch != c.batch {
			b.failf("G9: front door %d sends %d items %v for request %d", b.door.id, r.Batch, r.Payload, c.number)
		}
	}
}

func (b *books) compareQuestions(out *Output) {
	for _, q := range out.Ask {
		seq := q.Request.ID.Seq
		if epoch, want := b.want.asks[seq]; !want || epoch != q.Epoch || q.Request.Submission(b.Now).Budget > 0 {
			b.failf("front door %d asks epoch %d about %d, expected %v", b.door.id, q.Epoch, seq, b.want.asks)
		}
		delete(b.want.asks, seq)
	}
	if len(b.want.asks) > 0 {
		b.failf("front door %d does not ask %v", b.door.id, b.want.asks)
	}
}

// compareEnded: each answer is expected, is reported to the scheduler if the request was
// submitted, and is OK only within the deadline.
func (b *books) compareEnded(e Event, out *Output) {
	for i := range out.Ended {
		ended := &out.Ended[i]
		r := ended.Request
		c := b.clientOf(r)
		x := b.want.ended[c]
		if x == nil {
			b.failf("G1: front door %d: %T ends request %v of %q, which is not due: %v", b.door.id, e, r.ID, r.Reply, ended.Refusal)
		}
		delete(b.want.ended, c)
		b.compareAnswer(x, ended)
	}
	for c, x := range b.want.ended {
		b.failf("G1: front door %d: %T does not answer request %d with %q", b.door.id, e, c.number, x.fault)
	}
}

func (b *books) compareAnswer(x *entry, e *Ended) {
	fault := protocol.Code("")
	if e.Refusal != nil {
		fault = e.Refusal.Code
	}
	if fault != x.fault || e.Claim != (x.submitted != 0 && !x.c.in.Direct) || e.At != b.Now || (e.Output != nil) != (fault == "" && x.ran) {
		b.failf("front door %d answers request %d with %q, claims %v; expected %q of epoch %d", b.door.id, x.c.number, fault, e.Claim, x.fault, x.submitted)
	}
	if read := x.c.read(true); x.seq != 0 && (e.Request.ClientID != read.ClientID || e.Request.Encoding != read.Encoding) {
		b.failf("front door %d answers request %d as %q in encoding %d", b.door.id, x.c.number, e.Request.ClientID, e.Request.Encoding)
	}
	if fault == "" && e.At >= x.deadline {
		b.failf("G2: front door %d answers OK at %v, after %v", b.door.id, e.At, x.deadline)
	}
}
