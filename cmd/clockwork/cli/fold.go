package cli

import (
	"strings"

	"clockwork/pkg/watch/terminal"
)

// NoBreak is a space at which no line ends.
const NoBreak = "\u00a0"

// Folded breaks a text into lines of at most width columns, 80 where there is
// no terminal.
func Folded(text string, width int) string {
	if width == 0 {
		width = 80
	}
	return Hanging("", text, width, 0)
}

// Hanging begins with lead and breaks the text after it into lines of at most
// width columns, of which the later ones are indented so far. A word that is
// longer stands alone.
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
