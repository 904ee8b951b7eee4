package terminal

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/clipperhouse/displaywidth"
)

// bar is the state of one progress bar; 0 <= done, and done <= total if total is known
// (not 0). Its texts are safe.
type bar struct {
	label       string
	done, total int
	note        string
}

// shape holds the column widths that the rows of a block share, so that they align.
// columns is the most a row may take: one less than the terminal has, since some
// terminals wrap as soon as the last column is filled.
type shape struct {
	columns, label, track, count int
}

func (d *Display) shapeOf(bars []*bar) shape {
	s := shape{columns: max(1, d.columns()-1)}
	for _, b := range d.bars {
		s.label = max(s.label, columnsOf(b.label))
		s.count = max(s.count, columnsOf(b.count()))
	}
	for _, b := range bars {
		s.label = max(s.label, columnsOf(b.label))
		s.count = max(s.count, columnsOf(b.count()))
	}
	s.label = min(s.label, max(8, s.columns/3))
	switch {
	case s.columns >= 70:
		s.track = 24
	case s.columns >= 40:
		s.track = 10
	}
	return s
}

func (b *bar) over() bool { return b.total > 0 && b.done == b.total }

// tenth returns how many tenths of total are done; 0 if total is unknown.
func (b *bar) tenth() int { return filled(b.done, b.total, 10) }

// filled returns the done share of total in parts, rounded down: full only at the end.
func filled(done, total, parts int) int {
	if total == 0 {
		return 0
	}
	if done == total {
		return parts
	}
	return min(parts-1, int(float64(done)/float64(total)*float64(parts)))
}

func (b *bar) count() string {
	if b.total == 0 {
		return fmt.Sprint(b.done)
	}
	return fmt.Sprintf("%d/%d", b.done, b.total)
}

// row returns "label ████░░░░ 3/64 note", cut to the terminal's width.
func (b *bar) row(s shape) string {
	label := clip(b.label, s.label)
	parts := []string{label + spaces(s.label-columnsOf(label))}
	if s.track > 0 {
		full := filled(b.done, b.total, s.track)
		track := strings.Repeat("█", full) + strings.Repeat("░", s.track-full)
		if b.total == 0 {
			track = spaces(s.track)
		}
		parts = append(parts, track)
	}
	parts = append(parts, spaces(s.count-columnsOf(b.count()))+b.count(), b.note)
	return clip(strings.TrimRight(strings.Join(parts, "  "), " "), s.columns)
}

// plain returns "label 3/64 note".
func (b *bar) plain() string {
	return strings.TrimRight(b.label+" "+b.count()+" "+b.note, " ")
}

// safe replaces characters that could move the cursor or change the screen.
func safe(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case harmful(r):
			return '?'
		}
		return r
	}, text)
}

// Plain returns text of several lines in which no character can move the cursor or change
// the screen, except for line ends and tabs.
func Plain(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && r != '\t' && harmful(r) }) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && harmful(r) {
			return '?'
		}
		return r
	}, text)
}

// PlainColoured is Plain for lines of our own log, whose handler writes colours.
func PlainColoured(line []byte) []byte {
	var out []byte
	for {
		at := colours.FindIndex(line)
		if at == nil {
			return append(out, Plain(string(line))...)
		}
		out = append(append(out, Plain(string(line[:at[0]]))...), line[at[0]:at[1]]...)
		line = line[at[1]:]
	}
}

// WithoutColours returns a line of our log without the colours.
func WithoutColours(line []byte) []byte { return colours.ReplaceAll(line, nil) }

// colours matches the escape sequences that the log's handler writes around a level.
var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// harmful reports whether a character may act on a terminal.
func harmful(r rune) bool {
	return r == unicode.ReplacementChar || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// clip cuts text to columns, with an ellipsis if anything was cut.
func clip(text string, columns int) string { return displaywidth.TruncateString(text, columns, "…") }

func columnsOf(text string) int { return displaywidth.String(text) }

func spaces(n int) string { return strings.Repeat(" ", max(0, n)) }
