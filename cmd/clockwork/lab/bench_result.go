package lab

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/lab/bench"
	"clockwork/pkg/watch/terminal"
)

// benchResult is a run, and the earlier run to compare it with, if any.
type benchResult struct {
	*bench.Report
	notes  []string
	before *bench.Report
}

// before returns the earlier run of --compare. A different workload is refused before
// this run starts.
func (k *Bench) before() (*bench.Report, error) {
	if k.Compare == "" {
		return nil, nil
	}
	body, err := os.ReadFile(k.Compare)
	if err != nil {
		return nil, cli.Usage(err)
	}
	var r bench.Report
	if err := json.Unmarshal(body, &r); err != nil || r.Setting.Workload == "" {
		return nil, cli.Usagef("--compare %s is not what bench --json prints", k.Compare)
	}
	m, err := k.make(max(1, or0(k.GPUs)))
	if err != nil {
		return nil, err
	}
	if differences := bench.Differences(r.Setting, k.setting(m)); len(differences) > 0 && !k.Unlike {
		return nil, cli.Usagef("--compare %s is another workload; --unlike compares them all the same:\n  %s", k.Compare, strings.Join(differences, "\n  "))
	}
	return &r, nil
}

// tell writes the files and prints the result; its error, and so the exit code, says
// whether the result is good enough.
func (k *Bench) tell(con *cli.Console, r benchResult) error {
	if err := k.writeFiles(r); err != nil {
		return err
	}
	if con.JSON {
		if err := cli.PrintJSON(con.Out, r.document()); err != nil {
			return err
		}
	} else if err := r.print(con.Out, con.Display.Width()); err != nil {
		return err
	}
	switch {
	case r.Interrupted:
		return cli.ErrShown
	case 100*r.Total.Share < k.RequireSLO && !con.JSON: // in JSON the share shows it
		fmt.Fprintf(con.Err, "clockwork: %s of the requests were in their SLO; --require-slo asks for %v%%\n", percent(r.Total.Share), k.RequireSLO)
		return cli.ErrShown
	case 100*r.Total.Share < k.RequireSLO:
		return cli.ErrShown
	}
	return nil
}

func (k *Bench) writeFiles(r benchResult) error {
	if k.HDR != "" {
		var body bytes.Buffer
		if err := r.WriteHistogram(&body); err != nil {
			return err
		}
		if err := put(k.HDR, body.Bytes()); err != nil {
			return fmt.Errorf("write histogram: %w", err)
		}
	}
	if k.Report != "" {
		return writePage(k.Report, r.page())
	}
	return nil
}

// benchDocument is the output of --json: the report, and the comparison with an earlier
// one.
type benchDocument struct {
	*bench.Report
	Notes    []string        `json:"notes,omitempty"`
	Compared []benchCompared `json:"compared,omitempty"`
}

// benchCompared is a figure of two runs; the ratio is left out if the earlier value was
// 0.
type benchCompared struct {
	Name  string   `json:"name"`
	Unit  string   `json:"unit,omitempty"`
	Then  float64  `json:"then"`
	Now   float64  `json:"now"`
	Ratio *float64 `json:"ratio,omitempty"`
}

func (r benchResult) document() benchDocument {
	d := benchDocument{Report: r.Report, Notes: r.notes}
	if r.before == nil {
		return d
	}
	for _, f := range bench.Compare(r.before, r.Report) {
		c := benchCompared{Name: f.Name, Unit: f.Unit, Then: f.Then, Now: f.Now}
		if ratio, ok := f.Ratio(); ok {
			c.Ratio = &ratio
		}
		d.Compared = append(d.Compared, c)
	}
	return d
}

// title describes the run.
func (r benchResult) title() string {
	s := r.Setting
	text := fmt.Sprintf("%s: %s, seed %d, %s", s.Workload, cli.Count(len(r.Models), "model"), s.Seed, r.Window.Round(time.Millisecond))
	if s.Warmup > 0 {
		text += fmt.Sprintf(" after %v of warm-up", s.Warmup)
	}
	return text + fmt.Sprintf(", %s, %s inputs", cli.Count(s.Connections, "connection"), s.Payload)
}

// print prints the models, or the worst of many, the total, and the refusals.
func (r benchResult) print(w io.Writer, width int) error {
	fmt.Fprintln(w, cli.Folded(r.title(), width))
	for _, note := range r.notes {
		fmt.Fprintln(w, cli.Folded(note, width))
	}
	if r.Interrupted {
		fmt.Fprintln(w, cli.Folded(fmt.Sprintf("Interrupted after %v of %v: this is what was measured until then.", (r.Window+r.Setting.Warmup).Round(time.Millisecond), r.Setting.Length), width))
	}
	fmt.Fprintln(w)
	if err := r.printModels(w, width); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, line := range r.lines() {
		fmt.Fprintln(w, cli.Hanging("", line, cmp.Or(width, 80), 2))
	}
	if r.before == nil {
		return nil
	}
	return r.printComparison(w, width)
}

// shownModels is how many models have a row; if there are more, the worst ones.
const shownModels = 10

