package frontdoor

import (
	"time"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
)

// step gives the core one event, and sends what it decided.
func (d *FrontDoor) step(e frontdoor.Event) {
	d.mu.Lock()
	ended := d.decide(e, nil)
	d.unlock(ended)
}

// decide gives the core one event and carries out what needs no wait; what is to be
// answered is added to ended. The caller holds the lock, as below.
func (d *FrontDoor) decide(e frontdoor.Event, ended []frontdoor.Ended) []frontdoor.Ended {
	return d.carryOut(d.stepCore(clock.Now(), e), ended)
}

// stepCore has the core decide, and those who observe it see what. The output may be
// used until the next step.
func (d *FrontDoor) stepCore(now protocol.Time, e frontdoor.Event) *frontdoor.Output {
	out := d.core.Step(now, e)
	d.config.Observers.Step(now, e, out)
	return out
}

func (d *FrontDoor) carryOut(out *frontdoor.Output, ended []frontdoor.Ended) []frontdoor.Ended {
	if len(out.Submit) > 0 {
		now := clock.Now()
		for _, r := range out.Submit {
			d.submissions.Add(submission(r, now))
		}
	}
	for _, q := range out.Ask {
		d.questions = append(d.questions, question{q.Epoch, submission(q.Request, clock.Now())})
	}
	for _, in := range out.Inputs {
		r := in.Request
		d.inputs.add(in.Worker, protocol.Input{ID: r.ID, Model: r.Model.Name, Batch: r.Batch, Data: r.Payload})
	}
	for _, c := range out.Claim {
		d.startClaim(c)
	}
	if out.Wake < d.wake {
		d.wake = out.Wake
		d.timer.Reset(max(0, out.Wake.Sub(clock.Now())))
	}
	return append(ended, out.Ended...)
}

func submission(r *frontdoor.Request, now protocol.Time) protocol.Submitted {
	s := r.Submission(now)
	s.Trace = clientOf(r).trace.TraceContext
	return s
}

// unlock gives the lock back and answers what has ended.
func (d *FrontDoor) unlock(ended []frontdoor.Ended) {
	questions := d.questions
	d.questions = nil
	d.mu.Unlock()
	d.ask(questions)
	d.answerAll(ended)
	d.submissions.Flush()
}

// tick lets time pass for the core.
func (d *FrontDoor) tick() {
	d.mu.Lock()
	d.wake = protocol.Never
	d.unlock(d.decide(&frontdoor.Tick{}, d.mindConnection(nil)))
}

// mindConnection tells the core if a connection to the broker is lost, or was lost
// meanwhile.
func (d *FrontDoor) mindConnection(ended []frontdoor.Ended) []frontdoor.Ended {
	up := d.bus.Control.IsConnected() && d.bus.Payload.IsConnected()
	switch n := d.bus.Reconnects(); {
	case !up && !d.down:
		d.down = true
		return d.decide(&frontdoor.ConnectionDown{}, ended)
	case up && (d.down || n != d.reconnects):
		d.down, d.reconnects = false, n
		return d.decide(&frontdoor.ConnectionBroke{}, ended)
	}
	return ended
}

// wall is what the wall clock showed at an instant; zero where there is none.
func wall(t protocol.Time) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return clock.Wall()(t)
}
