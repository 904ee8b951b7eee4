package work

import (
	"time"

	"clockwork/pkg/protocol"
)

// start is how the next executor of a GPU comes up after a while: well, not at all, or it hangs
// until the worker has it ended.
func (w *world) start(gpu int, after time.Duration) {
	switch {
	case w.one(6):
		w.happened["start hung"]++
	case w.one(8):
		w.happened["start failed"]++
		w.startEnded(gpu, after)
	default:
		w.after(after, w.config.Incarnation, &ExecutorReady{GPU: gpu})
	}
}

// startEnded ends a start, after a while, and the next one follows.
func (w *world) startEnded(gpu int, after time.Duration) {
	number := w.processes[gpu]
	w.processes[gpu]++
	w.after(after, w.config.Incarnation, &ExecutorLost{GPU: gpu, Executor: number})
	w.start(gpu, after+w.millis(1, 20))
}

// endStart ends a start that hangs.
func (w *world) endStart(gpu int) {
	if w.processes[gpu] == w.told[gpu] {
		w.startEnded(gpu, w.millis(0, 6))
	}
}

// knownStart is the start of an executor, by the words of Config.RestartWithin.
type knownStart struct {
	down bool
	vain int
	from protocol.Time
}

func (s *knownStart) begins(now protocol.Time) {
	if s.from = now; s.down {
		s.vain++
	}
	s.down = true
}

// due is when it counts as hung.
func (s *knownStart) due(c *checker) protocol.Time {
	if !s.down {
		return protocol.Never
	}
	times := [...]time.Duration{1, 2, 4, 8}
	return s.from.Add(c.config.RestartWithin * times[min(s.vain, len(times)-1)])
}

// starts looks whether each start that hangs is output when it does, neither sooner nor later,
// and whether the worker wakes for it.
func (c *checker) starts(out *Output) {
	for _, h := range out.HungStarts {
		s := &c.gpus[h.GPU].start
		if due := s.due(c); c.now < due || h.After != due.Sub(s.from) {
			c.failf("a start on GPU %d hangs for %v: since %v, due %v", h.GPU, h.After, s.from, due)
		}
		s.from = c.now
	}
	for i := range c.gpus {
		switch due := c.gpus[i].start.due(c); {
		case c.now > due:
			c.failf("a start on GPU %d does not count as hung, due %v", i, due)
		case c.worker.gpus[i].down != c.gpus[i].start.down:
			c.failf("GPU %d has an executor: %v", i, c.worker.gpus[i].down)
		}
	}
}
