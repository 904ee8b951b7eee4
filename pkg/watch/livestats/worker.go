package livestats

import (
	"time"

	"clockwork/pkg/protocol"
)

// Worker counts what the GPUs of a worker did.
type Worker struct {
	span[[]gpuWork]
	lanes []lanes // guarded as the rest; its GPUs are numbered as they are here
}

// gpuWork is what a GPU executed.
type gpuWork struct{ batches, items, failed int }

// lanes are how a GPU's lanes were busy lately, by slices of time.
type lanes struct{ exec, load timeline }

// slice is the breadth of a timeline's steps, and history how many are kept: those
// that are told, and the one that is under way.
const (
	slice   = time.Second / protocol.SlicesASecond
	history = 4 * protocol.SlicesASecond
)

// timeline is for how long a lane was busy in each slice of the last seconds. A slice
// is numbered by when it began; its place is that number modulo history.
type timeline struct {
	busy   [history]time.Duration
	number [history]int64
}

func numberOf(t time.Time) int64 { return t.UnixNano() / int64(slice) }

// add takes in that a lane was busy.
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

// last returns by how many percent the lane was busy in each slice of the second that
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

// NewWorker makes a Worker of so many GPUs that nobody watches.
func NewWorker(gpus int) *Worker { return &Worker{lanes: make([]lanes, gpus)} }

// Ended takes in a result at the moment when it was given.
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

// add counts. The times of a result are of another clock; that of when it was sent is
// now.
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

// LiveStats returns what was counted. The service adds what it knows of its GPUs besides.
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
