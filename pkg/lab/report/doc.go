// Package report summarises samples of served requests: goodput, counts of
// errors and latency percentiles, per model and in total. A Report is
// JSON-encodable; terminal output is the caller's task.
//
// The demo and the load generator call it after a run. It is pure: the same
// samples, in any order, give the same Report. It keeps and sorts every sample's
// latency, so percentiles are exact; it is not meant for unbounded streams.
package report
