package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// maxDocLine is how long a line of the documentation may be, so that it can be
// read in a terminal, and a change of it in a diff. Output of programs, in fences,
// and the table that make matrix writes are as wide as they are.
const maxDocLine = 120

func TestLinesOfTheDocumentationFit(t *testing.T) {
	var pages []string
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/adr/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	if len(pages) < 20 {
		t.Fatalf("%d pages: the test does not see them", len(pages))
	}
	for _, page := range pages {
		body, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		fenced, written := false, false
		for i, line := range strings.Split(string(body), "\n") {
			switch {
			case strings.HasPrefix(strings.TrimSpace(line), "```"):
				fenced = !fenced
			case strings.HasPrefix(line, "<!--"):
				written = strings.Contains(line, "writes what follows")
			}
			if n := utf8.RuneCountInString(line); n > maxDocLine && !fenced && !written {
				t.Errorf("%s:%d has %d characters; at most %d", page, i+1, n, maxDocLine)
			}
		}
	}
}

func TestTheReadmeFitsOnAFewScreens(t *testing.T) {
	body, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(body), "\n"); n > 150 {
		t.Errorf("README.md has %d lines; at most 150: what is beyond them belongs into docs", n)
	}
}
