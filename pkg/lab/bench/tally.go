package bench

import (
	"sync"
	"time"

	"clockwork/pkg/client"
	"clockwork/pkg/lab/report"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// manyModels is from when on each has a coarse histogram: a fine one takes
// 200 kB.
const manyModels = 100

// Tally counts what becomes of requests. Those that are due before From count
// for nothing. Any goroutine may call it.
type Tally struct {
	from   protocol.Time
	window time.Duration
	digits int // of a model's histogram

	mu       sync.Mutex
	models   []account
	total    account
	late     *histogram
	points   []*point
	since    point // since the last Progress
	messages map[protocol.Code]string
	strays   int
}

// account is the sums of one model, or of all.
type account struct {
	offered, ok, inSLO, noAnswer, unfinished int

	cold, items int
	errors      map[protocol.Code]int
	latency     *histogram
}

// point is what became of the requests due in one window of time.
type point struct {
	offered, inSLO, late, refused, noAnswer int

	latency *histogram
}

// NewTally counts for so many models what is due from the end of a warm-up on,
// in windows of time for the series.
func NewTally(models int, from protocol.Time, window time.Duration) *Tally {
	t := &Tally{
		from: from, window: window, digits: fine, models: make([]account, models),
		late: newHistogram(fine), since: point{latency: newHistogram(coarse)}, messages: map[protocol.Code]string{},
	}
	t.total.latency = newHistogram(fine)
	if models > manyModels {
		t.digits = coarse
	}
	return t
}

// Sent tells that a request was sent, and how long after it was due.
func (t *Tally) Sent(a workload.Arrival, late time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since.offered++
	if a.At < t.from {
		return
	}
	t.models[a.Model].offered++
	t.total.offered++
	t.at(a.At).offered++
	t.late.add(late)
}

// Done tells how a request ended, and when after it was due.
func (t *Tally) Done(a workload.Arrival, took time.Duration, o client.Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := report.Sample{Latency: took, SLO: a.SLO, Code: o.Code}
	t.since.count(s)
	if o.Code != protocol.OK && t.messages[o.Code] == "" {
		t.messages[o.Code] = o.Refusal().Message
	}
	if a.At < t.from {
		return
	}
	m := &t.models[a.Model]
	if s.Code == protocol.OK && m.latency == nil {
		m.latency = newHistogram(t.digits)
	}
	m.count(s, o.Parameters)
	t.total.count(s, o.Parameters)
	t.at(a.At).count(s)
}

// NoAnswer tells that a request had none in time, Unfinished that nobody waited
// for it to the end.
func (t *Tally) NoAnswer(a workload.Arrival) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since.noAnswer++
	if a.At >= t.from {
		t.models[a.Model].noAnswer++
		t.total.noAnswer++
		t.at(a.At).noAnswer++
	}
}

// Unfinished tells that a request was open when the run ended.
func (t *Tally) Unfinished(a workload.Arrival) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a.At >= t.from {
		t.models[a.Model].unfinished++
		t.total.unfinished++
	}
}

// Stray tells of an answer after its request had been given up.
func (t *Tally) Stray() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.strays++
}

func (c *account) count(s report.Sample, p protocol.ResponseParameters) {
	if s.Code != protocol.OK {
		if c.errors == nil {
			c.errors = map[protocol.Code]int{}
		}
		c.errors[s.Code]++
		return
	}
	c.ok++
	c.items += p.BatchSize
	if s.InSLO() {
		c.inSLO++
	}
	if p.ColdStart {
		c.cold++
	}
	c.latency.add(s.Latency)
}

func (p *point) count(s report.Sample) {
	switch {
	case s.Code != protocol.OK:
		p.refused++
		return
	case s.InSLO():
		p.inSLO++
	default:
		p.late++
	}
	p.latency.add(s.Latency)
}

// at is the point of a moment after the warm-up; it needs the lock.
func (t *Tally) at(due protocol.Time) *point {
	i := int(due.Sub(t.from) / t.window)
	for len(t.points) <= i {
		t.points = append(t.points, &point{latency: newHistogram(coarse)})
	}
	return t.points[i]
}

// Progress is what happened since the one before, the warm-up included.
type Progress struct {
	// Elapsed of Length have passed.
	Elapsed, Length time.Duration
	// Offered and Goodput are in requests a second.
	Offered, Goodput float64
	// Share of those that ended were served in their SLO, NaN where none ended.
	Share float64
	P99   time.Duration
}

// Progress begins anew.
func (t *Tally) Progress(over time.Duration) Progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.since
	ended := s.inSLO + s.late + s.refused + s.noAnswer
	p := Progress{
		Offered: perSecond(s.offered, over), Goodput: perSecond(s.inSLO, over),
		Share: float64(s.inSLO) / float64(ended), P99: s.latency.percentiles().P99,
	}
	s.latency.of.Reset()
	*s = point{latency: s.latency}
	return p
}

func perSecond(n int, over time.Duration) float64 {
	if over <= 0 {
		return 0
	}
	return float64(n) / over.Seconds()
}
