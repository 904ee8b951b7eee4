package plot

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
)

// Colours is how many series have a colour of their own; more begin anew.
const Colours = 8

// Chart is a diagram of lines, or of bars where Bars is set.
type Chart struct {
	Title string
	// X and Y say what the axes are, with the unit.
	X, Y       string
	LogX, LogY bool
	// Zero begins the vertical axis at 0, Top ends it there at least.
	Zero bool
	Top  float64
	// Bars draws the series as bars beside each other at whole values of X.
	Bars bool
	// Ticks names places on the horizontal axis instead of numbers.
	Ticks  []Tick
	Series []Series
}

// Tick is a named place.
type Tick struct {
	At   float64
	Name string
}

// Series is a line. A NaN interrupts it.
type Series struct {
	Name string
	// Colour is 0 to Colours-1, or Grey.
	Colour int
	// Dashed and Steps say how the line goes, Dots marks each point.
	Dashed, Steps, Dots bool
	X, Y                []float64
}

// Grey is the colour of what stands for comparison.
const Grey = -1

// class is the style of a colour.
func class(colour int) string {
	if colour < 0 {
		return "cg"
	}
	return fmt.Sprintf("c%d", colour%Colours)
}

// The size of a chart in units of its own; a page scales it.
const (
	width, height            = 560.0, 250.0
	left, right, top, bottom = 58.0, 14.0, 12.0, 42.0
)

// drawing is a chart on its way to text.
type drawing struct {
	strings.Builder
	x, y axis
}

// SVG draws it. The legend is the page's business: see Legend.
func (c Chart) SVG() template.HTML {
	var d drawing
	d.x = newAxis(c.LogX, left, width-right)
	d.y = newAxis(c.LogY, height-bottom, top)
	for _, s := range c.Series {
		for i := range s.X {
			if known(s.Y[i]) && (!c.LogY || s.Y[i] > 0) && (!c.LogX || s.X[i] > 0) {
				d.x.include(s.X[i])
				d.y.include(s.Y[i])
			}
		}
	}
	if c.Bars {
		d.x.include(d.x.low - 0.6)
		d.x.include(d.x.high + 0.6)
	}
	for _, t := range c.Ticks {
		d.x.include(t.At)
	}
	if c.Zero || c.Bars {
		d.y.include(0)
	}
	if c.Top > 0 {
		d.y.include(c.Top)
	}
	if !d.y.any() {
		d.y.include(0)
		d.y.include(1)
		d.x.include(0)
		d.x.include(1)
	}
	d.y.round()
	d.open(c.Title, height)
	d.axes(c)
	for i, s := range c.Series {
		if c.Bars {
			d.bars(s, i, len(c.Series))
		} else {
			d.line(s, c.LogX, c.LogY)
		}
	}
	d.WriteString("</svg>")
	return template.HTML(d.String())
}

func known(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func (d *drawing) open(title string, tall float64) {
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" role="img" aria-label="%s">`, width, tall, html.EscapeString(title))
}

func (d *drawing) text(x, y float64, anchor, class, text string) {
	fmt.Fprintf(d, `<text x="%.1f" y="%.1f" text-anchor="%s" class="%s">%s</text>`, x, y, anchor, class, html.EscapeString(text))
}

func (d *drawing) segment(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(d, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, class, x1, y1, x2, y2)
}

// axes draws the grid, the numbers and what the axes are.
func (d *drawing) axes(c Chart) {
	for _, v := range d.y.ticks(5) {
		y := d.y.at(v)
		d.segment("grid", left, y, width-right, y)
		d.text(left-6, y+3.5, "end", "tick", number(v))
	}
	ticks := c.Ticks
	if ticks == nil {
		for _, v := range d.x.ticks(7) {
			ticks = append(ticks, Tick{v, number(v)})
		}
	}
	base := height - bottom
	until := math.Inf(-1) // where the last name ended
	for _, t := range ticks {
		x := d.x.at(t.At)
		d.segment("axis", x, base, x, base+4)
		if half := 3.2 * float64(len(t.Name)); x-half > until {
			d.text(x, base+16, "middle", "tick", t.Name)
			until = x + half + 4
		}
	}
	d.segment("axis", left, base, width-right, base)
	d.text((left+width-right)/2, height-8, "middle", "label", c.X)
	fmt.Fprintf(d, `<text transform="translate(13 %.1f) rotate(-90)" text-anchor="middle" class="label">%s</text>`, (top+base)/2, html.EscapeString(c.Y))
}

func (d *drawing) line(s Series, logX, logY bool) {
	var path strings.Builder
	pen, last := "M", 0.0
	dots := ""
	for i := range s.X {
		if !known(s.Y[i]) || logY && s.Y[i] <= 0 || logX && s.X[i] <= 0 {
			pen = "M"
			continue
		}
		x, y := d.x.at(s.X[i]), d.y.at(s.Y[i])
		if s.Steps && pen == "L" {
			fmt.Fprintf(&path, "L%.1f %.1f", x, last)
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", pen, x, y)
		pen, last = "L", y
		if s.Dots {
			dots += fmt.Sprintf(`<circle class="dot %s" cx="%.1f" cy="%.1f" r="3"><title>%s: %s</title></circle>`, class(s.Colour), x, y, html.EscapeString(s.Name), number(s.Y[i]))
		}
	}
	dashed := ""
	if s.Dashed {
		dashed = " dashed"
	}
	fmt.Fprintf(d, `<path class="line %s%s" d="%s"><title>%s</title></path>%s`, class(s.Colour), dashed, path.String(), html.EscapeString(s.Name), dots)
}

func (d *drawing) bars(s Series, i, of int) {
	unit := d.x.at(1) - d.x.at(0)
	wide := unit * 0.8 / float64(of)
	for k := range s.X {
		if !known(s.Y[k]) {
			continue
		}
		x := d.x.at(s.X[k]) - unit*0.4 + wide*float64(i)
		y := d.y.at(s.Y[k])
		fmt.Fprintf(d, `<rect class="bar %s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s: %s</title></rect>`,
			class(s.Colour), x, y, max(0.5, wide-0.6), max(0, height-bottom-y), html.EscapeString(s.Name), number(s.Y[k]))
	}
}
