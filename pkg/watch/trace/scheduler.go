package trace

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// A scheduler's reports: a request was submitted, what was decided, and how that ended.
// The spans below an action are the worker's times; the worker exports no spans itself.

// submissions are the recorded requests that this process' schedulers have.
type submissions struct {
	// count is len(open). It is usually 0, and then no lock is needed.
	count atomic.Int64

	mu    sync.Mutex
	open  map[protocol.RequestID]*submission
	loads map[string]*action // the last successful load of each model
	sweep protocol.Time
}

// submission is a recorded request without an answer yet.
type submission struct {
	watch.Submission
	since   protocol.Time // when the current wait began: the submission, or the end of a failed attempt
	attempt int           // the current attempt, from 1
}

// action is a copy of an action, with the number of its members.
type action struct {
	watch.Action
	members int
}

// Bounds of the submissions kept, and how long after its deadline a submission without a
// report is dropped.
const (
	maxOpen   = 1 << 16
	forgotten = 15 * time.Second
)

func newSubmissions() submissions {
	return submissions{open: map[protocol.RequestID]*submission{}, loads: map[string]*action{}}
}

func (t *Tracer) submitted(s *watch.Submission) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.At >= t.sweep {
		t.forget(s.At)
	}
	if len(t.open) >= maxOpen {
		t.losses.unheard.Add(1)
		return
	}
	t.open[s.ID] = &submission{Submission: *s, since: s.At, attempt: 1}
	t.count.Store(int64(len(t.open)))
}

// forget drops requests without a report. The caller holds the lock.
func (s *submissions) forget(now protocol.Time) {
	s.sweep = now.Add(forgotten)
	for id, r := range s.open {
		if now.Sub(r.Deadline) > forgotten {
			delete(s.open, id)
		}
	}
}

// take removes and returns an open request; nil if there is none.
func (s *submissions) take(id protocol.RequestID) *submission {
	if s.count.Load() == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.open[id]
	delete(s.open, id)
	s.count.Store(int64(len(s.open)))
	return r
}

func (t *Tracer) refused(now protocol.Time, d *protocol.Dispatch) {
	r := t.take(d.ID)
	if r == nil || d.Refusal == nil {
		return
	}
	code, why := d.Refusal.Code, d.Refusal.Message
	t.later(func() {
		wall := clock.Wall()
		t.write(r.context(), part{name: "queue", begin: wall(r.since), end: wall(now), code: code, why: why})
	})
}

func (r *submission) context() context.Context { return below(r.Trace.Trace, r.Trace.Span, "") }

// member is a request of an action, as it was when the action was sent.
type member struct {
	submission
	load *action // the load that the request waited for
}

func (t *Tracer) acted(a *watch.Action) {
	if a.Kind == protocol.LoadWeights {
		t.loaded(a)
	}
	if a.Kind != protocol.Infer || t.count.Load() == 0 {
		return
	}
	members := t.members(a)
	if len(members) == 0 {
		return
	}
	kept := keep(a)
	t.later(func() {
		for i := range members {
			t.writeAttempt(&members[i], kept)
		}
	})
}

// members returns the recorded requests of an action, and removes those that it served.
func (s *submissions) members(a *watch.Action) (list []member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ref := range a.Requests {
		r := s.open[ref.ID]
		if r == nil {
			continue
		}
		list = append(list, member{*r, s.loadFor(r, a)})
		if a.Result != nil && a.Result.Code == protocol.OK {
			delete(s.open, ref.ID)
			continue
		}
		r.since, r.attempt = a.Ended, r.attempt+1
	}
	s.count.Store(int64(len(s.open)))
	return list
}

// loadFor returns the load of the action's model on its GPU that ended while the request
// was waiting, or nil. The caller holds the lock.
func (s *submissions) loadFor(r *submission, a *watch.Action) *action {
	l := s.loads[a.Model]
	if l == nil || l.Worker != a.Worker || l.GPU != a.GPU || l.Result.End < r.since || l.Result.Begin > a.Sent {
		return nil
	}
	return l
}

// loaded keeps a load for the requests that are waiting for it.
func (t *Tracer) loaded(a *watch.Action) {
	if t.count.Load() == 0 || a.Result == nil || a.Result.Code != protocol.OK {
		return
	}
	kept := keep(a)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loads[a.Model] = kept
}

// keep copies an action, which is only valid during the listener's call.
func keep(a *watch.Action) *action {
	kept := &action{*a, len(a.Requests)}
	kept.Requests = nil
	if a.Result != nil {
		result := *a.Result
		kept.Result = &result
	}
	return kept
}

func (t *Tracer) writeAttempt(m *member, a *action) {
	wall, ctx := clock.Wall(), m.context()
	sent := wall(a.Sent)
	t.write(ctx, part{name: "queue", begin: wall(m.since), end: sent, attributes: ofDecision(a, m.attempt)})
	if l := m.load; l != nil {
		t.write(ctx, part{
			name: "load weights", begin: wall(l.within(l.Result.Begin)), end: wall(l.within(l.Result.End)),
			attributes: append(ofAction(l), ofWork(l)...),
		})
	}
	code, why := protocol.WorkerLost, "no result came"
	if a.Result != nil {
		code, why = a.Result.Code, a.Result.Message
	}
	ctx = t.write(ctx, part{name: "action", begin: sent, end: wall(a.end()), code: code, why: why, attributes: ofAction(a)})
	if a.Result == nil {
		return
	}
	for _, p := range []struct {
		name  string
		phase protocol.Phase
	}{{"input", a.Result.Input}, {"execution", a.Result.Exec}, {"output", a.Result.Output}} {
		if p.phase.End == 0 {
			continue // the action did not get so far
		}
		done := part{name: p.name, begin: wall(a.within(p.phase.Begin)), end: wall(a.within(p.phase.End))}
		if p.name == "execution" {
			done.attributes = ofWork(a)
		}
		t.write(ctx, done)
	}
}

// end is when the worker finished the action: for its requests that is before the output
// is sent.
func (a *action) end() protocol.Time {
	r := a.Result
	switch {
	case r == nil:
		return a.Ended
	case r.Code == protocol.OK:
		return between(a.Sent, max(r.End, r.Output.End), a.Ended)
	}
	return between(a.Sent, r.Sent, a.Ended)
}

// within maps a worker's time into the action's interval: the worker's clock is less
// certain than that its work lies within that interval.
func (a *action) within(t protocol.Time) protocol.Time { return between(a.Sent, t, a.end()) }

func between(least, t, most protocol.Time) protocol.Time { return min(max(t, least), most) }
