package main

import (
	"fmt"
	"os"

	"clockwork/pkg/sim"
	"clockwork/pkg/sim/page"
)

func reports(jobs []*simJob) []*sim.Report {
	var runs []*sim.Report
	for _, j := range jobs {
		runs = append(runs, j.report)
	}
	return runs
}

// page shows the runs.
func (d simDocument) page(jobs []*simJob) page.Page {
	runs := reports(jobs)
	table := page.Table{Columns: []string{""}, Rows: d.rows()}
	for _, r := range d.Runs {
		table.Columns = append(table.Columns, r.Policy)
	}
	p := page.Page{Title: d.title(), Notes: d.Notes, Cards: page.Cards(runs)}
	p.Sections = append(page.Figures(runs), page.Section{Title: "In numbers", Tables: []page.Table{table}})
	return p
}

// canWrite finds out before a long run whether there can be a page at its end.
func canWrite(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return usageError{"--html: " + err.Error()}
	}
	return f.Close()
}

func writePage(path string, p page.Page) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	if err := p.Write(f); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}
