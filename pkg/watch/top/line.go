package top

import (
	"strings"

	"clockwork/pkg/watch/terminal"
)

// style is a terminal's code for how text looks. The colours are of the terminal's own
// sixteen, so that they are readable on light and dark backgrounds.
type style string

const (
	plain  style = ""
	bold   style = "1"
	faint  style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

// line is a line of a screen, of pieces that each keep to their columns.
type line struct {
	room   int
	color  bool
	out    strings.Builder
	behind int // blanks not written yet
}

// put writes text in the given number of columns, cut or padded with blanks; right
// aligns it to the right. Text beyond the line's room is left out.
func (l *line) put(s style, text string, columns int, right bool) *line {
	columns = min(columns, l.room)
	if columns <= 0 {
		return l
	}
	l.room -= columns
	text = terminal.Clip(text, columns)
	pad := columns - terminal.Columns(text)
	if right {
		l.behind += pad
		pad = 0
	}
	if text != "" {
		l.out.WriteString(strings.Repeat(" ", l.behind))
		l.behind = 0
		l.out.WriteString(l.painted(s, text))
	}
	l.behind += pad
	return l
}

// say writes text at its own length, and two blanks after it.
func (l *line) say(s style, text string) *line {
	return l.put(s, text, terminal.Columns(text), false).put(plain, "", 2, false)
}

func (l *line) painted(s style, text string) string {
	if !l.color || s == plain {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

func (l *line) String() string { return l.out.String() }

// blocks are eighths of a column's height, without zero.
var blocks = []rune("▁▂▃▄▅▆▇█")

// spark draws the last percentages of `of`, one column for the mean of each `each`
// values.
func spark(of []int, columns, each int) string {
	out := make([]rune, columns)
	for i := range out {
		end := len(of) - (columns-1-i)*each
		if end <= 0 {
			out[i] = ' '
			continue
		}
		out[i] = block(mean(of[max(0, end-each):end]))
	}
	return string(out)
}

func block(percent float64) rune {
	if percent < 0.5 {
		return '·'
	}
	return blocks[min(len(blocks)-1, int(percent/100*float64(len(blocks))))]
}

// bar draws part of total as a bar of the given number of columns.
func bar(part, total, columns int) string {
	full := 0
	if total > 0 {
		full = min(columns, (part*columns+total-1)/total)
	}
	return strings.Repeat("█", full) + strings.Repeat("░", columns-full)
}
