// Package work is one worker's core: what it accepts, when each GPU executes and
// transfers, which inputs belong to which action, whose weights lie in which pages,
// which models are in host memory, and what is answered. It decides, reorders and
// retries nothing beyond that: a worker does exactly what it is told inside the
// window it is told, or refuses and says so.
//
// The service (services/worker), the simulator, the replay of a recording and the
// tests' workers drive it; nobody else calls it. One goroutine at a time owns a
// Worker; it has no clock: time is an argument, and the same events at the same
// times give the same outputs, always.
//
//	w := work.New(config)
//	out := w.Step(now(), &work.Received{Action: action})
//	for _, o := range out.Stage { ... }    // copy o.Inputs to the device -> Staged
//	for _, o := range out.Execute { ... }  // run it, unless o.Late(now())  -> Executed
//	for _, o := range out.Fetch { ... }    // copy the outputs back       -> Fetched
//	for _, o := range out.Transfer { ... } // load or evict weights       -> Transferred
//	for _, o := range out.Read { ... }     // read a model from disk      -> ModelRead
//	for _, o := range out.Deliver { ... }  // send its outputs to the front doors
//	for _, o := range out.Release { ... }  // free what its run holds
//	for _, m := range out.Close { ... }    // close models that no copy needs any more
//	send(out.Results)
//	wakeAt(out.Wake)                       // -> Tick; an earlier wake stays due
//
// The driver owes exactly one event for each order of Stage, Execute, Fetch,
// Transfer and Read, however that ended. At most one order of a GPU is executing
// and at most one transfers. An Order belongs to the core until its result is
// given out; Order.Driver is the driver's own.
//
// A Tick comes with each heartbeat as well: inputs that no action claims are dropped
// then.
//
// A worker that stops (Stop) refuses what is new; after Abandon it refuses what
// waits. The package does not execute, encode, send, log or measure.
package work
