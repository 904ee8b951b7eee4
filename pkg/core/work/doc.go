// Package work is one worker's core: which actions it accepts, when each GPU executes
// and transfers, which inputs belong to which action, which weights are in which pages,
// which models are in host memory, and the result of each action. It makes no decision
// beyond that, and neither reorders nor retries: an action runs inside its window
// exactly as the scheduler sent it, or its result gives the reason why it did not.
//
// The service (services/worker), the simulator, the replay of a recording and the
// workers of tests drive it. One goroutine at a time owns a Worker. It has no clock:
// time is an argument, and the same events at the same times give the same outputs,
// always. All times are local; times from and to the scheduler are converted with the
// clock offset that ClockReading events determine.
//
//	w := work.New(config)
//	out := w.Step(now(), &work.Received{Action: action})
//	for _, o := range out.Stage { ... }    // copy o.Inputs to the device -> Staged
//	for _, o := range out.Execute { ... }  // run it, unless o.Late(now())  -> Executed
//	for _, o := range out.Fetch { ... }    // copy the outputs back       -> Fetched
//	for _, o := range out.Transfer { ... } // load or evict weights       -> Transferred
//	for _, o := range out.Overdue { ... }  // end the executor of its GPU
//	for _, s := range out.HungStarts { ... } // end the executor that is being started there
//	for _, o := range out.GivenUp { ... }  // end the reading of its model
//	for _, o := range out.Read { ... }     // read a model from disk      -> ModelRead
//	for _, o := range out.Deliver { ... }  // send its outputs to the front doors
//	for _, o := range out.Release { ... }  // free what its run holds
//	for _, m := range out.Close { ... }    // close models without copies
//	send(out.Results)
//	wakeAt(out.Wake)                       // -> Tick; an earlier wake stays due
//
// The driver owes exactly one event for each order of Stage, Execute, Fetch,
// Transfer and Read, whether it succeeded or failed. At most one order of a GPU is
// executing and at most one transfers. An Order belongs to the core until its result is
// in an Output; the field Order.Driver belongs to the driver.
//
// The driver also sends a Tick with each heartbeat: the core then drops inputs that no
// action has claimed for InputWait.
//
// After Stop the worker refuses new actions; Abandon refuses the waiting ones. The
// package does not execute, encode, send, log or measure.
package work
