package main

import (
	"fmt"
	"os"

	"clockwork/pkg/sim"
	"clockwork/pkg/sim/page"
)

// page shows the runs.
func (d simDocument) page(jobs []*simJob) page.Page {
	var runs []*sim.Report
	for _, j := range jobs {
		runs = append(runs, j.report)
	}
	table := page.Table{Columns: []string{""}, Rows: d.rows()}
	for _, r := range d.Runs {
		table.Columns = append(table.Columns, r.Policy)
	}
	p := page.Page{Title: d.title(), Notes: d.Notes}
	p.Sections = append([]page.Section{{Tables: []page.Table{table}}}, page.Figures(runs)...)
	return p
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
