package cli

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTextIsFoldedAtSpaces(t *testing.T) {
	for _, row := range []struct {
		lead, text    string
		width, indent int
		want          string
	}{
		{"", "", 10, 0, ""},
		{"", "one two three", 20, 0, "one two three"},
		{"", "one two three", 7, 0, "one two\nthree"},
		{"", "one two three", 8, 2, "one two\n  three"},
		{"at: ", "one two three", 11, 4, "at: one two\n    three"},
		{"", "a-word-too-long for it", 6, 0, "a-word-too-long\nfor it"},
		{"", "naïve grün ok", 10, 0, "naïve grün\nok"},
		{"", "takes 10" + NoBreak + "ms now", 10, 0, "takes\n10" + NoBreak + "ms now"},
	} {
		if got := Hanging(row.lead, row.text, row.width, row.indent); got != row.want {
			t.Errorf("%q after %q in %d columns:\n%s\nexpected\n%s", row.text, row.lead, row.width, got, row.want)
		}
	}
}

// Where there is no terminal, prose has 80 columns: people read it in files.
func TestProseHas80ColumnsInFiles(t *testing.T) {
	text := Folded(strings.Repeat("word ", 60), 0)
	for line := range strings.SplitSeq(text, "\n") {
		if n := utf8.RuneCountInString(line); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if !strings.Contains(text, "\n") {
		t.Error("nothing was folded")
	}
}
