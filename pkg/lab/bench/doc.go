// Package bench sends a workload to a live stack and measures what its client
// sees: who was answered in time, how long it took, what was refused and why.
//
//	models, missing := bench.Match(w, list.Models) // nothing may be missing
//	report, err := bench.Run(ctx, bench.Config{
//		Workload: w, Models: models, Payload: bench.Generated(), Clients: clients,
//		DefaultSLO: 100 * time.Millisecond, Warmup: 2 * time.Second, Window: 100 * time.Millisecond,
//		Grace: time.Second, Patience: 10 * time.Second,
//	}, nil)
//
// # How it measures
//
// Arrivals are the workload's, and are sent when they are due whatever became
// of those before them. Latency counts from when a request was due, not from
// when it was sent: a sender that is late, because the machine or the broker
// held it up, makes latencies longer and hides nothing. How late it was is in
// the report (Lateness). In a closed loop a request is due once its client was
// told of the answer before it.
//
// One goroutine with a thread of its own owns the workload's Source and sends
// over several connections in turn; each connection has one inbox and one
// callback. A request costs a message and an entry in a table, no goroutine.
// What is not answered within its SLO and Config.Grace counts as NoAnswer.
//
// Every request that is due after the warm-up is counted once:
//
//	Offered = OK + the sum of Errors + NoAnswer + Unfinished
//
// Match, Tally, Report and Compare take time as an argument; Run reads the
// clock. It does not start a stack and prints nothing.
package bench
