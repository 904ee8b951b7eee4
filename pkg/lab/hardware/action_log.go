package hardware

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"clockwork/pkg/protocol"
)

// Observed is what an action log says of a stack: what executions and messages took.
type Observed struct {
	infer                map[inferKey]*samples
	toWorker, fromWorker samples
	// Executions counts those that succeeded, Lines all lines, LeftOut executions of more
	// kinds than are kept.
	Executions, Lines, LeftOut int
}

type inferKey struct {
	model string
	batch int
}

// The bounds of an action log.
const (
	// maxLogLine is longer than any line that clockwork writes, maxKinds bounds models times
	// batch sizes, maxKept the samples of each.
	maxLogLine = 16 << 10
	maxKinds   = 1 << 16
	maxKept    = 4096
)

// samples keeps evenly chosen ones of very many.
type samples struct {
	kept    []time.Duration
	every   int // each every-th is kept; 0 before the first
	skipped int
}

// add keeps a sample, or leaves it out. Once there are maxKept, every second goes.
func (s *samples) add(d time.Duration) {
	if s.every == 0 {
		s.every = 1
	}
	if s.skipped++; s.skipped < s.every {
		return
	}
	s.skipped = 0
	if s.kept = append(s.kept, d); len(s.kept) < maxKept {
		return
	}
	for i := range maxKept / 2 {
		s.kept[i] = s.kept[2*i]
	}
	s.kept, s.every = s.kept[:maxKept/2], 2*s.every
}

// executions returns what executions of a model at a batch size took.
func (o *Observed) executions(model string, batch int) []time.Duration {
	if o == nil || o.infer[inferKey{model, batch}] == nil {
		return nil
	}
	return o.infer[inferKey{model, batch}].kept
}

// columns are those that are read.
var columns = []string{"action_type", "status", "worker_exec_duration", "worker_action_received", "worker_result_sent", "controller_result_enqueue", "model", "padded_batch_size"}

// inferType and okStatus are an Infer that succeeded.
const inferType, okStatus = 2, 0

// NewObserved returns what no log has said anything of yet.
func NewObserved() *Observed { return &Observed{infer: map[inferKey]*samples{}} }

// Read takes what an action log of a scheduler (--action-log) says. Lines that are cut off are
// left out.
func (o *Observed) Read(from io.Reader) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 0, 64<<10), maxLogLine)
	var at []int
	for lines.Scan() {
		fields := bytes.Split(lines.Bytes(), []byte("\t"))
		if at == nil {
			if at = places(fields); at == nil {
				return fmt.Errorf("read action log: its header lacks some of %q", columns)
			}
			continue
		}
		o.Lines++
		if slices.Max(at) < len(fields) {
			o.line(fields, at)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read action log: line %d: %w", o.Lines+1, err)
	}
	if at == nil {
		return errors.New("read action log: it is empty")
	}
	return nil
}

// places returns where in a line the columns are, nil if one is missing.
func places(header [][]byte) []int {
	var at []int
	for _, name := range columns {
		i := slices.IndexFunc(header, func(field []byte) bool { return string(field) == name })
		if i < 0 {
			return nil
		}
		at = append(at, i)
	}
	return at
}

// line takes a line, unless it is no Infer that succeeded, or cannot be one.
func (o *Observed) line(fields [][]byte, at []int) {
	number := func(column int) int64 {
		n, err := strconv.ParseInt(string(fields[at[column]]), 10, 64)
		if err != nil || n < 0 || n > int64(protocol.MaxMeasured) {
			return -1
		}
		return n
	}
	took, batch, model := number(2), number(7), string(fields[at[6]])
	if number(0) != inferType || number(1) != okStatus || took <= 0 || batch < 1 || !protocol.ValidName(model) {
		return
	}
	key := inferKey{model, int(batch)}
	if o.infer[key] == nil {
		if len(o.infer) == maxKinds {
			o.LeftOut++
			return
		}
		o.infer[key] = &samples{}
	}
	o.infer[key].add(time.Duration(took))
	o.Executions++
	received, sent, enqueued := number(3), number(4), number(5)
	if received >= 0 && sent >= received && enqueued >= sent {
		o.toWorker.add(time.Duration(received))
		o.fromWorker.add(time.Duration(enqueued - sent))
	}
}
