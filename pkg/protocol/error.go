package protocol

import "fmt"

// Error is a refusal: a code, what happened in words, and its numbers. It is
// the body of every error reply ({"error": {...}}).
type Error struct {
	Code      Code   `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`

	// EarliestMS is when the request could be done at the earliest, counted
	// from its arrival, in milliseconds; BudgetMS what it allowed.
	EarliestMS float64 `json:"earliest_ms,omitempty"`
	BudgetMS   float64 `json:"budget_ms,omitempty"`
	// Got and Limit are the size or count that was refused, and the largest
	// that would have been taken.
	Got   int64 `json:"got,omitempty"`
	Limit int64 `json:"limit,omitempty"`
	// LimitOf says which limit of several that is, as in "tenant.rate", and
	// RetryMS in how many milliseconds it lets the next one pass, 0 for when an
	// earlier request is answered. Front doors alone set them.
	LimitOf string  `json:"limit_of,omitempty"`
	RetryMS float64 `json:"retry_ms,omitempty"`
	// BufferedMS is how long the request had waited in the startup buffer.
	BufferedMS float64 `json:"buffered_ms,omitempty"`
	// Workers holds each worker's own error when a load failed.
	Workers []WorkerError `json:"workers,omitempty"`
}

// WorkerError is one worker's part of a failed load.
type WorkerError struct {
	Worker  string `json:"worker"`
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// Errorf makes an Error of a code with the table's Retryable.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Retryable: code.Row().Retryable}
}

// Refusal makes an Error that says what the table says of its code.
func Refusal(code Code) *Error {
	row := code.Row()
	return &Error{Code: code, Message: row.Sentence, Retryable: row.Retryable}
}

// Error implements error: "CODE: message".
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }
