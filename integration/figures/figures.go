// Package figures turns the recorded cells of the kill matrix, over any number
// of runs, into the table of docs/guarantees.md. The tests of integration write
// the lines, the command in table reads them.
package figures

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"clockwork/pkg/protocol"
)

// Cell is the result of one run of one cell. Sent is the sum of Codes, Unsent
// and Unanswered.
type Cell struct {
	Test   string `json:"test"`
	Cell   string `json:"cell"`
	Failed bool   `json:"failed"`

	Sent  int                   `json:"sent"`
	Codes map[protocol.Code]int `json:"codes"`
	// Late counts the requests with code OK that were answered after their deadline.
	Late       int `json:"late"`
	Unsent     int `json:"unsent"`     // the broker could not be reached
	Unanswered int `json:"unanswered"` // no reply ever came
	Duplicates int `json:"duplicates"`
	// Delayed counts the requests since the fault that were not served promptly.
	Delayed int `json:"delayed"`
	// HealS is the time in seconds from the fault until requests were served
	// promptly again; nil if they were not before the fault, or not again.
	HealS *float64 `json:"heal_s"`
}

// Read reads cells, one JSON document per line.
func Read(r io.Reader) ([]Cell, error) {
	var cells []Cell
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var c Cell
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return nil, fmt.Errorf("read line %d: %w", len(cells)+1, err)
		}
		cells = append(cells, c)
	}
	return cells, lines.Err()
}

// Table returns a Markdown table with a row per cell, in the order of their
// first runs.
func Table(cells []Cell) string {
	var names []string
	runs := map[string][]Cell{}
	for _, c := range cells {
		if runs[c.Cell] == nil {
			names = append(names, c.Cell)
		}
		runs[c.Cell] = append(runs[c.Cell], c)
	}
	var out strings.Builder
	out.WriteString("| struck / by | runs | sent | served | refused or failed | no answer | not sent | not prompt, p50 / max | healed, p50 / max |\n")
	out.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for _, name := range names {
		out.WriteString(row(name, runs[name]))
	}
	return out.String()
}

func row(name string, runs []Cell) string {
	var all Cell
	codes := map[protocol.Code]int{}
	var delayed, heal []float64
	for _, c := range runs {
		all.Sent, all.Unsent, all.Unanswered = all.Sent+c.Sent, all.Unsent+c.Unsent, all.Unanswered+c.Unanswered
		for code, n := range c.Codes {
			codes[code] += n
		}
		delayed = append(delayed, float64(c.Delayed))
		if c.HealS != nil {
			heal = append(heal, *c.HealS)
		}
	}
	served := codes[protocol.OK]
	delete(codes, protocol.OK)
	lost, healed := "", ""
	if len(heal) > 0 { // empty if it served nothing before the fault
		lost = fmt.Sprintf("%.0f / %.0f", middle(delayed), slices.Max(delayed))
		healed = fmt.Sprintf("%.1f / %.1f s", middle(heal), slices.Max(heal))
	}
	return fmt.Sprintf("| %s | %d | %d | %d | %s | %s | %s | %s | %s |\n",
		name, len(runs), all.Sent, served, listed(codes), some(all.Unanswered), some(all.Unsent), lost, healed)
}

// middle returns the median, the lower one of two.
func middle(values []float64) float64 {
	slices.Sort(values)
	return values[int(math.Ceil(float64(len(values))/2))-1]
}

func some(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// listed lists codes with their counts, the most frequent first.
func listed(codes map[protocol.Code]int) string {
	order := slices.SortedFunc(maps.Keys(codes), func(a, b protocol.Code) int {
		return cmp.Or(cmp.Compare(codes[b], codes[a]), cmp.Compare(a, b))
	})
	var texts []string
	for _, code := range order {
		texts = append(texts, fmt.Sprintf("%d `%s`", codes[code], code))
	}
	return strings.Join(texts, ", ")
}

// Begin and End enclose the table of the kill matrix in a document.
const (
	Begin = "<!-- the kill matrix: make matrix writes what follows -->"
	End   = "<!-- the kill matrix ends -->"
)

// Put replaces what stands between two lines of a document.
func Put(document, begin, end, table string) (string, error) {
	before, rest, found := strings.Cut(document, begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return "", fmt.Errorf("the document has no lines %q and %q", begin, end)
	}
	return before + begin + "\n" + table + end + after, nil
}
