package sim

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/core/work"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// Report is the result of a run. Counts are of requests unless stated otherwise.
type Report struct {
	Policy, Workload string
	// Offered counts the requests sent, Codes their answers. OK means within the
	// SLO; a request with DEADLINE_EXCEEDED may have been executed too late.
	Offered int
	Codes   map[protocol.Code]int
	// Refusals counts the scheduler's refusals, Missed the requests that were sent
	// to a GPU and not finished in time.
	Refusals, Missed int
	Cold             int
	// Latency is of OK requests, in microseconds, measured at the front door.
	Latency *hdrhistogram.Histogram
	// Refused is how long refusals took, in microseconds, as the front door gives them.
	Refused *hdrhistogram.Histogram
	// Over and Under are by how much executions exceeded or fell short of their
	// expected duration, in microseconds.
	Over, Under *hdrhistogram.Histogram
	// Batches counts executions by number of items.
	Batches map[int]int
	// Failures counts actions that workers refused, by code.
	Failures map[protocol.Code]int
	Series   []Point
	// Classes groups the requests by SLO, sorted ascending. Streams holds one series
	// per stream of the workload; nil above maxStreams.
	Classes []Class
	Streams [][]Tally
	GPUs    []Use
	Core    sched.Stats
	// Faults counts the effects of the faults. Startup describes the time before
	// activation, nil in a run without a startup.
	Faults  FaultCounts
	Startup *StartupReport
	// Took is the virtual time of the whole run, Length that of the workload.
	Took, Length time.Duration
	Window       time.Duration
	// Events and Steps (of the core for its own wake-ups) count the work. Hash
	// identifies the sequence of events.
	Events, Steps int
	Hash          uint64

	faulty   bool
	zero     protocol.Time // the activation; all times count from here
	timeline time.Duration
	Timeline []Span
	class    int // index in Classes of the last request
}

// Use is the usage of one GPU: time spent and number of actions.
type Use struct {
	Name                   string
	Exec, Transfer         time.Duration
	Infers, Loads, Evicted int
	// Full counts the loads done before the first eviction.
	Full int
}

func (u *Use) add(o *work.Order) {
	took := o.End.Sub(o.Begin)
	switch o.Action.Kind {
	case protocol.Infer:
		u.Exec += took
		u.Infers++
	case protocol.LoadWeights:
		u.Transfer += took
		u.Loads++
	default:
		if u.Evicted == 0 {
			u.Full = u.Loads
		}
		u.Evicted++
	}
}

// Span is one action on a GPU, for its timeline.
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
	r := &Report{
		Policy: c.Policy, Workload: w.Name, Length: w.Length, Window: c.Window,
		Codes: map[protocol.Code]int{}, Batches: map[int]int{}, Failures: map[protocol.Code]int{},
		Latency: histogram(), Refused: histogram(), Over: histogram(), Under: histogram(), timeline: c.Timeline, faulty: c.Faults.Any(),
	}
	if len(w.Streams) <= maxStreams {
		r.Streams = make([][]Tally, len(w.Streams))
	}
	return r
}

func (r *Report) offered(a workload.Arrival) {
	r.Offered++
	i := r.window(a.At)
	p := r.point(i)
	p.Offered++
	if p.SLO == 0 || a.SLO < p.SLO {
		p.SLO = a.SLO
	}
	r.of(a.SLO).Offered++
	if r.Streams != nil {
		r.stream(a.Stream, i).Offered++
	}
}

func (r *Report) answered(now protocol.Time, q *request, code protocol.Code) {
	r.Codes[code]++
	i, latency := r.window(now.Add(-time.Duration(r.zero))), now.Sub(q.taken)
	r.point(i).answer(q, code, latency)
	if r.Streams != nil {
		r.stream(q.arrival.Stream, i).answer(q, code, latency)
	}
	if code != protocol.OK {
		_ = r.Refused.RecordValue(max(1, latency.Microseconds()))
		return
	}
	_ = r.Latency.RecordValue(latency.Microseconds())
	r.of(q.arrival.SLO).OK++
	if q.cold {
		r.Cold++
	}
}

func (r *Report) executed(h *host, o *work.Order) {
	begin, end := h.Core.Remote(o.Begin).Add(-time.Duration(r.zero)), max(0, h.Core.Remote(o.End).Add(-time.Duration(r.zero)))
	if r.timeline > 0 && time.Duration(end) <= r.timeline {
		r.Timeline = append(r.Timeline, Span{h.GPUs[o.GPU].String(), o.Action.Model, o.Action.Kind, o.Action.Batch, begin, end})
	}
	p := r.point(r.window(end))
	took := o.End.Sub(o.Begin)
	switch o.Action.Kind {
	case protocol.LoadWeights:
		p.Transfer += took
		p.Loads++
		return
	case protocol.EvictWeights:
		p.Evictions++
		return
	}
	items := o.Action.Items()
	p.Exec += took
	p.Batches++
	p.Items += items
	r.Batches[items]++
	if by, over := protocol.Deviation(o.Action.Expected, took); over {
		_ = r.Over.RecordValue(by.Microseconds())
		p.Over = max(p.Over, by)
	} else {
		_ = r.Under.RecordValue(by.Microseconds())
		p.Under = max(p.Under, by)
	}
}

// OK returns how many requests were answered within their SLO.
func (r *Report) OK() int { return r.Codes[protocol.OK] }

// Goodput returns OK per second of the workload's length.
func (r *Report) Goodput() float64 { return r.rate(r.OK()) }

func (r *Report) rate(n int) float64 {
	span := r.Length
	if span == 0 {
		span = max(1, r.Took)
	}
	return float64(n) / span.Seconds()
}

// Share returns the share of offered requests that were OK.
func (r *Report) Share() float64 {
	return share(r.OK(), r.Offered)
}

// MeanBatch returns the mean number of items per execution.
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
