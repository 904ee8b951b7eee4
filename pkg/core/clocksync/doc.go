// Package clocksync estimates how far another process's clock is ahead, from the
// times of requests and replies. Workers estimate the scheduler's clock with it,
// in a live stack and in the simulator. It does no I/O and reads no clock; one
// goroutine owns an Offset.
package clocksync
