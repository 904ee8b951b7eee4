// Package trace records traces of requests with OpenTelemetry: one trace for each
// request, from its arrival at a front door to the reply, with what the scheduler
// had planned beside what came of it.
//
//	config, err := trace.FromEnvironment() // nil where no variable asks for traces
//	tracer, err := trace.Open(config, hub, log)
//	... // the services run, and tell the hub
//	err = tracer.Close()
//
// Whether a request is recorded is decided when it arrives, by the client's own
// decision or by a sampler. Of one that is not, nothing is kept or sent. The spans of
// one that is are made when they have ended, from what the hub was told:
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
// Listeners copy what they hear into a bounded queue, whose other end is a goroutine
// that makes spans and hands them to the SDK. What finds no room is lost and counted;
// a collector that is slow or away holds nothing up. It does not read or write
// messages: Carrier is all that it knows of NATS.
package trace
