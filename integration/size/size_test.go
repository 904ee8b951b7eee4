package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestTheTableOfSizesIsOfThisTree: docs/architecture.md says how large the tree is, within a
// tenth; how many packages there are, exactly.
func TestTheTableOfSizesIsOfThisTree(t *testing.T) {
	const root, document = "../..", "docs/architecture.md"
	wings, err := measure(root)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(root + "/" + document)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, begun := strings.Cut(string(text), tableBegin)
	written, _, ended := strings.Cut(rest, tableEnd)
	if !begun || !ended {
		t.Fatalf("%s has no table between its marks", document)
	}
	if stale := compare(strings.TrimSpace(written), strings.TrimSpace(table(wings))); stale != "" {
		t.Errorf("%s in %s; make size writes it", stale, document)
	}
}

// compare says what of a table is stale, "" for nothing.
func compare(written, now string) string {
	was, is := strings.Split(written, "\n"), strings.Split(now, "\n")
	if len(was) != len(is) {
		return fmt.Sprintf("%d rows instead of %d", len(was), len(is))
	}
	for i := range is {
		old, fresh := cells(was[i]), cells(is[i])
		if len(old) != len(fresh) || old[0] != fresh[0] {
			return fmt.Sprintf("%q instead of %q", was[i], is[i])
		}
		for k := range fresh {
			if !near(old[k], fresh[k], k > 1) {
				return fmt.Sprintf("%s: %s instead of %s", fresh[0], old[k], fresh[k])
			}
		}
	}
	return ""
}

func cells(row string) []string {
	list := strings.Split(strings.Trim(row, "| "), "|")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// near reports whether two cells are the same, or if about, two numbers that differ by a tenth
// or by a few.
func near(was, is string, about bool) bool {
	a, errA := strconv.Atoi(was)
	b, errB := strconv.Atoi(is)
	if errA != nil || errB != nil || !about {
		return was == is
	}
	return max(a-b, b-a) <= max(5, max(a, b)/10)
}

func TestAStaleTableIsNoticed(t *testing.T) {
	const now = "| a | b | c |\n|---|---|---|\n| pkg | 3 | 1000 |"
	for _, row := range []struct {
		written, stale string
	}{
		{now, ""},
		{"| a | b | c |\n|---|---|---|\n| pkg | 3 | 930 |", ""},
		{"| a | b | c |\n|---|---|---|\n| pkg | 3 | 850 |", "pkg: 850 instead of 1000"},
		{"| a | b | c |\n|---|---|---|\n| pkg | 4 | 1000 |", "pkg: 4 instead of 3"},
		{"| a | b | c |\n|---|---|---|\n| cmd | 3 | 1000 |", `"| cmd | 3 | 1000 |" instead of "| pkg | 3 | 1000 |"`},
		{"| a | b | c |\n|---|---|---|", "2 rows instead of 3"},
		{"| a | b |\n|---|---|---|\n| pkg | 3 | 1000 |", `"| a | b |" instead of "| a | b | c |"`},
	} {
		if got := compare(row.written, now); got != row.stale {
			t.Errorf("%q: %q, want %q", row.written, got, row.stale)
		}
	}
}
