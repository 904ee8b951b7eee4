package wire

import (
	"math"

	"clockwork/pkg/protocol"
)

// The codecs of all internal messages. A change of a message's fields needs a new
// version byte, except for an optional field at the end (arrayAndOne): a receiver that
// does not know the field refuses the message by its number of fields.
var (
	Actions     = Codec[[]protocol.Action]{"actions", func(k *coder, v *[]protocol.Action) { list(k, v, codeAction) }}
	Results     = Codec[protocol.ResultBatch]{"results", codeResults}
	Submissions = Codec[protocol.SubmissionBatch]{"submissions", codeSubmissions}
	Dispatches  = Codec[[]protocol.Dispatch]{"dispatches", func(k *coder, v *[]protocol.Dispatch) { list(k, v, codeDispatch) }}
	Inputs      = Codec[[]protocol.Input]{"inputs", func(k *coder, v *[]protocol.Input) { list(k, v, codeInput) }}
	Outputs     = Codec[[]protocol.Output]{"outputs", func(k *coder, v *[]protocol.Output) { list(k, v, codeOutput) }}
	Heartbeat   = Codec[protocol.Heartbeat]{"heartbeat", codeHeartbeat}
	Join        = Codec[protocol.WorkerState]{"join", codeWorkerState}
	Start       = Codec[protocol.ClockworkState]{"start", codeClockworkState}
	Clock       = Codec[protocol.ClockReading]{"clock", codeClock}
	Job         = Codec[protocol.ProfileJob]{"profile job", codeJob}
	Report      = Codec[protocol.ProfileReport]{"profile report", codeReport}
)

// codeAction writes the leader only of actions that name one: those of the scheduler do
// not.
func codeAction(k *coder, a *protocol.Action) {
	led := k.arrayAndOne(15, a.Leader != protocol.Leader{})
	num(k, &a.ID)
	num(k, &a.Issuer)
	num(k, &a.Epoch)
	num(k, &a.Incarnation)
	num(k, &a.Kind)
	instant(k, &a.Earliest)
	instant(k, &a.Latest)
	span(k, &a.Expected)
	index(k, &a.GPU)
	text(k, &a.Model)
	count(k, &a.Batch)
	list(k, &a.Requests, codeRequestRef)
	optional(k, &a.Load, codeLoadSpec)
	k.flag(&a.Lean)
	list(k, &a.Models, text[string])
	if led {
		codeLeader(k, &a.Leader)
	}
}

func codeLeader(k *coder, l *protocol.Leader) {
	k.array(2)
	text(k, &l.Service)
	num(k, &l.Term)
}

func codeRequestRef(k *coder, r *protocol.RequestRef) {
	k.array(4)
	codeRequestID(k, &r.ID)
	count(k, &r.Batch)
	k.flag(&r.Generated)
}

// codeRequestID codes two fields of the surrounding array.
func codeRequestID(k *coder, id *protocol.RequestID) {
	num(k, &id.Door)
	num(k, &id.Seq)
}

func codeLoadSpec(k *coder, l *protocol.LoadSpec) {
	k.array(8)
	text(k, &l.Path)
	list(k, &l.Names, text[string])
	signed(k, &l.Version, 0, math.MaxInt)
	text(k, &l.Digest)
	k.flag(&l.Compare)
	count(k, &l.MaxBatch)
	span(k, &l.MaxExec)
	span(k, &l.Within)
}

func codeResults(k *coder, b *protocol.ResultBatch) {
	k.array(2)
	num(k, &b.Issuer)
	list(k, &b.Results, func(k *coder, r *protocol.Result) {
		r.Issuer = b.Issuer
		codeResult(k, r)
	})
}

func codeResult(k *coder, r *protocol.Result) {
	k.array(19)
	num(k, &r.Action)
	num(k, &r.Epoch)
	num(k, &r.Incarnation)
	num(k, &r.Kind)
	text(k, &r.Code)
	message(k, &r.Message)
	index(k, &r.GPU)
	text(k, &r.Model)
	count(k, &r.Batch)
	instant(k, &r.Received)
	instant(k, &r.Begin)
	instant(k, &r.End)
	instant(k, &r.Sent)
	codePhase(k, &r.Input)
	codePhase(k, &r.Exec)
	codePhase(k, &r.Output)
	codeModels(k, &r.Loaded)
	list(k, &r.Profiles, codeProfile)
	optional(k, &r.State, codeWorkerState)
}

func codePhase(k *coder, p *protocol.Phase) {
	k.array(3)
	instant(k, &p.Begin)
	instant(k, &p.End)
	span(k, &p.Device)
}

