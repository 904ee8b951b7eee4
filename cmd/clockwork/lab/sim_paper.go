package lab

import (
	"fmt"
	"io"
	"strings"
	"time"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/lab/page"
	"clockwork/pkg/lab/paper"
	"clockwork/pkg/watch/terminal"
)

// experiment returns the section of the paper that the flags select: its workload's
// name, without any flag that changes the workload or the stack.
func (s *Sim) experiment() (string, bool) {
	plain := s.Trace == "" && !s.Peak && s.Rate == nil && s.Copies == nil && s.Clients == nil && s.SLO == nil && len(s.Model) == 0 &&
		s.GPUs == nil && s.Workers == 1 && s.Pages == 1376 && !s.Resident && s.MaxBatch == nil && !s.Padded &&
		len(s.Network) == 0 && s.Ahead == nil && s.Buffer == nil && len(s.Without) == 0 && s.Record == "" && s.faultFlags == (faultFlags{})
	return s.Workload, plain && paper.Has(s.Workload)
}

// paperDocument is the result of an experiment.
type paperDocument struct {
	Experiment string        `json:"experiment"`
	Title      string        `json:"title"`
	Setup      string        `json:"setup"`
	Short      string        `json:"shortened,omitempty"`
	Seed       uint64        `json:"seed"`
	Tables     []paper.Table `json:"tables"`
	Runs       []paperRun    `json:"runs"`
}

// paperRun is one policy on one trial.
type paperRun struct {
	Trial string `json:"trial"`
	simRun
}

// rerun runs each trial on each policy.
func (s *Sim) rerun(con *cli.Console, name string) error {
	e, err := paper.New(name, paper.Options{Seed: s.Seed, Length: or0(s.Length), Policies: s.policies()})
	if err != nil {
		return cli.Usage(err)
	}
	if err := canWrite("html", s.HTML); err != nil {
		return err
	}
	if s.Length != nil {
		e.Short = fmt.Sprintf("%v a run, as --length says.", *s.Length)
	}
	var jobs []*simJob
	var keys []paper.Key
	for i, t := range e.Trials {
		for _, policy := range e.Policies {
			j := &simJob{label: fmt.Sprintf("%s, %s", t.Label, policy), config: t.Config, workload: t.Workload}
			j.config.Policy = policy
			if len(e.Trials) == 1 {
				j.config.Timeline = s.timeline()
			}
			jobs, keys = append(jobs, j), append(keys, paper.Key{Trial: i, Policy: policy})
		}
	}
	begin := time.Now()
	if err := runAll(con, jobs); err != nil {
		return err
	}
	took := time.Since(begin)
	results := paper.Results{}
	d := paperDocument{Experiment: name, Title: e.Title, Setup: e.Setup, Short: e.Short, Seed: s.Seed}
	requests := 0
	for i, j := range jobs {
		results[keys[i]] = j.report
		requests += j.report.Offered
		d.Runs = append(d.Runs, paperRun{e.Trials[keys[i].Trial].Label, simRun{j.report.Summary(0), j.took.Seconds(), j.speed()}})
	}
	d.Tables = e.Tables(results)
	if s.HTML != "" {
		if err := writePage(s.HTML, d.page(e, jobs)); err != nil {
			return err
		}
	}
	if con.JSON {
		return cli.PrintJSON(con.Out, d)
	}
	if err := d.print(con.Out, con.Display.Width()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(con.Out, "\n%s, %d requests in %s, %.0f a second\n", cli.Count(len(jobs), "run"), requests, terminal.Duration(took), float64(requests)/took.Seconds())
	return err
}

func (d paperDocument) print(w io.Writer, width int) error {
	fmt.Fprintln(w, d.Title)
	fmt.Fprintln(w, cli.Folded(d.Setup, width))
	if d.Short != "" {
		fmt.Fprintln(w, cli.Folded("Shortened: "+d.Short, width))
	}
	for _, t := range d.Tables {
		fmt.Fprintf(w, "\n%s\n", cli.Folded(t.Title, width))
		var columns []terminal.Column
		for i, title := range t.Columns {
			if title == "" {
				title = " " // a column's title must not be empty
			}
			column := terminal.Column{Title: title, Right: i > 0}
			if i > 1 && title != "paper" {
				column.Drop = i
			}
			columns = append(columns, column)
		}
		if err := terminal.WriteTable(w, width, columns, t.Rows); err != nil {
			return err
		}
		if len(t.Notes) > 0 {
			fmt.Fprintln(w, cli.Folded(strings.Join(t.Notes, " "), width))
		}
	}
	return nil
}

// page shows the tables with their figures, and for an experiment of only one trial all
// figures of its runs.
func (d paperDocument) page(e paper.Experiment, jobs []*simJob) page.Page {
	p := page.Page{Title: d.Title, Notes: []string{d.Setup}}
	if d.Short != "" {
		p.Notes = append(p.Notes, "Shortened: "+d.Short)
	}
	for _, t := range d.Tables {
		section := page.Section{Tables: []page.Table{{Title: t.Title, Columns: t.Columns, Rows: t.Rows, Note: strings.Join(t.Notes, " ")}}}
		if t.Figure != nil {
			section.Figures = append(section.Figures, page.Chart("", *t.Figure))
		}
		p.Sections = append(p.Sections, section)
	}
	if len(e.Trials) == 1 {
		runs := reports(jobs)
		p.Cards = page.Cards(runs)
		p.Sections = append(p.Sections, page.Figures(runs)...)
	}
	return p
}
