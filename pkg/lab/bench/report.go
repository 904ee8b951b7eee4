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

// Report is the result of a run, measured from the end of the warm-up on. Its
// JSON is what Compare reads: fields may be added, but none may be removed or
// change its meaning.
type Report struct {
	// Setting describes the run.
	Setting Setting `json:"setting"`
	// Began is when the run began, by the wall clock.
	Began time.Time `json:"began"`
	// Window is the duration for rates: from the end of the warm-up to the end of
	// the workload, or to the interruption.
	Window      time.Duration `json:"window_ns"`
	Interrupted bool          `json:"interrupted,omitempty"`
	Total       Summary       `json:"total"`
	// Models are sorted by name; models without requests are left out.
	Models []Summary `json:"models"`
	// Lateness is how long after their due times requests were sent.
	Lateness Percentiles `json:"lateness"`
	// Refused is how long after they were sent requests were refused, or failed.
	Refused Percentiles `json:"refused"`
	// Strays counts answers that arrived after their request had counted as
	// NoAnswer.
	Strays int `json:"answers_after_no_answer,omitempty"`
	// Refusals contains the first message of each code.
	Refusals []Refusal `json:"refusals,omitempty"`
	Series   []Point   `json:"series"`

	latency *histogram
}

// Setting describes a run. Runs with equal settings are comparable.
type Setting struct {
	Workload string `json:"workload"`
	Seed     uint64 `json:"seed"`
	// Loads are the models as PATH, or PATH x COPIES.
	Loads []string `json:"loads"`
	// Options are the flags that changed the workload, in order.
	Options []Option `json:"options,omitempty"`
	// Length is the workload's length. Warmup is the part at its start that is sent
	// but not measured.
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

// Summary summarises the requests of one model, or of all.
//
// Offered = OK + the sum of Errors + NoAnswer + Unfinished, and InSLO <= OK
type Summary struct {
	Model   string `json:"model,omitempty"`
	Offered int    `json:"offered"`
	OK      int    `json:"ok"`
	InSLO   int    `json:"in_slo"`
	// NoAnswer counts requests without an answer within SLO and grace, Unfinished
	// those still open when the run ended.
	NoAnswer   int `json:"no_answer,omitempty"`
	Unfinished int `json:"unfinished,omitempty"`
	// Errors counts the refused requests by code, sorted by code.
	Errors []report.ErrorCount `json:"errors,omitempty"`
	// OfferedRate and Goodput (in SLO) are in requests per second.
	OfferedRate float64 `json:"offered_rps"`
	Goodput     float64 `json:"goodput_rps"`
	// Share is InSLO as a share of the requests that are not Unfinished; 0 if there
	// is none.
	Share float64 `json:"share_in_slo"`
	// Cold counts the served requests that waited for weights. MeanBatch is of the
	// served requests.
	Cold      int     `json:"cold"`
	MeanBatch float64 `json:"mean_batch"`
	// Latency is of the served requests, in time or not, from their due times.
	Latency Percentiles `json:"latency"`
}

// Refusal is the first message with a code.
type Refusal struct {
	Code    protocol.Code `json:"code"`
	Message string        `json:"message"`
}

// Point counts the requests that were due in one window of time; At is relative
// to the end of the warm-up.
type Point struct {
	At       time.Duration `json:"at_ns"`
	Window   time.Duration `json:"window_ns"`
	Offered  int           `json:"offered"`
	InSLO    int           `json:"in_slo"`
	Late     int           `json:"late"`
	Refused  int           `json:"refused"`
	NoAnswer int           `json:"no_answer"`
	// The latencies are of the served requests.
	P50 time.Duration `json:"p50_ns"`
	P99 time.Duration `json:"p99_ns"`
	Max time.Duration `json:"max_ns"`
}

// Report summarises a run that was measured for window; names are the models'.
func (t *Tally) Report(names []string, window time.Duration) *Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &Report{
		Window: window, Total: t.total.summary("", window), Models: []Summary{},
		Lateness: t.late.percentiles(), Refused: t.refused.percentiles(), Strays: t.strays, latency: t.total.latency,
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

// Curve returns the latency of served requests, from their due times, at the
// given percentages (ascending), without those for which there are too few
// samples.
func (r *Report) Curve(percents []float64) (percent []float64, latency []time.Duration) {
	return r.latency.curve(percents)
}

// WriteHistogram writes the latencies in HdrHistogram's percentile format
// (.hgrm), in milliseconds.
func (r *Report) WriteHistogram(w io.Writer) error {
	if err := r.latency.write(w); err != nil {
		return fmt.Errorf("write histogram: %w", err)
	}
	return nil
}

// Worst returns the n models with the smallest shares in SLO, the worst first.
func (r *Report) Worst(n int) []Summary {
	worst := slices.Clone(r.Models)
	slices.SortStableFunc(worst, func(a, b Summary) int { return cmp.Compare(a.Share, b.Share) })
	return worst[:min(n, len(worst))]
}
