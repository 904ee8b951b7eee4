// Package sched is the scheduling core: every decision after activation, as a
// state machine without clock, goroutine, log or randomness. The scheduler
// service and the simulator drive it; the same events at the same times give
// the same outputs, always.
//
// One owner at a time steps a Core. A driver without a Term waits for the next event or
// for Output.Wake, whichever comes first:
//
//	core, err := sched.New("clockwork", sched.Defaults())
//	wake := protocol.Never
//	for {
//		var event sched.Event = &sched.Tick{}
//		select {
//		case event = <-events: // Activate, Submit, Result, WorkerJoined, ...
//		case <-timerAt(wake): // one timer; the latest wake replaces earlier ones
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
// (the front door gets the worker's output), a refusal, an answer (policy echo), or
// the loss of its front door. The core never sees a payload and does not watch
// heartbeats: after Activate, WorkerJoined and WorkerLost events change the workers.
//
// # Term
//
// A Term contains a Core for as long as one process holds the scheduler's lease.
// It decides which workers belong (announced, alive, their clocks known), when
// requests are accepted (activation), when the process gives up the lease, and who
// answers the requests of a lost front door (package protocol, who answers a request).
// The shells step the Term, which steps the Core, in one function that also calls
// Term.Observe. Its script tests are in testdata/term.
//
// # Workers
//
// Where a worker's state contradicts the core's, the worker's counts. One exception: a
// worker that was lost and returns with the same incarnation was only cut off, and may
// still execute actions that it has received. Copies whose transfers were outstanding
// keep their pages until that time is over, and are then evicted.
//
// # Reasons
//
// An Observer gets each event and output. The core itself gives reasons: for each
// refusal, Output.Reasons has the numbers that decided it (reason.go), from the same
// quote that was compared with the deadline. Waits returns the same for a request that
// waits, and Snapshot the state of lanes, copies and queues. No other package derives
// them a second time. Served requests cost nothing for it.
//
// # Policies
//
// An engine keeps the state and a policy decides by it. New makes those that a
// scheduler service runs. Policy clockwork is the default; policy faithful makes the
// choices of the original, for comparison. Both predict when each GPU's two lanes are
// free and send work only Config.Ahead before that: little is committed early, and
// late information still counts. They differ in rules alone (Options); NewPlanner
// makes others, such as the laboratory's (pkg/lab/policies). What clockwork does:
//
//	admit    refuses at once a request that no GPU can finish in time, with the
//	         earliest finish: after what was sent, after what was admitted for its
//	         model, and beside what tighter models need
//	queue    one for each model, by deadline
//	urgency  a GPU runs the model whose batch must begin first
//	batch    as many requests as wait and meet the first one's deadline, of any
//	         size if the backend runs it, otherwise padded to a compiled size
//	         if that is less work than two smaller batches
//	pays     no batch is larger than saves time by the profile
//	blocking where the most urgent batch would make tighter requests late, those that
//	         wait or are to be expected, the GPU runs the batch of the highest value,
//	         or none (blocking.go)
//	overload some requests miss their deadlines whatever the policy does. Then a
//	         GPU's time has a price: what the GPU serves in that time. The first
//	         requests in a queue are given up if a batch without them is worth
//	         more, and of the batches that must begin soon the GPU runs the one
//	         that yields most
//	loads    models with more demand than their copies can serve (demand.go), first
//	         those whose load serves most for the time of its transfer; under
//	         overload none that is not worth a GPU's time (load_value.go). The copy
//	         goes to the GPU with the least work, if that is no more than the work
//	         of every GPU with a copy; models without demand are evicted first, then
//	         the least recently used
//	slow     a GPU that has become slow is planned with its own slowdown (slowdown.go)
//	far      results show how long messages take (netdelay.go)
//	inputs   and large inputs: work is sent as much earlier as they take
//	         (input_time.go)
//
// Policy simple: a request goes round robin to the GPUs that hold its model,
// first in first out, one request per action, at most Config.Outstanding per
// GPU. A model that no GPU holds is loaded on the GPU with the most free pages. Least
// recently used models without work are evicted for it; if none is idle, the least
// recently used one gets no more work until it is. Policy echo answers every request
// at once and executes nothing: it measures the bus.
package sched
