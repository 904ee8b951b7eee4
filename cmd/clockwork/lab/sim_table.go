package lab

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/lab/report"
	"clockwork/pkg/lab/sim"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/terminal"
)

// simDocument is the results of several policies on one workload.
type simDocument struct {
	Workload string `json:"workload"`
	Models   int    `json:"models"`
	// Functions is how many functions of a trace of counts send requests in this run,
	// Asked to how many of the models.
	Functions int           `json:"functions,omitempty"`
	Asked     int           `json:"models_asked,omitempty"`
	GPUs      int           `json:"gpus"`
	Length    time.Duration `json:"length_ns"`
	Seed      uint64        `json:"seed"`
	Notes     []string      `json:"notes,omitempty"`
	Runs      []simRun      `json:"runs"`
}

// simRun is one policy's run. Wall is the real time that it took.
type simRun struct {
	sim.Summary
	Wall  float64 `json:"wall_s"`
	Speed float64 `json:"simulated_per_wall_s"`
}

func newSimDocument(set setting, jobs []*simJob) simDocument {
	d := simDocument{
		Workload: set.workload.Name, Models: len(set.workload.Instances()), GPUs: set.config.Workers * set.config.GPUs,
		Length: set.workload.Length, Seed: set.config.Seed, Notes: set.notes,
	}
	if set.options.Trace != nil {
		d.Functions, d.Asked = asked(set.workload)
	}
	// Open loops have the same arrivals in every run; closed loops have no bound.
	bound := 0
	if jobs[0].report.Offered <= boundedUpTo {
		bound, _ = sim.Bound(set.config, set.workload)
	}
	for _, j := range jobs {
		d.Runs = append(d.Runs, simRun{j.report.Summary(bound), j.took.Seconds(), j.speed()})
	}
	return d
}

// asked returns how many functions of a trace send requests in a workload, and to how
// many models.
func asked(w workload.Workload) (functions, models int) {
	used := map[int]bool{}
	for _, stream := range w.Streams {
		counts, ok := stream.Process.(workload.Counts)
		if ok && len(counts.Minutes) > 0 && time.Duration(counts.Minutes[0].Minute)*time.Minute < w.Length {
			functions++
			used[stream.Model] = true
		}
	}
	return functions, len(used)
}

func (d simDocument) title() string {
	length := ""
	if d.Length > 0 {
		length = ", " + d.Length.String()
	}
	models := cli.Count(d.Models, "model")
	if d.Functions > 0 {
		models = fmt.Sprintf("%s over %d of %s", cli.Count(d.Functions, "function"), d.Asked, models)
	}
	return fmt.Sprintf("%s: %s on %s%s, seed %d", d.Workload, models, cli.Count(d.GPUs, "GPU"), length, d.Seed)
}

// print prints a column for each policy.
func (d simDocument) print(w io.Writer, width int) error {
	fmt.Fprintln(w, cli.Folded(d.title(), width))
	for _, note := range d.Notes {
		fmt.Fprintln(w, cli.Folded(note, width))
	}
	fmt.Fprintln(w)
	columns := []terminal.Column{{Title: "policy"}}
	for i, r := range d.Runs {
		columns = append(columns, terminal.Column{Title: r.Policy, Right: true, Drop: i})
	}
	return terminal.WriteTable(w, width, columns, d.rows())
}

// rows returns the table's rows.
func (d simDocument) rows() [][]string {
	var rows [][]string
	add := func(title string, cell func(r simRun) string) {
		row := []string{title}
		for _, r := range d.Runs {
			row = append(row, cell(r))
		}
		rows = append(rows, row)
	}
	add("offered", func(r simRun) string { return strconv.Itoa(r.Offered) })
	add("offered r/s", func(r simRun) string { return decimal(r.OfferedRate) })
	add("goodput r/s", func(r simRun) string { return decimal(r.Goodput) })
	add("in SLO", func(r simRun) string {
		if r.Offered == 0 {
			return "-"
		}
		return percent(r.Share)
	})
	if classes := d.Runs[0].Classes; len(classes) > 1 && len(classes) <= maxClasses {
		for i, c := range classes {
			add("in SLO of "+terminal.Duration(c.SLO), func(r simRun) string { return percent(r.Classes[i].Share()) })
		}
	}
	if d.Runs[0].Bound > 0 {
		add("of upper bound", func(r simRun) string { return percent(r.OfBound) })
	}
	add(string(protocol.OK), func(r simRun) string { return strconv.Itoa(r.OK) })
	for _, code := range d.codes() {
		add(string(code), func(r simRun) string {
			for _, e := range r.Errors {
				if e.Code == code {
					return strconv.Itoa(e.Count)
				}
			}
			return "0"
		})
	}
	latency := func(title string, of func(r simRun) time.Duration) {
		add(title, func(r simRun) string {
			if r.OK == 0 {
				return "-"
			}
			return terminal.Duration(of(r))
		})
	}
	latency("p50 latency", func(r simRun) time.Duration { return r.Latency.P50 })
	latency("p90", func(r simRun) time.Duration { return r.Latency.P90 })
	latency("p99", func(r simRun) time.Duration { return r.Latency.P99 })
	latency("p99.9", func(r simRun) time.Duration { return r.Latency.P999 })
	latency("max", func(r simRun) time.Duration { return r.Latency.Max })
	if d.refuses() {
		add("refused after, p50", func(r simRun) string { return terminal.Duration(r.Refused.P50) })
		add("p99", func(r simRun) string { return terminal.Duration(r.Refused.P99) })
	}
	add("mean batch", func(r simRun) string { return fmt.Sprintf("%.2f", r.MeanBatch) })
	add("cold starts", func(r simRun) string { return strconv.Itoa(r.Cold) })
	add("GPU use", func(r simRun) string { return percent(r.GPU) })
	add("PCIe use", func(r simRun) string { return percent(r.PCIe) })
	add("accepted, then late", func(r simRun) string { return strconv.Itoa(r.Missed) })
	wrong := func(title string, of func(r simRun) report.Percentiles) {
		add(title+", p50", func(r simRun) string { return terminal.Duration(of(r).P50) })
		add("p99", func(r simRun) string { return terminal.Duration(of(r).P99) })
		add("max", func(r simRun) string { return terminal.Duration(of(r).Max) })
	}
	wrong("longer than predicted", func(r simRun) report.Percentiles { return r.Over })
	wrong("shorter than predicted", func(r simRun) report.Percentiles { return r.Under })
	rows = append(rows, d.faultRows()...)
	add("simulated r/s", func(r simRun) string { return strconv.Itoa(int(r.Speed)) })
	add("hash of events", func(r simRun) string { return r.Hash[:8] })
	return rows
}

// maxClasses is the most SLOs that the table shows each by itself.
const maxClasses = 4

// refuses reports whether any run has requests that were not OK.
func (d simDocument) refuses() bool { return len(d.codes()) > 0 }

// codes returns the codes that occurred in any run.
func (d simDocument) codes() []protocol.Code {
	var codes []protocol.Code
	for _, r := range d.Runs {
		for _, e := range r.Errors {
			if !slices.Contains(codes, e.Code) {
				codes = append(codes, e.Code)
			}
		}
	}
	slices.Sort(codes)
	return codes
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// percent keeps 99.99 and 100 apart: it is 100 % only if nothing is missing.
func percent(v float64) string {
	if v < 1 && v > 0.99995 {
		return "99.99%"
	}
	return strconv.FormatFloat(100*v, 'f', 2, 64) + "%"
}
