// Package report turns samples of served requests into what people compare:
// goodput, counts of errors and latency percentiles, per model and in total. It
// is JSON as it stands; how it looks on a terminal is its caller's business.
//
// The demo and the load generator call it after a run. It is pure: the same
// samples, in whatever order, give the same Report. It keeps every sample's
// latency and sorts, so percentiles are exact; it is not meant for streams
// without end.
package report
