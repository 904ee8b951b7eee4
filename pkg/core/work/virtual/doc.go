// Package virtual runs a worker's core (package work) with GPUs that exist only
// in virtual time: copies of inputs and outputs take no time; the World gives
// the durations of executions, transfers and reads from disk, and says which of
// them fail and when an executor ends. All decisions (which actions a worker
// accepts, starts and answers) are the core's.
//
// The simulator, the replay of a recording and the seeded worlds of the cores'
// tests drive it. One goroutine owns a Worker; the Worker calls the World from its
// own methods.
package virtual
