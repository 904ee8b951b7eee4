// Package lab holds the commands of the laboratory: sim, bench, replay, explain, chaos
// and demo. Each is a struct of flags with a Run method, in files that begin with the
// command's name; what sim and bench share about workloads is in workload_*.go.
//
// The commands are the edge of pkg/lab, which does the work: here flags are checked and
// results become tables, pages and JSON. cmd/clockwork puts the commands into its
// grammar.
package lab
