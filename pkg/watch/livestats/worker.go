package livestats

import (
	"time"

	"clockwork/pkg/protocol"
)

// Worker counts what the GPUs of a worker did.
type Worker struct {
	span[[]gpuWork]
	lanes []lanes // by GPU; guarded by span.mu
}

// gpuWork counts what a GPU executed.
type gpuWork struct{ batches, items, failed int }

// lanes are the recent utilisation of a GPU's two lanes, in time slices.
type lanes struct{ exec, load timeline }

// slice is the length of a timeline's slices, and history how many are kept: those of
// the published second, the current one and a margin.
const (
	slice   = time.Second / protocol.SlicesASecond
	history = 4 * protocol.SlicesASecond
)

// timeline holds for how long a lane was busy in each slice of the last seconds. A
// slice's number is its start divided by its length; its index is that number modulo
// history.
type timeline struct {
	busy   [history]time.Duration
	number [history]int64
}

func numberOf(t time.Time) int64 { return t.UnixNano() / int64(slice) }

// add records that a lane was busy from begin to end.
func (l *timeline) add(begin, end time.Time) {
	if oldest := end.Add(-(history - 2) * slice); begin.Before(oldest) {
		begin = oldest
	}
	for begin.Before(end) {
		n := numberOf(begin)
		next := time.Unix(0, (n+1)*int64(slice))
		if next.After(end) {
			next = end
		}
		at := n % history
		if l.number[at] != n {
			l.number[at], l.busy[at] = n, 0
		}
		l.busy[at] += next.Sub(begin)
		begin = next
	}
}

// last returns the lane's utilisation in percent, for each slice of the second that
// ended with the slice before now's.
func (l *timeline) last(now time.Time) []int {
	percent := make([]int, protocol.SlicesASecond)
	for i := range percent {
		n := numberOf(now) - protocol.SlicesASecond + int64(i)
		if at := n % history; l.number[at] == n {
			percent[i] = int(min(100, (l.busy[at]*100+slice/2)/slice))
		}
	}
	return percent
}

// NewWorker returns a Worker with this many GPUs that counts nothing until Watch.
func NewWorker(gpus int) *Worker { return &Worker{lanes: make([]lanes, gpus)} }

// Ended counts a result; now is when the worker sent it.
func (w *Worker) Ended(r *protocol.Result, now time.Time) {
	if !r.Kind.OnGPU() || r.GPU < 0 || r.GPU >= len(w.lanes) {
		return
	}
	w.count(func(of *[]gpuWork) {
		if *of == nil {
			*of = make([]gpuWork, len(w.lanes))
		}
		w.add(&(*of)[r.GPU], &w.lanes[r.GPU], r, now)
	})
}

// add counts a result. A result's times are in another clock, in which now is r.Sent.
func (w *Worker) add(did *gpuWork, l *lanes, r *protocol.Result, now time.Time) {
	if r.Code != protocol.OK {
		did.failed++
		return
	}
	here := func(t protocol.Time) time.Time { return now.Add(-r.Sent.Sub(t)) }
	if r.Kind != protocol.Infer {
		l.load.add(here(r.Begin), here(r.End))
		return
	}
	did.batches++
	did.items += r.Batch
	l.exec.add(here(r.Exec.Begin), here(r.Exec.End))
}

// LiveStats returns the statistics. The service adds the current state of its GPUs.
func (w *Worker) LiveStats(now time.Time) protocol.LiveStats {
	shown := min(len(w.lanes), protocol.MaxGPUStats)
	f := &protocol.WorkerStats{GPUs: make([]protocol.GPUStats, shown), Hidden: len(w.lanes) - shown}
	lasted := w.read(now, func(older, newer *[]gpuWork) {
		for i := range f.GPUs {
			g := &f.GPUs[i]
			g.GPU, g.Exec, g.Load = i, w.lanes[i].exec.last(now), w.lanes[i].load.last(now)
			for _, half := range []*[]gpuWork{older, newer} {
				if *half != nil {
					did := (*half)[i]
					g.Batches, g.Items, g.Failed = g.Batches+did.batches, g.Items+did.items, g.Failed+did.failed
				}
			}
		}
	})
	return protocol.LiveStats{At: now, SpanMS: protocol.Milliseconds(lasted), Worker: f}
}
