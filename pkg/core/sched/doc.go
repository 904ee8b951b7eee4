// Package sched is the scheduling core: every decision after activation, as a
// state machine without clock, goroutine, log or randomness. The scheduler
// service and the simulator drive it; the same events at the same times give
// the same outputs, always.
//
// One owner at a time steps a Core. Alone, its driver waits for whichever comes first:
//
//	core, err := sched.New("clockwork", sched.Defaults())
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
// # Term
//
// A Term sits around a Core for as long as one process holds the scheduler's lease.
// It decides which workers belong (announced, heard, their clocks known), when
// requests are taken (activation), when the lease is given up, and what becomes of
// the requests of a lost front door (package protocol, who answers a request). The
// shells step the Term; the Core's events are made by it, and every step of the Core
// is made in one place, where Term.Observe is shown it. Script tests of it are in
// testdata/term.
//
// # Workers
//
// A worker is right about itself where it contradicts what the core believes.
// One exception: a worker that was lost and comes back with the same life was
// only cut off, and may yet do what it had been told. Copies that were on
// their way keep their pages until that time is over, and are then evicted.
//
// # Reasons
//
// Who watches is an Observer, shown each event and output. The core itself says why:
// Output.Reasons has for each refusal the numbers by which it was decided (reason.go),
// from the very quote that was compared with the deadline; Waits says the same of a
// request that waits, and Snapshot how lanes, copies and queues stand. Nobody derives
// that again. Served requests cost nothing for it.
//
// # Policies
//
// An engine keeps the books and a policy decides by them. New knows those that a
// scheduler service runs. Policy clockwork, the default, and policy faithful, the
// original's choices by which it is measured, predict when each GPU's two lanes are
// free and send work only Config.Ahead before that: little is committed early, and
// late information still counts. They differ in rules alone (Options); NewPlanner
// makes others, as the laboratory has them (pkg/lab/policies). What clockwork does:
//
//	admit    refuses at once what no GPU can do in time, with the earliest
//	         finish; under overload also what comes too late in the queue
//	queue    one for each model, by deadline
//	urgency  a GPU takes the model whose batch must begin first
//	batch    as many requests as wait and meet the first one's deadline, of any
//	         size where the backend takes them, else padded to a compiled size
//	         where that is less work than two smaller batches
//	overload requests are lost whatever is done. Then a GPU's time has a price:
//	         what it serves in it. The first in the queue are given up where a
//	         batch without them is worth more, and of the batches that must
//	         begin soon the one that yields most is taken
//	loads    models with more demand than their copies can do (demand.go), first
//	         those whose load serves most for the time of transfer, and under
//	         overload none that is not worth a GPU's time (load_value.go), where
//	         there is least to do, if that is a relief; models without demand
//	         leave first, then those least recently used
//	slow     a GPU that has become slow is planned with its own slowdown (slowdown.go)
//	far      what messages take is learned from the results (netdelay.go)
//
// Policy simple: a request goes round robin to the GPUs that hold its model,
// first in first out, one request an action, at most Config.Outstanding at a
// GPU. A model that no GPU holds is loaded where most pages are free; least
// recently used models without work leave for it, and if none is idle the
// least recently used one gets no more work until it is. Policy echo answers
// at once and runs nothing: it measures the bus.
package sched
