package bench

import (
	"sync"
	"time"

	"clockwork/pkg/client"
	"clockwork/pkg/lab/report"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// manyModels is the number of models above which each has a coarse histogram: a
// fine one takes 200 kB.
const manyModels = 100

// Tally counts the outcomes of requests. Requests due before from are not
// counted. Any goroutine may call it.
type Tally struct {
	from   protocol.Time
	window time.Duration
	digits int // of a model's histogram

	mu       sync.Mutex
	models   []account
	total    account
	late     *histogram
	refused  *histogram
	points   []*point
	since    point // since the last Progress
	messages map[protocol.Code]string
	strays   int
}

// account holds the sums of one model, or of all.
type account struct {
	offered, ok, inSLO, noAnswer, unfinished int

	cold, items int
	errors      map[protocol.Code]int
	latency     *histogram
}

// point counts the requests due in one window of time.
type point struct {
	offered, inSLO, late, refused, noAnswer int

	latency *histogram
}

// NewTally returns a Tally for this number of models. It counts requests due
// after the warm-up, which ends at from, and divides the series into windows.
func NewTally(models int, from protocol.Time, window time.Duration) *Tally {
	t := &Tally{
		from: from, window: window, digits: fine, models: make([]account, models),
		late: newHistogram(fine), refused: newHistogram(fine), since: point{latency: newHistogram(coarse)}, messages: map[protocol.Code]string{},
	}
	t.total.latency = newHistogram(fine)
	if models > manyModels {
		t.digits = coarse
	}
	return t
}

// Sent counts a request; late is how long after its due time it was sent.
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

// Done counts the outcome of a request. late is how long after its due time it was sent,
// took how long after its due time it was answered.
func (t *Tally) Done(a workload.Arrival, late, took time.Duration, o client.Outcome) {
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
	if o.Code != protocol.OK {
		t.refused.add(took - late)
	}
}

// NoAnswer counts a request without an answer in time.
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

// Unfinished counts a request that was open when the run ended.
func (t *Tally) Unfinished(a workload.Arrival) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a.At >= t.from {
		t.models[a.Model].unfinished++
		t.total.unfinished++
	}
}

// Stray counts an answer to a request that had already counted as NoAnswer.
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

// at returns the point of a due time after the warm-up; the caller holds mu.
func (t *Tally) at(due protocol.Time) *point {
	i := int(due.Sub(t.from) / t.window)
	for len(t.points) <= i {
		t.points = append(t.points, &point{latency: newHistogram(coarse)})
	}
	return t.points[i]
}

// Progress covers the time since the last Progress, including the warm-up.
type Progress struct {
	// Elapsed is the part of Length that has passed.
	Elapsed, Length time.Duration
	// Offered and Goodput are in requests per second.
	Offered, Goodput float64
	// Share is the share of ended requests that were served in their SLO, NaN if
	// none ended.
	Share float64
	P99   time.Duration
}

// Progress returns the counts since the last call, and resets them.
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
