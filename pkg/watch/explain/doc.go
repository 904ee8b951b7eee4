// Package explain says why requests were refused or missed their deadline, as
// a chain in numbers, and what would have saved them.
//
// An Explainer observes a replay (replay.Observer) and follows, beside the core
// and from its events and outputs alone: which GPUs there are and what their
// execution and transfer lanes have been sent, which weights are where, how many
// requests wait for each model, and each request from its arrival to its end.
// Durations are estimated as the core does, by pkg/core/estimate.
//
//	x := explain.New(ids)
//	verdict, err := replay.Verify(reader, x)
//	for _, e := range x.Wanted() { fmt.Print(e) }
//	fmt.Print(x.Summary())
//
// What would have saved a request is said as if nothing else had changed; each
// saving stands alone. A cause is the first one that is enough, in the order of
// the constants. It is pure and has no lock: one goroutine owns an Explainer.
package explain
