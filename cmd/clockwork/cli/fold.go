package cli

import (
	"strings"

	"clockwork/pkg/watch/terminal"
)

// NoBreak is a space at which no line is broken.
const NoBreak = "\u00a0"

// Folded breaks a text into lines of at most width columns, 80 if there is no terminal
// (0).
func Folded(text string, width int) string {
	if width == 0 {
		width = 80
	}
	return Hanging("", text, width, 0)
}

// Hanging returns lead followed by text, broken into lines of at most width columns;
// lines after the first are indented by indent columns. A longer word gets a line of its
// own.
func Hanging(lead, text string, width, indent int) string {
	var out strings.Builder
	out.WriteString(lead)
	column := terminal.Columns(lead)
	begin := column
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' }) {
		size := terminal.Columns(word)
		if column > begin && column+1+size > width {
			out.WriteString("\n" + strings.Repeat(" ", indent))
			column, begin = indent, indent
		}
		if column > begin {
			out.WriteByte(' ')
			column++
		}
		out.WriteString(word)
		column += size
	}
	return out.String()
}
