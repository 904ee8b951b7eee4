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

	"clockwork/pkg/lab/plot"
)

// Page is what a reader sees from top to bottom.
type Page struct {
	Title string
	// Notes are sentences below the title.
	Notes    []string
	Cards    []Card
	Sections []Section
}

// Card is what one looks at first: a value in large, below it a bar that is
// filled to Part, from 0 to 1 (less than 0: no bar), and some lines.
type Card struct {
	Title, Value, Unit string
	Colour             int
	Part               float64
	Lines              []string
}

// Mark is the style sheet's variable for its colour.
func (c Card) Mark() template.CSS { return template.CSS(plot.Variable(c.Colour)) }

// Percent is how far the bar is filled.
func (c Card) Percent() float64 { return 100 * min(c.Part, 1) }

// Section is a part with a heading: its tables and, beside them where there is
// room, its figures.
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
	Note    string
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