func codeSubmissions(k *coder, b *protocol.SubmissionBatch) {
	withdraws := k.arrayAndOne(4, len(b.Withdrawn) > 0)
	num(k, &b.Door)
	num(k, &b.Epoch)
	list(k, &b.Answered, num[uint64])
	list(k, &b.Requests, func(k *coder, s *protocol.Submitted) {
		s.ID.Door = b.Door
		codeSubmission(k, s)
	})
	if withdraws {
		list(k, &b.Withdrawn, num[uint64])
	}
}

// codeSubmission writes the trace field only if there is a trace, so that untraced
// requests carry no bytes for it.
func codeSubmission(k *coder, s *protocol.Submitted) {
	traced := k.arrayAndOne(11, s.Trace.Recorded())
	num(k, &s.ID.Seq)
	text(k, &s.Model)
	count(k, &s.Batch)
	size(k, &s.Bytes)
	span(k, &s.Budget)
	span(k, &s.Elapsed)
	signed(k, &s.Priority, math.MinInt, math.MaxInt) // the client's, which nothing is computed with
	k.flag(&s.Generated)
	unique(k, &s.Reply)
	k.flag(&s.JSON)
	num(k, &s.Crashes)
	if traced {
		codeTrace(k, &s.Trace)
	}
}

func codeTrace(k *coder, t *protocol.TraceContext) {
	var both [len(t.Trace) + len(t.Span)]byte
	copy(both[copy(both[:], t.Trace[:]):], t.Span[:])
	k.fixed(both[:])
	copy(t.Span[:], both[copy(t.Trace[:], both[:]):])
}

func codeDispatch(k *coder, d *protocol.Dispatch) {
	k.array(8)
	codeRequestID(k, &d.ID)
	num(k, &d.Kind)
	num(k, &d.Epoch)
	text(k, &d.Worker)
	k.flag(&d.Cold)
	num(k, &d.Crashes)
	optional(k, &d.Refusal, codeError)
}

func codeError(k *coder, refusal *protocol.Error) {
	staged := k.arrayAndOne(11, refusal.Stage != "")
	text(k, &refusal.Code)
	message(k, &refusal.Message)
	k.flag(&refusal.Retryable)
	k.float(&refusal.EarliestMS)
	k.float(&refusal.BudgetMS)
	signed(k, &refusal.Got, math.MinInt64, math.MaxInt64) // for people, as the next
	signed(k, &refusal.Limit, math.MinInt64, math.MaxInt64)
	text(k, &refusal.LimitOf)
	k.float(&refusal.RetryMS)
	k.float(&refusal.BufferedMS)
	list(k, &refusal.Workers, func(k *coder, w *protocol.WorkerError) {
		k.array(3)
		text(k, &w.Worker)
		text(k, &w.Code)
		message(k, &w.Message)
	})
	if staged {
		text(k, &refusal.Stage)
	}
}

func codeInput(k *coder, in *protocol.Input) {
	k.array(5)
	codeRequestID(k, &in.ID)
	text(k, &in.Model)
	count(k, &in.Batch)
	k.raw(&in.Data)
}

func codeOutput(k *coder, o *protocol.Output) {
	k.array(10)
	codeRequestID(k, &o.ID)
	text(k, &o.Model)
	count(k, &o.Batch)
	count(k, &o.Items)
	span(k, &o.Queued)
	span(k, &o.Input)
	span(k, &o.Exec)
	span(k, &o.Output)
	k.raw((*[]byte)(&o.Data))
}

// codeHeartbeat writes the job only of profilers that have one.
func codeHeartbeat(k *coder, h *protocol.Heartbeat) {
	works := k.arrayAndOne(12, h.Job != 0)
	num(k, &h.Incarnation)
	num(k, &h.Epoch)
	text(k, &h.State)
	if !k.encoding && !h.State.InHeartbeats() {
		k.fail("state %q is none of a service", protocol.ShortText(string(h.State), protocol.MaxText))
	}
	num(k, &h.ClockEpoch)
	count(k, &h.InFlight)
	count(k, &h.Capacity.GPUs)
	count(k, &h.Capacity.Models)
	count(k, &h.Capacity.Unavailable)
	count(k, &h.Capacity.Refused)
	atMost(k, &h.GPUs, protocol.MaxGPUs, func(k *coder, g *protocol.GPUBeat) {
		k.array(3)
		k.flag(&g.Stalled)
		k.flag(&g.Restarting)
		num(k, &g.Executor)
	})
	atMost(k, &h.Quarantined, protocol.MaxQuarantined, func(k *coder, m *protocol.QuarantinedModel) {
		k.array(2)
		text(k, &m.Name)
		span(k, &m.Left)
	})
	atMost(k, &h.Unavailable, protocol.MaxUnavailable, func(k *coder, name *string) { text(k, name) })
	if works {
		num(k, &h.Job)
	}
}

func codeClock(k *coder, r *protocol.ClockReading) {
	k.array(2)
	num(k, &r.Epoch)
	instant(k, &r.Now)
}
