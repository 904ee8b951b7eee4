package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"clockwork/pkg/lab/report"
)

// Summary is a Report for tables and programs. Offered = OK + the sum of Errors.
type Summary struct {
	Policy  string  `json:"policy"`
	Offered int     `json:"offered"`
	OK      int     `json:"ok"`
	Share   float64 `json:"share_in_slo"`
	// OfferedRate and Goodput are per second of the workload's length.
	OfferedRate float64 `json:"offered_rps"`
	Goodput     float64 `json:"goodput_rps"`
	// Bound is an upper bound of OK for any scheduler (see Bound); 0 if unknown.
	Bound   int                 `json:"bound,omitempty"`
	OfBound float64             `json:"share_of_bound,omitempty"`
	Errors  []report.ErrorCount `json:"errors,omitempty"`
	// Missed counts the requests that were sent to a GPU and not finished in time.
	Missed  int                `json:"missed"`
	Latency report.Percentiles `json:"latency"`
	// Refused is how long it took until the requests that were not OK had their answer.
	Refused   report.Percentiles `json:"refused_after"`
	MeanBatch float64            `json:"mean_batch"`
	Cold      int                `json:"cold"`
	// GPU and PCIe are the shares of the time that the GPUs spent executing and
	// transferring.
	GPU  float64 `json:"gpu_use"`
	PCIe float64 `json:"pcie_use"`
	// Over and Under are the prediction errors of executions that took longer or
	// shorter than predicted.
	Over  report.Percentiles `json:"prediction_over"`
	Under report.Percentiles `json:"prediction_under"`
	Hash  string             `json:"hash"`
	// Took is the virtual time of the run.
	Took time.Duration `json:"took_ns"`
	// Faults and Startup are set for runs that had them.
	Faults  *FaultCounts   `json:"faults,omitempty"`
	Startup *StartupReport `json:"startup,omitempty"`

	Batches  []Count             `json:"batches"`
	Failures []report.ErrorCount `json:"worker_refusals,omitempty"`
	Classes  []ClassSummary      `json:"by_slo"`
	GPUs     []UseSummary        `json:"gpus"`
	Window   time.Duration       `json:"window_ns"`
	Series   []PointSummary      `json:"series"`
}

// Count is the number of executions with this number of items.
type Count struct {
	Items int `json:"items"`
	Count int `json:"count"`
}

// ClassSummary summarises a Class.
type ClassSummary struct {
	SLO     time.Duration `json:"slo_ns"`
	Offered int           `json:"offered"`
	OK      int           `json:"ok"`
}

// Share returns the share of offered requests that were OK, 1 if none was offered.
func (c ClassSummary) Share() float64 { return share(c.OK, c.Offered) }

// UseSummary summarises a Use.
type UseSummary struct {
	Name    string  `json:"name"`
	GPU     float64 `json:"gpu_use"`
	PCIe    float64 `json:"pcie_use"`
	Infers  int     `json:"infers"`
	Loads   int     `json:"loads"`
	Evicted int     `json:"evictions"`
}

// PointSummary summarises a Point; At is the end of its window.
type PointSummary struct {
	At        time.Duration      `json:"at_ns"`
	Offered   int                `json:"offered"`
	OK        int                `json:"ok"`
	Refused   int                `json:"refused"`
	Missed    int                `json:"missed"`
	Cold      int                `json:"cold"`
	SLO       time.Duration      `json:"slo_ns"`
	Latency   report.Percentiles `json:"latency"`
	MeanBatch float64            `json:"mean_batch"`
	GPU       float64            `json:"gpu_use"`
	PCIe      float64            `json:"pcie_use"`
	Loads     int                `json:"loads"`
	Evictions int                `json:"evictions"`
	Over      time.Duration      `json:"prediction_over_ns"`
	Under     time.Duration      `json:"prediction_under_ns"`
}

// Summary summarises a run. bound is 0 if unknown.
func (r *Report) Summary(bound int) Summary {
	s := Summary{
		Policy: r.Policy, Offered: r.Offered, OK: r.OK(), Share: r.Share(), OfferedRate: r.rate(r.Offered), Goodput: r.Goodput(),
		Bound: bound, Errors: report.ByCode(r.Codes), Missed: r.Missed, Latency: percentiles(r.Latency), Refused: percentiles(r.Refused),
		MeanBatch: r.MeanBatch(), Cold: r.Cold, Over: percentiles(r.Over), Under: percentiles(r.Under),
		Hash: fmt.Sprintf("%016x", r.Hash), Took: r.Took, Failures: report.ByCode(r.Failures), Window: r.Window,
	}
	if r.faulty {
		s.Faults = &r.Faults
	}
	s.Startup = r.Startup
	if bound > 0 {
		s.OfBound = float64(s.OK) / float64(bound)
	}
	for items, n := range r.Batches {
		s.Batches = append(s.Batches, Count{items, n})
	}
	slices.SortFunc(s.Batches, func(a, b Count) int { return a.Items - b.Items })
	for _, c := range r.Classes {
		s.Classes = append(s.Classes, ClassSummary(c))
	}
	for _, u := range r.GPUs {
		use := UseSummary{u.Name, part(u.Exec, r.Took), part(u.Transfer, r.Took), u.Infers, u.Loads, u.Evicted}
		s.GPU += use.GPU / float64(len(r.GPUs))
		s.PCIe += use.PCIe / float64(len(r.GPUs))
		s.GPUs = append(s.GPUs, use)
	}
	for i, p := range r.Series {
		s.Series = append(s.Series, r.summarize(i, p))
	}
	return s
}

func (r *Report) summarize(i int, p Point) PointSummary {
	from := time.Duration(i) * r.Window
	// The last window may be shorter.
	took := max(1, min(r.Window, r.Took-from)) * time.Duration(max(1, len(r.GPUs)))
	s := PointSummary{
		At: from + r.Window, Offered: p.Offered, OK: p.OK, Refused: p.Refused, Missed: p.Missed, Cold: p.Cold, SLO: p.SLO,
		GPU: part(p.Exec, took), PCIe: part(p.Transfer, took), Loads: p.Loads, Evictions: p.Evictions, Over: p.Over, Under: p.Under,
		Latency: report.Percentiles{
			P50: p.quantile(0.5), P90: p.quantile(0.9), P99: p.quantile(0.99), P999: p.quantile(0.999), Max: p.Worst,
		},
	}
	if p.Batches > 0 {
		s.MeanBatch = float64(p.Items) / float64(p.Batches)
	}
	return s
}

func (t *Tally) quantile(q float64) time.Duration { return min(t.Latency.Quantile(q), t.Worst) }

func part(d, of time.Duration) float64 {
	if of <= 0 {
		return 0
	}
	return float64(d) / float64(of)
}

func percentiles(h *hdrhistogram.Histogram) report.Percentiles {
	if h.TotalCount() == 0 {
		return report.Percentiles{}
	}
	at := func(q float64) time.Duration { return time.Duration(h.ValueAtQuantile(q)) * time.Microsecond }
	return report.Percentiles{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: time.Duration(h.Max()) * time.Microsecond}
}
