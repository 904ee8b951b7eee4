//go:build linux && !static

package onnx

import (
	"bytes"
	"fmt"
	"sync"
)

// lines passes on what an executor writes to its standard error, line by line: only the
// first ones, each of bounded length, since a model may make it write without end.
type lines struct {
	say func(line string)

	mu    sync.Mutex
	rest  []byte // the line that has not ended
	first string
	count int
}

const (
	maxLine  = 300 // bytes of a line
	maxLines = 20
)

// Write implements io.Writer; it never fails.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := b; len(rest) > 0; {
		part, after, ended := bytes.Cut(rest, []byte("\n"))
		l.rest = append(l.rest, part[:min(len(part), maxLine-len(l.rest))]...)
		if rest = after; ended {
			l.end()
		}
	}
	return len(b), nil
}

// end passes on a line.
func (l *lines) end() {
	line := tidy(string(l.rest))
	l.rest = l.rest[:0]
	if line == "" {
		return
	}
	if l.count++; l.count == 1 {
		l.first = line
	}
	switch {
	case l.count <= maxLines:
		l.say(line)
	case l.count == maxLines+1:
		l.say(fmt.Sprintf("(after %d lines the rest is left out)", maxLines))
	}
}

// opening returns the first line, "" for none.
func (l *lines) opening() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == 0 {
		return tidy(string(l.rest))
	}
	return l.first
}
