// Package virtual runs a worker's core (package work) with GPUs that exist only in
// virtual time: copies of inputs and outputs take none, executions, transfers and
// reads from disk take what the World says. It has no rules of its own: what a
// worker accepts, begins and answers, the core decides.
//
// The simulator and the replay of a recording drive it. One goroutine owns a Worker;
// the World is called back from its methods.
package virtual
