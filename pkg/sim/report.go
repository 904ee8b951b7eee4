package sim

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/sched"
	"clockwork/pkg/workload"
)

// Report is what a run did. All counts are of requests unless they say
// otherwise.
type Report struct {
	Policy, Workload string
	// Offered is how many were sent, Codes how they were answered. OK is within
	// the SLO; DEADLINE_EXCEEDED may have been executed, too late.
	Offered int
	Codes   map[protocol.Code]int
	// Refusals is how many refusals the scheduler gave, Missed how many that it
	// had sent to a GPU were not done in time.
	Refusals, Missed int
	Cold             int
	// Latency is of those that were OK, in microseconds at the door.
	Latency *hdrhistogram.Histogram
	// Over and Under are by how much executions took longer or less long than
	// expected, in microseconds.
	Over, Under *hdrhistogram.Histogram
	// Batches counts executions by the items in them.
	Batches map[int]int
	// Failures counts actions that workers refused.
	Failures map[protocol.Code]int
	Series   []Point
	GPUs     []Use
	Core     sched.Stats
	// Took is the virtual time of the whole run, Length that of the workload.
	Took, Length time.Duration
	Window       time.Duration
	// Events and Steps (of the core for its own wake-ups) count the work, Hash
	// tells two histories apart.
	Events, Steps int
	Hash          uint64

	timeline time.Duration
	Timeline []Span
}

// Point is one window of the series. Offered counts by arrival, OK by answer.
type Point struct {
	Offered, OK, Refused, Missed, Cold int
	// Worst is the longest latency of an OK.
	Worst time.Duration
}

// Use is what a GPU did: time spent and actions done.
type Use struct {
	Name                   string
	Exec, Transfer         time.Duration
	Infers, Loads, Evicted int
}

func (u *Use) add(o *order) {
	took := o.end.Sub(o.begin)
	switch o.action.Kind {
	case protocol.Infer:
		u.Exec += took
		u.Infers++
	case protocol.LoadWeights:
		u.Transfer += took
		u.Loads++
	default:
		u.Evicted++
	}
}

// Span is one action of a GPU, for its timeline.
type Span struct {
	GPU, Model string
	Kind       protocol.Kind
	Batch      int
	Begin, End protocol.Time
}

func newReport(c Config, w workload.Workload) *Report {
	histogram := func() *hdrhistogram.Histogram {
		return hdrhistogram.New(1, int64(time.Hour/time.Microsecond), 3)
	}
	return &Report{
		Policy: c.Policy, Workload: w.Name, Length: w.Length, Window: c.Window,
		Codes: map[protocol.Code]int{}, Batches: map[int]int{}, Failures: map[protocol.Code]int{},
		Latency: histogram(), Over: histogram(), Under: histogram(), timeline: c.Timeline,
	}
}

func (r *Report) point(at protocol.Time) *Point {
	i := int(time.Duration(at) / r.Window)
	for len(r.Series) <= i {
		r.Series = append(r.Series, Point{})
	}
	return &r.Series[i]
}

func (r *Report) offered(a workload.Arrival) {
	r.Offered++
	r.point(a.At).Offered++
}

func (r *Report) answered(now protocol.Time, q *request, code protocol.Code, o *order) {
	r.Codes[code]++
	p := r.point(now)
	if code != protocol.OK {
		if q.order != nil {
			p.Missed++
		} else {
			p.Refused++
		}
		return
	}
	latency := now.Sub(q.taken)
	_ = r.Latency.RecordValue(latency.Microseconds())
	p.OK++
	p.Worst = max(p.Worst, latency)
	if q.cold {
		r.Cold++
		p.Cold++
	}
}

func (r *Report) executed(g *gpu, o *order) {
	if r.timeline > 0 && time.Duration(o.end) <= r.timeline {
		r.Timeline = append(r.Timeline, Span{g.use.Name, o.action.Model, o.action.Kind, o.action.Batch, o.begin, o.end})
	}
	if o.action.Kind != protocol.Infer {
		return
	}
	r.Batches[o.action.Items()]++
	if off := o.end.Sub(o.begin) - o.action.Expected; off >= 0 {
		_ = r.Over.RecordValue(off.Microseconds())
	} else {
		_ = r.Under.RecordValue((-off).Microseconds())
	}
}

// OK is how many were answered within their SLO.
func (r *Report) OK() int { return r.Codes[protocol.OK] }

// Goodput is OK a second of the workload's length.
func (r *Report) Goodput() float64 {
	span := r.Length
	if span == 0 {
		span = r.Took
	}
	return float64(r.OK()) / span.Seconds()
}

// Share is the part of the offered that was OK.
func (r *Report) Share() float64 {
	if r.Offered == 0 {
		return 1
	}
	return float64(r.OK()) / float64(r.Offered)
}

// MeanBatch is the mean number of items in an execution.
func (r *Report) MeanBatch() float64 {
	n, items := 0, 0
	for size, count := range r.Batches {
		n, items = n+count, items+size*count
	}
	if n == 0 {
		return 0
	}
	return float64(items) / float64(n)
}
