package lab

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"clockwork/cmd/clockwork/cli"
	"clockwork/cmd/clockwork/serve"
	"clockwork/pkg/lab/bench"
	"clockwork/pkg/watch/terminal"
)

// benchProgress shows the progress of a run: a bar on a terminal, elsewhere a line on
// the standard error every ten seconds.
type benchProgress struct {
	bar  func(label string, done, total int, note string)
	err  io.Writer
	last time.Duration // elapsed time at the last line
	now  bench.Progress
}

// plainEvery is the interval between lines without a terminal.
const plainEvery = 10 * time.Second

func newBenchProgress(con *cli.Console, own *serve.Stack) *benchProgress {
	p := &benchProgress{err: con.Err}
	switch {
	case !con.TTY:
	case own != nil:
		p.bar = own.Progress.Bar
	default:
		p.bar = con.Display.Bar
	}
	return p
}

func (p *benchProgress) show(now bench.Progress) {
	p.now = now
	length := int(math.Ceil(now.Length.Seconds()))
	elapsed := min(int(now.Elapsed.Seconds()), length)
	if p.bar != nil {
		p.bar("bench", elapsed, length, progressNote(now))
		return
	}
	if now.Elapsed-p.last >= plainEvery {
		p.last = now.Elapsed
		fmt.Fprintf(p.err, "%d/%d s: %s\n", elapsed, length, progressNote(now))
	}
}

// end fills the bar, if there is one.
func (p *benchProgress) end() {
	if length := int(math.Ceil(p.now.Length.Seconds())); p.bar != nil && length > 0 {
		p.bar("bench", length, length, progressNote(p.now))
	}
}

// progressNote fits next to the bar in 80 columns.
func progressNote(p bench.Progress) string {
	share := "-"
	if !math.IsNaN(p.Share) {
		share = strconv.FormatFloat(math.Floor(1000*p.Share)/10, 'f', 1, 64) + "%"
	}
	return fmt.Sprintf("%.0f r/s, good %.0f, %s, p99 %s", p.Offered, p.Goodput, share, terminal.Duration(p.P99))
}
