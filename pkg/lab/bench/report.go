package bench

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"clockwork/pkg/lab/report"
	"clockwork/pkg/protocol"
)

// Report is a run: what was measured from the end of the warm-up on. It is JSON
// as it stands, and what Compare reads. A field may come, none may go or change
// its meaning.
type Report struct {
	// Setting is what was asked for.
	Setting Setting `json:"setting"`
	// Began is when the run did, by the wall clock.
	Began time.Time `json:"began"`
	// Window is the time over which rates count: from the warm-up to the end of
	// the workload, or to the interruption.
	Window      time.Duration `json:"window_ns"`
	Interrupted bool          `json:"interrupted,omitempty"`
	Total       Summary       `json:"total"`
	// Models are ordered by name; those that nothing was sent to are left out.
	Models []Summary `json:"models"`
	// Lateness is how long after they were due requests were sent.
	Lateness Percentiles `json:"lateness"`
	// Strays are answers that came after their request counted as NoAnswer.
	Strays int `json:"answers_after_no_answer,omitempty"`
	// Refusals has the first message of each code.
	Refusals []Refusal `json:"refusals,omitempty"`
	Series   []Point   `json:"series"`

	latency *histogram
}

// Setting is what a run was asked for. Runs of the same are comparable.
type Setting struct {
	Workload string `json:"workload"`
	Seed     uint64 `json:"seed"`
	// Loads are the models as PATH, or PATH x COPIES.
	Loads []string `json:"loads"`
	// Options are the flags that changed the workload, in order.
	Options []Option `json:"options,omitempty"`
	// Length is the workload's, Warmup the part of it at its begin that is sent
	// and not measured.
	Length      time.Duration `json:"length_ns"`
	Warmup      time.Duration `json:"warmup_ns"`
	Payload     string        `json:"payload"`
	Connections int           `json:"connections"`
}

// Option is a flag and its value.
type Option struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Summary is what the requests of one model, or of all, came to.
//
//	Offered = OK + the sum of Errors + NoAnswer + Unfinished, and InSLO <= OK
type Summary struct {
	Model   string `json:"model,omitempty"`
	Offered int    `json:"offered"`
	OK      int    `json:"ok"`
	InSLO   int    `json:"in_slo"`
	// NoAnswer had none within their SLO and some grace, Unfinished were open
	// when the run ended.
	NoAnswer   int `json:"no_answer,omitempty"`
	Unfinished int `json:"unfinished,omitempty"`
	// Errors counts those refused by code, ordered by code.
	Errors []report.ErrorCount `json:"errors,omitempty"`
	// OfferedRate and Goodput (in SLO) are in requests a second.
	OfferedRate float64 `json:"offered_rps"`
	Goodput     float64 `json:"goodput_rps"`
	// Share is of InSLO in those that did not stay Unfinished; 0 without any.
	Share float64 `json:"share_in_slo"`
	// Cold counts those served that waited for weights; MeanBatch is of those
	// served.
	Cold      int     `json:"cold"`
	MeanBatch float64 `json:"mean_batch"`
	// Latency is of those served, in time or not, from when they were due.
	Latency Percentiles `json:"latency"`
}

// Refusal is what the stack said with a code, the first time.
type Refusal struct {
	Code    protocol.Code `json:"code"`
	Message string        `json:"message"`
}

// Point is what became of the requests that were due in one window of time, at
// so long after the warm-up.
type Point struct {
	At       time.Duration `json:"at_ns"`
	Window   time.Duration `json:"window_ns"`
	Offered  int           `json:"offered"`
	InSLO    int           `json:"in_slo"`
	Late     int           `json:"late"`
	Refused  int           `json:"refused"`
	NoAnswer int           `json:"no_answer"`
	// Latency is of those served.
	P50 time.Duration `json:"p50_ns"`
	P99 time.Duration `json:"p99_ns"`
	Max time.Duration `json:"max_ns"`
}

// Report sums up a run that was measured for window; names are the models'.
func (t *Tally) Report(names []string, window time.Duration) *Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &Report{
		Window: window, Total: t.total.summary("", window), Models: []Summary{},
		Lateness: t.late.percentiles(), Strays: t.strays, latency: t.total.latency,
	}
	for i := range t.models {
		if t.models[i].offered > 0 {
			r.Models = append(r.Models, t.models[i].summary(names[i], window))
		}
	}
	slices.SortFunc(r.Models, func(a, b Summary) int { return strings.Compare(a.Model, b.Model) })
	for code, message := range t.messages {
		r.Refusals = append(r.Refusals, Refusal{code, message})
	}
	slices.SortFunc(r.Refusals, func(a, b Refusal) int { return strings.Compare(string(a.Code), string(b.Code)) })
	for i, p := range t.points {
		r.Series = append(r.Series, p.point(time.Duration(i)*t.window, t.window))
	}
	return r
}

func (c *account) summary(model string, window time.Duration) Summary {
	s := Summary{
		Model: model, Offered: c.offered, OK: c.ok, InSLO: c.inSLO, NoAnswer: c.noAnswer, Unfinished: c.unfinished,
		OfferedRate: perSecond(c.offered, window), Goodput: perSecond(c.inSLO, window),
		Errors: report.ByCode(c.errors), Cold: c.cold, Latency: c.latency.percentiles(),
	}
	if ended := c.offered - c.unfinished; ended > 0 {
		s.Share = float64(c.inSLO) / float64(ended)
	}
	if c.ok > 0 {
		s.MeanBatch = float64(c.items) / float64(c.ok)
	}
	return s
}

func (p *point) point(at, window time.Duration) Point {
	l := p.latency.percentiles()
	return Point{
		At: at, Window: window, Offered: p.offered, InSLO: p.inSLO, Late: p.late, Refused: p.refused, NoAnswer: p.noAnswer,
		P50: l.P50, P99: l.P99, Max: l.Max,
	}
}

// Curve is the latency at each of some percentages, ascending, as far as there
// are samples for them: of those served, from when they were due.
func (r *Report) Curve(percents []float64) (percent []float64, latency []time.Duration) {
	return r.latency.curve(percents)
}

// WriteHistogram writes the latencies in the percentile format of HdrHistogram
// (.hgrm), in milliseconds, as its plotter reads it.
func (r *Report) WriteHistogram(w io.Writer) error {
	if err := r.latency.write(w); err != nil {
		return fmt.Errorf("write histogram: %w", err)
	}
	return nil
}

// Worst are the n models of the smallest share in SLO, the worst first.
func (r *Report) Worst(n int) []Summary {
	worst := slices.Clone(r.Models)
	slices.SortStableFunc(worst, func(a, b Summary) int { return cmp.Compare(a.Share, b.Share) })
	return worst[:min(n, len(worst))]
}
