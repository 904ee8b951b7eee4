// Package logtext has a log that a test reads while other goroutines write it, as the
// writer of a slog handler. It imports nothing of ours.
package logtext

import (
	"bytes"
	"sync"
)

// Buffer is what was logged so far. The zero value is an empty log.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write appends to the log.
func (b *Buffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(text)
}

// String returns all of the log.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
