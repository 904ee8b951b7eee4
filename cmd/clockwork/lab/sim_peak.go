package lab

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/lab/sim"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/watch/terminal"
)

// peakShare of the requests must be in their SLO at the peak.
const peakShare = 0.99

// simPeak is the highest rate of a policy.
type simPeak struct {
	Policy  string        `json:"policy"`
	Rate    float64       `json:"offered_rps"`
	Goodput float64       `json:"goodput_rps"`
	Share   float64       `json:"share_in_slo"`
	P99     time.Duration `json:"latency_p99_ns"`
	Batch   float64       `json:"mean_batch"`
	GPU     float64       `json:"gpu_use"`
	// OfFaithful is its goodput as a fraction of the faithful policy's.
	OfFaithful float64 `json:"of_faithful"`
	Runs       int     `json:"runs"`
}

// peakDocument is the search for the peaks of a workload.
type peakDocument struct {
	Workload string        `json:"workload"`
	Models   int           `json:"models"`
	GPUs     int           `json:"gpus"`
	Length   time.Duration `json:"length_ns"`
	Share    float64       `json:"share_in_slo"`
	Notes    []string      `json:"notes,omitempty"`
	Peaks    []simPeak     `json:"peaks"`
}

// peaks searches the peak of each policy, and of faithful, the baseline.
func (s *Sim) peaks(con *cli.Console, set setting) error {
	// In a run this short, the first loads would dominate the result.
	set.config.Resident = true
	if s.Trace != "" {
		return cli.Usagef("--peak takes a named workload, whose rate it can change; a trace has its own")
	}
	for _, stream := range set.workload.Streams {
		if _, closed := stream.Process.(workload.Closed); closed {
			return cli.Usagef("--peak searches the rate of open loops; %s has closed ones, whose clients wait", s.Workload)
		}
	}
	if !workload.Takes(s.Workload, "rate") {
		return cli.Usagef("--peak searches the rate; %s has no rate that can be set", s.Workload)
	}
	d := peakDocument{
		Workload: set.workload.Name, Models: len(set.workload.Instances()), GPUs: set.config.Workers * set.config.GPUs,
		Length: set.workload.Length, Share: peakShare,
	}
	if set.workload.Name == "azure" && d.Length < aDay {
		d.Notes = []string{fmt.Sprintf("A rate is the mean of a whole day, of which these are the first %v; the goodput is of these.", d.Length)}
	}
	policies := s.policies("clockwork")
	if !slices.Contains(policies, "faithful") {
		policies = append(policies, "faithful")
	}
	for _, name := range policies {
		peak, err := s.peak(con, set, name)
		if err != nil {
			return err
		}
		d.Peaks = append(d.Peaks, peak)
	}
	base := d.Peaks[slices.Index(policies, "faithful")].Goodput
	for i := range d.Peaks {
		if base > 0 {
			d.Peaks[i].OfFaithful = d.Peaks[i].Goodput / base
		}
	}
	if con.JSON {
		return cli.PrintJSON(con.Out, d)
	}
	return d.print(con.Out, con.Display.Width())
}

// peak doubles the rate until too few requests are in time, then narrows the interval
// between the highest rate that passed and the lowest that failed to 1 %. It tries two
// rates at a time, for two processors.
func (s *Sim) peak(con *cli.Console, set setting, policy string) (simPeak, error) {
	best := simPeak{Policy: policy}
	low, high := 0.0, math.Inf(1)
	for best.Runs < maxPeakRuns && high > 1 && (math.IsInf(high, 1) || high-low > 0.01*high) {
		a, b := low+(high-low)/3, low+(high-low)*2/3
		if math.IsInf(high, 1) {
			a = max(2*low, 50*float64(set.config.GPUs*set.config.Workers))
			b = 2 * a
		}
		first, err := s.at(set, policy, a)
		if err != nil {
			return best, err
		}
		second, err := s.at(set, policy, b)
		if err != nil {
			return best, err
		}
		if err := runAll(con, []*simJob{first, second}); err != nil {
			return best, err
		}
		runs := best.Runs + 2
		switch {
		case !atPeak(first.report):
			high = a
		case !atPeak(second.report):
			low, high, best = a, b, newPeak(a, first.report)
		default:
			low, best = b, newPeak(b, second.report)
		}
		best.Runs = runs
	}
	return best, nil
}

// maxPeakRuns ends a search that does not converge.
const maxPeakRuns = 60

func atPeak(r *sim.Report) bool { return r.Offered > 0 && r.Share() >= peakShare }

func newPeak(rate float64, r *sim.Report) simPeak {
	sum := r.Summary(0)
	return simPeak{
		Policy: r.Policy, Rate: rate, Goodput: r.Goodput(), Share: r.Share(), P99: sum.Latency.P99, Batch: sum.MeanBatch, GPU: sum.GPU,
	}
}

// at returns a run at a rate.
func (s *Sim) at(set setting, policy string, rate float64) (*simJob, error) {
	o := set.options
	o.Rate = rate
	w, err := workload.Named(s.Workload, o)
	if err != nil {
		return nil, cli.Usage(err)
	}
	w.Length = set.workload.Length
	j := &simJob{label: fmt.Sprintf("%s at %.0f r/s", policy, rate), config: set.config, workload: w}
	j.config.Policy = policy
	return j, nil
}

func (d peakDocument) print(w io.Writer, width int) error {
	title := fmt.Sprintf("%s: %s on %s, %v; the highest rate with %.0f%% in SLO, to 1%%", d.Workload, cli.Count(d.Models, "model"), cli.Count(d.GPUs, "GPU"), d.Length, 100*d.Share)
	fmt.Fprintln(w, cli.Folded(title, width))
	for _, note := range d.Notes {
		fmt.Fprintln(w, cli.Folded(note, width))
	}
	fmt.Fprintln(w)
	columns := []terminal.Column{{Title: "policy"}, {Title: "rate r/s", Right: true}, {Title: "goodput r/s", Right: true}, {Title: "of faithful", Right: true},
		{Title: "in SLO", Right: true, Drop: 4}, {Title: "p99", Right: true, Drop: 2}, {Title: "batch", Right: true, Drop: 1}, {Title: "GPU use", Right: true, Drop: 3}, {Title: "runs", Right: true, Drop: 5}}
	var rows [][]string
	for _, p := range d.Peaks {
		if p.Rate == 0 {
			rows = append(rows, []string{p.Policy, "none"})
			continue
		}
		rows = append(rows, []string{p.Policy, strconv.Itoa(int(p.Rate)), decimal(p.Goodput), fmt.Sprintf("%.3f", p.OfFaithful),
			percent(p.Share), terminal.Duration(p.P99), fmt.Sprintf("%.2f", p.Batch), percent(p.GPU), strconv.Itoa(p.Runs)})
	}
	return terminal.WriteTable(w, width, columns, rows)
}
