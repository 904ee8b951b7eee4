package frontdoor

import (
	"time"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
)

// step applies one event to the core and sends its decisions. The core hears first that
// a connection broke: a heartbeat from after the break would hide the outage.
func (d *FrontDoor) step(e frontdoor.Event) {
	d.mu.Lock()
	d.unlock(d.decide(e, d.checkConnection(nil)))
}

// decide applies one event to the core and carries out what does not block;
// requests to be answered are appended to ended. The caller holds the lock, also
// for the functions below.
func (d *FrontDoor) decide(e frontdoor.Event, ended []frontdoor.Ended) []frontdoor.Ended {
	return d.carryOut(d.stepCore(clock.Now(), e), ended)
}

// stepCore applies one event to the core and shows both to the observers. The
// output is valid until the next step.
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
	for _, r := range out.Withdraw {
		d.withdrawn = append(d.withdrawn, r.ID.Seq)
	}
	for _, q := range out.Ask {
		d.questions = append(d.questions, question{q.Epoch, submission(q.Request, clock.Now())})
	}
	for _, in := range out.Inputs {
		d.inputs.Add(in.Worker, inputOf(in.Request))
	}
	if in := out.LargeInput; in != nil {
		d.sendLarge(in.Worker, inputOf(in.Request))
	}
	for _, f := range out.Foreign {
		d.noteForeign(f)
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

func inputOf(r *frontdoor.Request) protocol.Input {
	return protocol.Input{ID: r.ID, Model: r.Model.Name, Batch: r.Batch, Data: r.Payload}
}

func submission(r *frontdoor.Request, now protocol.Time) protocol.Submitted {
	s := r.Submission(now)
	s.Trace = clientOf(r).trace.TraceContext
	return s
}

// unlock releases the lock and answers the ended requests.
func (d *FrontDoor) unlock(ended []frontdoor.Ended) {
	questions, withdrawn := d.questions, d.withdrawn
	d.questions, d.withdrawn = nil, nil
	d.mu.Unlock()
	d.ask(questions)
	d.answerAll(ended)
	d.submissions.Flush()
	d.withdraw(withdrawn) // behind their submissions
}

// tick applies a Tick to the core.
func (d *FrontDoor) tick() {
	d.mu.Lock()
	d.wake = protocol.Never
	d.unlock(d.decide(&frontdoor.Tick{}, d.checkConnection(nil)))
}

// checkConnection reports to the core how the connections to the broker stand, if that
// is news.
func (d *FrontDoor) checkConnection(ended []frontdoor.Ended) []frontdoor.Ended {
	now := frontdoor.Connection{Up: d.bus.Connected(), Breaks: d.bus.Reconnects() - d.reconnects}
	if now == d.core.Connection() {
		return ended
	}
	news := now // escapes, which now does not
	return d.decide(&news, ended)
}

// wall converts an instant to wall-clock time; zero stays zero.
func wall(t protocol.Time) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return clock.Wall()(t)
}
