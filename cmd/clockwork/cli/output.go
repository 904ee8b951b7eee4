package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"

	"clockwork/pkg/watch/terminal"
)

// output is a standard stream of a command. Names, messages and values come from model
// files, other users and other programs: none of their characters may move a terminal's
// cursor or change its state. What cannot be written makes the command fail.
type output struct {
	to io.Writer
	// json: the text is JSON, in which such characters are escaped, not replaced.
	json bool

	mu  sync.Mutex
	err error // the first
}

// Write writes text in full, or remembers why it could not.
func (o *output) Write(text []byte) (int, error) {
	plain := terminal.Plain(string(text))
	if o.json {
		plain = escaped(string(text))
	}
	_, err := io.WriteString(o.to, plain)
	if err == nil {
		return len(text), nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
	return 0, err
}

// failure returns the first error of writing, nil if all was written.
func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// escaped escapes the control characters that JSON allows in strings. Outside of strings
// JSON has none.
func escaped(text string) string {
	if !strings.ContainsFunc(text, moves) {
		return text
	}
	var out strings.Builder
	for _, r := range text {
		if moves(r) {
			fmt.Fprintf(&out, `\u%04x`, r)
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}

// moves reports whether a character of JSON may act on a terminal.
func moves(r rune) bool {
	return r >= 0x7f && r <= 0xffff && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029')
}
