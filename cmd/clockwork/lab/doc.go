// Package lab holds the commands of the laboratory: sim, bench, replay, explain, chaos
// and demo. Each is a struct of flags with a Run method, and stands in files that begin
// with its name; what sim and bench have in common about workloads is in workload_*.go.
//
// They are the edge of pkg/lab, which does the work: here flags are checked and results
// become tables, pages and JSON. cmd/clockwork puts them into its grammar.
package lab