var benchColumns = []terminal.Column{
	{Title: "model"}, {Title: "offered/s", Right: true}, {Title: "goodput/s", Right: true}, {Title: "in SLO", Right: true},
	{Title: "p50 ms", Right: true, Drop: 2}, {Title: "p99 ms", Right: true}, {Title: "max ms", Right: true, Drop: 3},
	{Title: "cold", Right: true, Drop: 1}, {Title: "batch", Right: true, Drop: 4},
}

func (r benchResult) printModels(w io.Writer, width int) error {
	shown := r.Models
	if len(shown) > shownModels {
		shown = r.Worst(shownModels)
	}
	var rows [][]string
	for _, m := range shown {
		rows = append(rows, benchRow(m.Model, m))
	}
	if len(r.Models) != 1 {
		rows = append(rows, benchRow("total", r.Total))
	}
	if err := terminal.WriteTable(w, width, benchColumns, rows); err != nil {
		return err
	}
	if len(r.Models) > shownModels {
		fmt.Fprintf(w, "These are the %d of %d models with the smallest share in SLO.\n", shownModels, len(r.Models))
	}
	return nil
}

func benchRow(name string, s bench.Summary) []string {
	share := "-"
	if s.Offered > s.Unfinished {
		share = percent(s.Share)
	}
	row := []string{name, decimal(s.OfferedRate), decimal(s.Goodput), share}
	for _, d := range []time.Duration{s.Latency.P50, s.Latency.P99, s.Latency.Max} {
		row = append(row, milliseconds(d, s.Latency.Samples))
	}
	return append(row, strconv.Itoa(s.Cold), strconv.FormatFloat(s.MeanBatch, 'f', 1, 64))
}

func milliseconds(d time.Duration, samples int64) string {
	if samples == 0 {
		return "-"
	}
	return strconv.FormatFloat(float64(d)/1e6, 'f', 2, 64)
}

// lines returns the results that are not in the table.
func (r benchResult) lines() []string {
	t := r.Total
	lines := []string{
		fmt.Sprintf("%s: %d OK, of which %d in SLO", cli.Count(t.Offered, "request"), t.OK, t.InSLO),
	}
	if t.OK > 0 {
		lines = append(lines, "latency of "+percentilesText(t.Latency, "answer"))
	}
	if t.Offered > 0 {
		lines = append(lines, "sent after they were due, "+percentilesText(r.Lateness, "request"))
	}
	if p99 := r.Lateness.P99; p99 > time.Millisecond {
		lines = append(lines, fmt.Sprintf("This machine sent 1 of 100 requests more than %s after they were due, and latencies count from when they were: they are of the machine too.", terminal.Duration(p99)))
	}
	for _, e := range t.Errors {
		line := fmt.Sprintf("%d x %s: %s", e.Count, e.Code, e.Code.Row().Sentence)
		for _, first := range r.Refusals {
			if first.Code == e.Code && first.Message != e.Code.Row().Sentence {
				line += " The first: " + first.Message
			}
		}
		lines = append(lines, line)
	}
	if t.NoAnswer > 0 {
		lines = append(lines, fmt.Sprintf("%d x no answer within the SLO and %v; %d of these answers came later", t.NoAnswer, benchGrace, r.Strays))
	}
	if t.Unfinished > 0 {
		lines = append(lines, fmt.Sprintf("%d were open when the run ended", t.Unfinished))
	}
	return lines
}

// percentilesText returns all percentiles in a line.
func percentilesText(p bench.Percentiles, of string) string {
	parts := []string{cli.Count(int(p.Samples), of) + ":"}
	for _, at := range []struct {
		name string
		d    time.Duration
	}{{"p50", p.P50}, {"p90", p.P90}, {"p99", p.P99}, {"p99.9", p.P999}, {"p99.99", p.P9999}, {"max", p.Max}} {
		if at.d > 0 {
			parts = append(parts, at.name+cli.NoBreak+strings.ReplaceAll(terminal.Duration(at.d), " ", cli.NoBreak)+",")
		}
	}
	return strings.TrimSuffix(strings.Join(parts, " "), ",")
}

var comparedColumns = []terminal.Column{{Title: "compared"}, {Title: "then", Right: true}, {Title: "now", Right: true}, {Title: "ratio", Right: true}}

func (r benchResult) printComparison(w io.Writer, width int) error {
	fmt.Fprintln(w)
	if differences := bench.Differences(r.before.Setting, r.Setting); len(differences) > 0 {
		fmt.Fprintf(w, "These are not the same workload:\n  %s\n", strings.Join(differences, "\n  "))
	}
	if r.before.Interrupted || r.Interrupted {
		fmt.Fprintln(w, "One of the two was interrupted.")
	}
	return terminal.WriteTable(w, width, comparedColumns, r.comparison())
}

// comparison returns a row for each figure.
func (r benchResult) comparison() (rows [][]string) {
	for _, f := range bench.Compare(r.before, r.Report) {
		cell := "-"
		if ratio, ok := f.Ratio(); ok {
			cell = strconv.FormatFloat(ratio, 'f', 3, 64)
		}
		rows = append(rows, []string{f.Name, quantity(f.Then, f.Unit), quantity(f.Now, f.Unit), cell})
	}
	return rows
}

func quantity(v float64, unit string) string {
	decimals := 2
	if unit == "" && v == math.Trunc(v) {
		decimals = 0
	}
	text := strconv.FormatFloat(v, 'f', decimals, 64)
	if unit != "" {
		text += " " + unit
	}
	return text
}
