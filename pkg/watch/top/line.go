package top

import (
	"strings"

	"clockwork/pkg/watch/terminal"
)

// style is how a piece of a line looks, as the code of a terminal's. They are of the
// sixteen colours that its owner chose, so that they can be read on light and dark.
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
	behind int // blanks that were not written yet
}

// put writes text in so many columns, cut or filled up with blanks; right sets it to
// the right. What does not fit into the line any more is left out.
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

// say writes text as long as it is, and two blanks after it.
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

// blocks are eighths, from the least that is not nothing.
var blocks = []rune("▁▂▃▄▅▆▇█")

// spark draws the last shares of 100 in so many columns, each the mean of so many.
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

// bar fills so great a share of the columns.
func bar(part, total, columns int) string {
	full := 0
	if total > 0 {
		full = min(columns, (part*columns+total-1)/total)
	}
	return strings.Repeat("█", full) + strings.Repeat("░", columns-full)
}
