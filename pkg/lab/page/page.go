// Package page shows simulations as one self-contained HTML page: its charts are
// inline SVG, without external scripts or fonts. It follows the reader's choice
// of light or dark.
//
// The command line calls it after a run. It is pure: the same reports give the
// same page.
package page

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"clockwork/pkg/lab/plot"
)

// Page is the content of a page, from top to bottom.
type Page struct {
	Title string
	// Notes are sentences below the title.
	Notes    []string
	Cards    []Card
	Sections []Section
}

// Card shows one value in large, below it a bar filled to Part, from 0 to 1
// (less than 0: no bar), and some lines.
type Card struct {
	Title, Value, Unit string
	Colour             int
	Part               float64
	Lines              []string
}

// Mark returns the CSS variable of the card's colour.
func (c Card) Mark() template.CSS { return template.CSS(plot.Variable(c.Colour)) }

// Percent returns how far the bar is filled.
func (c Card) Percent() float64 { return 100 * min(c.Part, 1) }

// Section is a part of the page with a heading: its tables and, next to them if
// there is room, its figures.
type Section struct {
	Title, About string
	Tables       []Table
	Figures      []Figure
}

// Table is a table whose first column is left-aligned, the others right-aligned.
type Table struct {
	Title   string
	Columns []string
	Rows    [][]string
	Note    string
}

// Figure is a chart with title and legend.
type Figure struct {
	Title, About string
	Legend       template.HTML
	SVG          template.HTML
	// Wide makes the figure as wide as the page.
	Wide bool
}

// chart returns a chart as a figure.
func chart(about string, c plot.Chart) Figure {
	return Figure{Title: c.Title, About: about, Legend: plot.Legend(c.Series), SVG: c.SVG()}
}

// Chart returns a chart as a figure.
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
