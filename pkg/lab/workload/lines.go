package workload

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// MaxLine bounds a line of a trace in bytes: 1,440 counts and some more.
const MaxLine = 64 << 10

// lines reads comma-separated lines without quotes, one at a time. Its errors
// name line and column (field), both counted from 1.
type lines struct {
	scan   *bufio.Scanner
	rest   []byte
	line   int
	column int
	more   bool // the line has more fields
}

// ByteOrderMark precedes a UTF-8 text of some programs; it is not part of the
// first field.
const ByteOrderMark = "\ufeff"

func newLines(r io.Reader) *lines {
	from := bufio.NewReader(r)
	if head, _ := from.Peek(len(ByteOrderMark)); string(head) == ByteOrderMark {
		from.Discard(len(ByteOrderMark))
	}
	l := &lines{scan: bufio.NewScanner(from)}
	l.scan.Buffer(make([]byte, 0, 4096), MaxLine)
	return l
}

// next goes to the next line that is not empty. It returns false at the end and
// on an error, which err returns.
func (l *lines) next() bool {
	for l.scan.Scan() {
		l.line++
		l.rest, l.column, l.more = l.scan.Bytes(), 0, true
		if len(l.rest) > 0 {
			return true
		}
	}
	return false
}

func (l *lines) err() error {
	switch err := l.scan.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("line %d: longer than %d bytes", l.line+1, MaxLine)
	default:
		return fmt.Errorf("read line %d: %w", l.line+1, err)
	}
}

// field returns the next field; false if the line has no more.
func (l *lines) field() ([]byte, bool) {
	if !l.more {
		return nil, false
	}
	l.column++
	field, rest, more := bytes.Cut(l.rest, []byte{','})
	l.rest, l.more = rest, more
	return field, true
}

// fault returns an error about the last field.
func (l *lines) fault(format string, args ...any) error {
	return fmt.Errorf("line %d, column %d: %s", l.line, l.column, fmt.Sprintf(format, args...))
}

// whole parses a number of digits only, up to limit.
func whole(text []byte, limit uint64) (uint64, bool) {
	n := uint64(0)
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = 10*n + uint64(c-'0'); n > limit {
			return 0, false
		}
	}
	return n, len(text) > 0
}

// printable reports whether text is visible ASCII without quotes, of at most
// `most` bytes.
func printable(text []byte, most int) bool {
	for _, c := range text {
		if c <= ' ' || c > '~' || c == '"' {
			return false
		}
	}
	return len(text) <= most
}
