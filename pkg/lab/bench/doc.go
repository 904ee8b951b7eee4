// Package bench sends a workload to a live stack and measures what its clients
// see: which requests were answered in time, their latencies, and which were
// refused and why.
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
// Arrivals come from the workload and are sent when due, regardless of earlier
// requests. Latency counts from the due time, not from the time of sending: if
// the machine or the broker delays the sender, the latencies grow and nothing is
// hidden. The report contains the delays of the sender (Lateness). In a closed
// loop a request is due when its client has seen the answer to the one before.
//
// One goroutine with a thread of its own owns the workload's Source and sends
// over several connections in turn; each connection has one inbox and one
// callback. A request costs a message and an entry in a table, no goroutine. A
// request without an answer within its SLO and Config.Grace counts as NoAnswer.
//
// Every request that is due after the warm-up is counted once:
//
//	Offered = OK + the sum of Errors + NoAnswer + Unfinished
//
// Match, Tally, Report and Compare take time as an argument; Run reads the
// clock. It does not start a stack and prints nothing.
package bench
