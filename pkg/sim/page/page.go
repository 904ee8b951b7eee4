// Package page shows simulations as one HTML page that needs nothing else: the
// figures are SVG in it, without a script or a font from elsewhere. It follows
// the reader's choice of light or dark.
//
// The command line calls it after a run. It is pure: the same reports give the
// same page.
package page

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"clockwork/pkg/plot"
)

// Page is what a reader sees from top to bottom.
type Page struct {
	Title string
	// Notes are sentences below the title.
	Notes    []string
	Sections []Section
}

// Section is a part with a heading: its tables, then its figures.
type Section struct {
	Title, About string
	Tables       []Table
	Figures      []Figure
}

// Table has its first column to the left, numbers to the right.
type Table struct {
	Title   string
	Columns []string
	Rows    [][]string
	Notes   []string
}

// Figure is a drawing with what stands around it.
type Figure struct {
	Title, About string
	Legend       template.HTML
	SVG          template.HTML
	// Wide takes the whole breadth of the page.
	Wide bool
}

// chart makes a figure of a chart.
func chart(about string, c plot.Chart) Figure {
	return Figure{Title: c.Title, About: about, Legend: plot.Legend(c.Series), SVG: c.SVG()}
}

// Chart makes a figure of any chart.
func Chart(about string, c plot.Chart) Figure { return chart(about, c) }

//go:embed page.html
var text string

var layout = template.Must(template.New("page").Parse(text))

// Write writes the page.
func (p Page) Write(w io.Writer) error {
	data := struct {
		Page
		Style template.CSS
	}{p, plot.Style}
	if err := layout.Execute(w, data); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}
