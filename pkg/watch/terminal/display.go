package terminal

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"
)

const (
	// maxRows bounds how many bars are shown at once; a block higher than the screen
	// could not be redrawn in place.
	maxRows      = 10
	defaultWidth = 80
)

// Display shows lines and progress bars. On a terminal the bars form a block under the
// lines and are redrawn in place; elsewhere a bar is printed as a line when it begins,
// gains or loses a tenth, or ends.
//
// Invariant: on a terminal the cursor is at the beginning of the line below the block,
// and drawn holds the block's rows.
type Display struct {
	w     io.Writer
	tty   bool
	width func() int

	bars []*bar
	// ended holds the last state of bars that reached their total.
	ended map[string]bar
	drawn []string
	err   error
}

// New returns a Display on w. width returns the terminal's columns and is called before
// each drawing; it may be nil if isTTY is false, and a result under 1 counts as 80.
func New(w io.Writer, isTTY bool, width func() int) *Display {
	return &Display{w: w, tty: isTTY, width: width, ended: map[string]bar{}}
}

// OnFile returns a Display on a file, with bars in place if the file is a terminal.
func OnFile(f *os.File) *Display {
	fd := int(f.Fd())
	return New(f, term.IsTerminal(fd), func() int {
		width, _, err := term.GetSize(fd)
		if err != nil {
			return 0
		}
		return width
	})
}

// Width returns how many columns the terminal has now, 0 if there is no terminal and
// nothing needs to be cut. Unlike the other methods, Width may be called from any
// goroutine.
func (d *Display) Width() int {
	if !d.tty {
		return 0
	}
	return d.columns()
}

// Line prints text above the bars; line breaks in the text are kept.
func (d *Display) Line(text string) {
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		lines = append(lines, safe(line))
	}
	d.print(lines)
}

// Bar shows progress: done of total. The label identifies the bar: the first call
// creates the bar, later calls move it, forwards or backwards. When done reaches total
// the bar becomes a line above the others; a later, different call with the same label
// creates a new bar. A total under 1 means unknown: then only done and the note are
// shown. A negative done counts as 0, one above total as total.
func (d *Display) Bar(label string, done, total int, note string) {
	done = max(done, 0)
	if total > 0 {
		done = min(done, total)
	}
	next := bar{label: safe(label), done: done, total: max(total, 0), note: safe(note)}
	at := slices.IndexFunc(d.bars, func(b *bar) bool { return b.label == next.label })
	if at < 0 && d.ended[next.label] == next {
		return
	}
	var previous *bar
	if at < 0 {
		d.bars = append(d.bars, &next)
	} else {
		previous, d.bars[at] = d.bars[at], &next
	}
	if next.over() {
		d.ended[next.label] = next
		d.drop(next.label)
		if d.tty {
			d.print([]string{next.row(d.shapeOf([]*bar{&next}))})
			return
		}
	}
	if d.tty {
		d.print(nil)
	} else if previous == nil || previous.tenth() != next.tenth() || next.total == 0 && previous.note != next.note {
		d.print([]string{next.plain()})
	}
}

// Remove removes a bar without leaving a line, for example a countdown that ended. An
// unknown label is ignored.
func (d *Display) Remove(label string) {
	d.drop(safe(label))
	delete(d.ended, safe(label))
	if d.tty {
		d.print(nil)
	}
}

// Done leaves the bars as they are; later output is printed below them. It returns the
// first write error. The Display can be used again.
func (d *Display) Done() error {
	d.bars, d.drawn = nil, nil
	clear(d.ended)
	return d.err
}

func (d *Display) drop(label string) {
	d.bars = slices.DeleteFunc(d.bars, func(b *bar) bool { return b.label == label })
}

// print writes lines above the block and draws the block below them, in one write, so
// that no partial state is visible. It writes nothing if nothing changed.
func (d *Display) print(lines []string) {
	rows := d.rows()
	if len(lines) == 0 && slices.Equal(rows, d.drawn) {
		return
	}
	var out strings.Builder
	if up := d.height(); up > 0 {
		fmt.Fprintf(&out, "\x1b[%dA\r\x1b[J", up)
	}
	for _, line := range append(lines, rows...) {
		out.WriteString(line)
		out.WriteByte('\n')
	}
	d.drawn = rows
	if _, err := io.WriteString(d.w, out.String()); err != nil && d.err == nil {
		d.err = fmt.Errorf("write to terminal: %w", err)
	}
}

// rows returns the block's rows for the current state.
func (d *Display) rows() []string {
	if !d.tty {
		return nil
	}
	shown := d.bars[:min(len(d.bars), maxRows)]
	shape := d.shapeOf(shown)
	var rows []string
	for _, b := range shown {
		rows = append(rows, b.row(shape))
	}
	if rest := len(d.bars) - len(shown); rest > 0 {
		rows = append(rows, clip(fmt.Sprintf("and %d more", rest), shape.columns))
	}
	return rows
}

// height returns how many screen lines the drawn block takes now: its rows wrap if the
// terminal has become narrower since.
func (d *Display) height() int {
	lines := 0
	for _, row := range d.drawn {
		width := d.columns()
		lines += max(1, (columnsOf(row)+width-1)/width)
	}
	return lines
}

func (d *Display) columns() int {
	if d.width != nil {
		if width := d.width(); width > 0 {
			return width
		}
	}
	return defaultWidth
}
