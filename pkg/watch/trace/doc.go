// Package trace records traces of requests with OpenTelemetry: one trace for each
// request, from its arrival at a front door to the reply, with the scheduler's plan and
// what came of it.
//
//	config, err := trace.FromEnvironment() // nil if no variable enables traces
//	tracer, err := trace.Open(config, hub, log)
//	... // the services run, and report to the hub
//	err = tracer.Close()
//
// Whether a request is recorded is decided at its arrival, by the client's own decision
// or by a sampler. For a request that is not recorded, nothing is kept or sent. The
// spans of a recorded request are created after they have ended, from the hub's reports:
//
//	infer <model>      front door   arrival to reply; a child of the client's span
//	  queue            scheduler    submission to the decision, once for each attempt
//	  load weights     scheduler    when they were loaded for it meanwhile
//	  action           scheduler    the decision to the end at the worker, with the plan
//	    input          scheduler    copied to the GPU, as the worker has measured it
//	    execution
//	    output
//	  reply            front door   the outcome to the reply
//
// Listeners copy each report into a bounded queue; a goroutine reads the queue, creates
// spans and passes them to the SDK. Reports that find the queue full are dropped and
// counted; a slow or absent collector delays no request. The package does not read or
// write messages: its only NATS code is Carrier.
package trace
