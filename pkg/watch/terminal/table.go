package terminal

import (
	"fmt"
	"io"
	"strings"
)

// Column is a column of a table.
type Column struct {
	Title string
	// Right aligns the column to the right, as for numbers.
	Right bool
	// Drop is the order in which columns are left out on a narrow terminal: the highest
	// first, 0 never.
	Drop int
}

// least is the width down to which text columns are cut; beyond that whole lines are
// cut.
const least = 8

// WriteTable writes a line of titles and a line per row, in aligned columns two spaces
// apart. A row may be short: its last cells are empty. A row with more cells than
// columns is an error, returned before anything is written.
//
// No line wraps on a terminal of the given width (0 means unbounded): columns are left
// out, and named under the table; then the widest texts are cut.
func WriteTable(w io.Writer, width int, columns []Column, rows [][]string) error {
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = c.Title
	}
	lines := append([][]string{titles}, rows...)
	for n, cells := range lines {
		if len(cells) > len(columns) {
			return fmt.Errorf("write table: row %d has %d cells for %d columns", n, len(cells), len(columns))
		}
	}
	if _, err := io.WriteString(w, layOut(width, columns, lines).text(lines)); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// layout is the layout of a table. A width of 0 means that the column is left out: no
// title is empty.
type layout struct {
	columns []Column
	widths  []int
	// room is the most columns a line may take, 0 for no bound: one less than the
	// terminal has, as for bars.
	room int
	out  []string
}

func layOut(width int, columns []Column, lines [][]string) *layout {
	l := &layout{columns: columns, widths: make([]int, len(columns))}
	for _, cells := range lines {
		for i, cell := range cells {
			l.widths[i] = max(l.widths[i], columnsOf(safe(cell)))
		}
	}
	if width > 0 {
		l.room = max(1, width-1)
		l.leaveOut()
		l.cut()
	}
	return l
}

// excess returns by how many columns a line is too long.
func (l *layout) excess() int {
	sum := -2
	for _, width := range l.widths {
		if width > 0 {
			sum += width + 2
		}
	}
	return sum - l.room
}

func (l *layout) leaveOut() {
	for l.excess() > 0 {
		next := -1
		for i, c := range l.columns {
			if l.widths[i] > 0 && c.Drop > 0 && (next < 0 || c.Drop > l.columns[next].Drop) {
				next = i
			}
		}
		if next < 0 {
			return
		}
		l.widths[next] = 0
		l.out = append(l.out, l.columns[next].Title)
	}
}

// cut narrows the widest text column until the line fits. Numbers are not cut: a part of
// a number would read as another number.
func (l *layout) cut() {
	for l.excess() > 0 {
		widest := -1
		for i, c := range l.columns {
			if !c.Right && l.widths[i] > least && (widest < 0 || l.widths[i] > l.widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		l.widths[widest]--
	}
}

func (l *layout) text(lines [][]string) string {
	var out strings.Builder
	for _, cells := range lines {
		out.WriteString(l.fit(l.line(cells)) + "\n")
	}
	if len(l.out) > 0 {
		out.WriteString(l.fit("(too narrow for: "+strings.Join(l.out, ", ")+")") + "\n")
	}
	return out.String()
}

func (l *layout) line(cells []string) string {
	var parts []string
	for i, cell := range cells {
		if l.widths[i] == 0 {
			continue
		}
		cell = clip(safe(cell), l.widths[i])
		pad := spaces(l.widths[i] - columnsOf(cell))
		if l.columns[i].Right {
			parts = append(parts, pad+cell)
		} else {
			parts = append(parts, cell+pad)
		}
	}
	return strings.TrimRight(strings.Join(parts, "  "), " ")
}

func (l *layout) fit(line string) string {
	if l.room == 0 {
		return line
	}
	return clip(line, l.room)
}
