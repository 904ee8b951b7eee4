package protocol

import "time"

// Bounds of the numbers in messages between services. What is beyond them is no message
// (BAD_MESSAGE): cores add and multiply numbers of others, and must not overflow. Numbers
// without a sign only name or order things, and may have any value.
const (
	// MaxCount bounds whatever is counted: items, pages, GPUs, samples.
	MaxCount = 1<<31 - 1
	// MaxBytes bounds the bytes of weights, of the inputs or outputs of one item, and of a
	// request.
	MaxBytes = 1 << 45
	// MaxPage bounds the bytes of a page: MaxCount pages of them have no more than an int64.
	MaxPage = 1 << 31
	// MaxSpan bounds durations, in both directions: a clock may have been set.
	MaxSpan = 366 * 24 * time.Hour
	// MaxTime bounds instants but Never, in both directions: the difference of two clocks'
	// offsets fits into a Duration.
	MaxTime Time = 1<<61 - 1
)
