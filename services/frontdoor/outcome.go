package frontdoor

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// How a door learns what becomes of its requests.

// onDispatch does what the scheduler decided.
func (d *FrontDoor) onDispatch(m *nats.Msg) {
	defer d.sendLast(m.Sub)
	dispatches, fault := wire.Dispatches.Decode(m.Data)
	if fault != nil {
		d.bus.Log.Warn("bad dispatch", "error", fault)
		return
	}
	now := time.Now()
	var ended []*request
	var refusals []*protocol.Error // of each, nil for an answer
	for i := range dispatches {
		switch x := &dispatches[i]; x.Kind {
		case protocol.ToWorker:
			d.dispatch(x, now)
		case protocol.Refuse, protocol.Answer:
			if x.Kind == protocol.Refuse && x.Refusal == nil {
				x.Refusal = protocol.Refusal(protocol.Internal)
			}
			if r := d.take(x.ID); r != nil {
				ended, refusals = append(ended, r), append(refusals, x.Refusal)
			}
		}
	}
	d.claim(ended...)
	for i, r := range ended {
		if refusals[i] != nil {
			d.refuse(r, refusals[i])
		} else {
			d.respond(r, nil, now)
		}
	}
}

// dispatch queues a request's payload for the worker that will run it.
func (d *FrontDoor) dispatch(x *protocol.Dispatch, now time.Time) {
	d.mu.Lock()
	r := d.table.bySeq[x.ID.Seq]
	var in protocol.Input
	if r != nil && x.ID.Door == d.id {
		r.dispatch(x.Worker, x.Cold, now)
		in = protocol.Input{ID: r.id, Model: r.model.Name, Batch: r.batch, Data: r.payload}
	}
	needed := r != nil && !r.generated
	d.mu.Unlock()
	if !needed || !protocol.ValidName(x.Worker) {
		return
	}
	d.inputs.add(x.Worker, in)
}

// sendLast sends the payloads once no dispatch waits behind this one, or when
// enough have come together.
func (d *FrontDoor) sendLast(sub *nats.Subscription) {
	if waiting, _, err := sub.Pending(); err != nil || waiting <= 1 || d.inputs.count >= maxHeld {
		d.inputs.flush()
	}
}

// onOutput answers requests that were executed. Who the worker is, the subject says.
func (d *FrontDoor) onOutput(m *nats.Msg) {
	outputs, fault := wire.Outputs.Decode(m.Data)
	if fault != nil {
		d.bus.Log.Warn("bad output", "error", fault)
		return
	}
	now, worker := time.Now(), d.bus.Subjects.Token(m.Subject, 3)
	var ended []*request
	for i := range outputs {
		if r := d.takeFrom(worker, outputs[i].ID); r != nil {
			ended = append(ended, r)
			outputs[len(ended)-1] = outputs[i]
		}
	}
	d.claim(ended...)
	for i, r := range ended {
		d.respond(r, &outputs[i], now)
	}
}

// takeFrom is take for an output, which counts only from a worker that the request
// was dispatched to.
func (d *FrontDoor) takeFrom(worker string, id protocol.RequestID) *request {
	if id.Door != d.id {
		return nil
	}
	d.mu.Lock()
	r := d.table.bySeq[id.Seq]
	foreign := r != nil && !r.mayComeFrom(worker)
	if !foreign {
		r = d.table.take(id.Seq)
	}
	d.mu.Unlock()
	if foreign {
		if count := d.foreign.Add(time.Now()); count > 0 {
			d.bus.Log.Warn("outputs ignored: their requests were given to other workers", "count", count, "latest", worker, "request", id)
		}
		return nil
	}
	if r == nil {
		d.Late.Add(1)
	}
	return r
}

// take takes a request out for its answer; nil when it was answered before.
func (d *FrontDoor) take(id protocol.RequestID) *request {
	if id.Door != d.id {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.table.take(id.Seq)
	if r == nil {
		d.Late.Add(1)
	}
	return r
}

// watchDeadlines answers each request whose deadline comes first.
func (d *FrontDoor) watchDeadlines(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-d.wake:
		}
		for {
			d.mu.Lock()
			r, next, epoch := d.table.expired(time.Now()), d.table.next(), d.epoch
			d.watched = next
			d.mu.Unlock()
			if r == nil {
				if !next.IsZero() {
					timer.Reset(time.Until(next))
				}
				break
			}
			d.refuse(r, overdue(r, epoch))
		}
	}
}

// overdue says why a request has no answer at its deadline.
func overdue(r *request, epoch uint64) *protocol.Error {
	if epoch == 0 {
		return protocol.Errorf(protocol.SchedulerLost, "no scheduler was active when the deadline came")
	}
	refusal := protocol.Errorf(protocol.DeadlineExceeded, "no answer within %v", r.deadline.Sub(r.arrived))
	refusal.BudgetMS = protocol.Milliseconds(r.deadline.Sub(r.arrived))
	return refusal
}
