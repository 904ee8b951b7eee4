// Package sched is the scheduling core: every decision after activation, as a
// state machine without clock, goroutine, log or randomness. The scheduler
// service and the simulator drive it; the same events at the same times give
// the same outputs, always.
//
// One goroutine owns a Core. Its driver waits for whichever comes first:
//
//	core, err := sched.New("simple", sched.Defaults())
//	wake := protocol.Never
//	for {
//		var event sched.Event = &sched.Tick{}
//		select {
//		case event = <-events: // Activate, Submit, Result, WorkerJoined, ...
//		case <-timerAt(wake): // one timer; an earlier wake is forgotten
//		}
//		out := core.Step(now(), event)
//		for _, a := range out.Actions {
//			publish(subjects.Action(a.Worker), a.Action)
//		}
//		for _, d := range append(out.Dispatches, out.Refusals...) {
//			publish(subjects.Dispatch(d.ID.Door), d)
//		}
//		wake = out.Wake
//	}
//
// A request ends, for the core, with exactly one of: a Result OK of its action
// (the door learns of it from the worker's output), a refusal, an answer
// (policy echo), or the loss of its door. The core never sees a payload and
// does not watch heartbeats: WorkerJoined and WorkerLost are told to it, after
// Activate.
//
// A worker is right about itself where it contradicts what the core believes.
// One exception: a worker that was lost and comes back with the same life was
// only cut off, and may yet do what it had been told. Copies that were on
// their way keep their pages until that time is over, and are then evicted.
//
// Policy simple: a request goes round robin to the GPUs that hold its model,
// first in first out, one request an action, at most Config.Outstanding at a
// GPU. A model that no GPU holds is loaded where most pages are free; least
// recently used models without work leave for it, and if none is idle the
// least recently used one gets no more work until it is.
package sched
