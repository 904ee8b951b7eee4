package protocol

import "fmt"

// Error is a refusal: a code, a message, and its numbers. It is the body of every error
// reply ({"error": {...}}).
type Error struct {
	Code      Code   `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`

	// EarliestMS is the earliest possible completion, in milliseconds from the request's
	// arrival; BudgetMS is the time that the request allowed.
	EarliestMS float64 `json:"earliest_ms,omitempty"`
	BudgetMS   float64 `json:"budget_ms,omitempty"`
	// Got is the refused size or count, Limit the largest accepted one.
	Got   int64 `json:"got,omitempty"`
	Limit int64 `json:"limit,omitempty"`
	// LimitOf names the limit, as in "tenant.rate", and RetryMS is in how many
	// milliseconds that limit admits the next request, 0 if it does so when an earlier
	// request is answered. Only front doors set them.
	LimitOf string  `json:"limit_of,omitempty"`
	RetryMS float64 `json:"retry_ms,omitempty"`
	// Stage is the stack's, where that is why nothing is served.
	Stage string `json:"stage,omitempty"`
	// BufferedMS is how long the request had waited in the startup buffer.
	BufferedMS float64 `json:"buffered_ms,omitempty"`
	// Workers holds each worker's own error when a load failed; a reply holds the first, and
	// Message counts the rest.
	Workers []WorkerError `json:"workers,omitempty"`
}

// WorkerError is one worker's part of a failed load.
type WorkerError struct {
	Worker  string `json:"worker"`
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// Errorf returns an Error with the table's Retryable of the code.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Retryable: code.Row().Retryable}
}

// Refusal returns an Error with the table's sentence of the code as its message.
func Refusal(code Code) *Error {
	row := code.Row()
	return &Error{Code: code, Message: row.Sentence, Retryable: row.Retryable}
}

// Error implements error: "CODE: message".
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }
