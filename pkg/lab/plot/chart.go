package plot

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
	"unicode/utf8"
)

// Colours is the number of distinct colours; further series reuse them.
const Colours = 8

// Chart is a line chart, or a bar chart if Bars is set.
type Chart struct {
	Title string
	// X and Y are the axes' labels, with the unit.
	X, Y       string
	LogX, LogY bool
	// Zero starts the vertical axis at 0. Top is the least upper end of the vertical
	// axis.
	Zero bool
	Top  float64
	// Bars draws the series as adjacent bars at integer values of X. Stacked draws
	// them as stacks.
	Bars, Stacked bool
	// Ticks are names on the horizontal axis, in place of numbers.
	Ticks  []Tick
	Series []Series
}

// Tick is a name at a value of the axis.
type Tick struct {
	At   float64
	Name string
}

// Series is one line. NaN, infinities, values beyond 1e290, and on a logarithmic
// axis values that are not positive, interrupt it.
type Series struct {
	Name string
	// Colour is 0 to Colours-1, or Grey. Faint is the transparency, 0 to 1.
	Colour int
	Faint  float64
	// Dashed and Steps are line styles; Dots marks each point.
	Dashed, Steps, Dots bool
	X, Y                []float64
}

// Grey is the colour of references for comparison.
const Grey = -1

// class returns the CSS class of a colour.
func class(colour int) string {
	if colour < 0 {
		return "cg"
	}
	return fmt.Sprintf("c%d", colour%Colours)
}

// These are the sizes of a chart in units of its own; a page scales it.
const (
	width, height            = 560.0, 262.0
	left, right, top, bottom = 58.0, 14.0, 26.0, 42.0
)

// drawing is a chart being drawn.
type drawing struct {
	strings.Builder
	x, y axis
}

// SVG returns the chart without its legend; see Legend.
func (c Chart) SVG() template.HTML {
	var d drawing
	d.scale(c)
	d.open(c.Title, width, height)
	d.axes(c)
	base := map[float64]float64{} // the tops of the stacks so far, by X
	for i, s := range c.Series {
		switch {
		case c.Stacked:
			d.bars(s, 0, 1, base)
		case c.Bars:
			d.bars(s, i, len(c.Series), nil)
		default:
			d.line(s)
		}
	}
	d.WriteString("</svg>")
	return template.HTML(d.String())
}

// scale sets the axes so that they hold all values.
func (d *drawing) scale(c Chart) {
	d.x = newAxis(c.LogX, left, width-right)
	d.x.whole = c.Bars
	d.y = newAxis(c.LogY, height-bottom, top)
	sums := map[float64]float64{}
	for _, s := range c.Series {
		for i := range s.points() {
			if d.shows(s, i) {
				d.x.include(s.X[i])
				d.y.include(s.Y[i])
				sums[s.X[i]] += s.Y[i]
			}
		}
	}
	if c.Stacked {
		for _, sum := range sums { // map order does not matter for extremes
			d.y.include(sum)
		}
	}
	if c.Bars && d.x.any() {
		d.x.low, d.x.high = d.x.low-0.6, d.x.high+0.6
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
	for _, a := range []*axis{&d.x, &d.y} {
		if !a.any() {
			a.log, a.low, a.high = false, 0, 1
		}
		a.settle()
	}
	d.y.round()
}

// largest is the largest value that can be shown: larger ones would overflow
// floating point.
const largest = 1e290

func known(v float64) bool { return math.Abs(v) <= largest } // false for NaN

// points returns the number of points.
func (s Series) points() int { return min(len(s.X), len(s.Y)) }

func (d *drawing) shows(s Series, i int) bool { return d.x.shows(s.X[i]) && d.y.shows(s.Y[i]) }

// escaped escapes text for XML and replaces control characters, which XML does
// not allow.
func escaped(text string) string {
	return html.EscapeString(strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError || r == 0xFFFE || r == 0xFFFF {
			return utf8.RuneError
		}
		return r
	}, text))
}

func (d *drawing) open(title string, wide, tall float64) {
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" role="img" aria-label="%s">`, wide, tall, escaped(title))
}

func (d *drawing) text(x, y float64, anchor, class, text string) {
	fmt.Fprintf(d, `<text x="%.1f" y="%.1f" text-anchor="%s" class="%s">%s</text>`, x, y, anchor, class, escaped(text))
}

func (d *drawing) segment(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(d, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, class, x1, y1, x2, y2)
}

// axes draws the grid, the ticks and the labels.
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
	until := math.Inf(-1) // the right end of the last name
	for _, t := range ticks {
		if !d.x.shows(t.At) {
			continue
		}
		x := d.x.at(t.At)
		d.segment("axis", x, base, x, base+4)
		half := 3.2 * float64(utf8.RuneCountInString(t.Name))
		switch {
		case x-half <= until: // no room
		case x+half > width-2:
			d.text(width-2, base+16, "end", "tick", t.Name)
		default:
			d.text(x, base+16, "middle", "tick", t.Name)
			until = x + half + 4
		}
	}
	d.segment("axis", left, base, width-right, base)
	d.text((left+width-right)/2, height-8, "middle", "label", c.X)
	d.text(2, 13, "start", "label", c.Y) // horizontal, above its axis, so that it does not overlap numbers
}

func (d *drawing) line(s Series) {
	var path, dots strings.Builder
	run, last := 0, 0.0 // points since the last gap
	for i := range s.points() {
		if !d.shows(s, i) {
			run = 0
			continue
		}
		x, y := d.x.at(s.X[i]), d.y.at(s.Y[i])
		switch {
		case run == 0:
			fmt.Fprintf(&path, "M%.1f %.1f", x, y)
		case s.Steps:
			fmt.Fprintf(&path, "L%.1f %.1fL%.1f %.1f", x, last, x, y)
		default:
			fmt.Fprintf(&path, "L%.1f %.1f", x, y)
		}
		run, last = run+1, y
		if alone := run == 1 && (i+1 == s.points() || !d.shows(s, i+1)); s.Dots || alone {
			fmt.Fprintf(&dots, `<circle class="dot %s" cx="%.1f" cy="%.1f" r="3"><title>%s: %s</title></circle>`, class(s.Colour), x, y, escaped(s.Name), number(s.Y[i]))
		}
	}
	if path.Len() > 0 {
		fmt.Fprintf(d, `<path class="line %s" d="%s"%s><title>%s</title></path>%s`, s.class(), path.String(), faint(s.Faint), escaped(s.Name), dots.String())
	}
}

func (s Series) class() string {
	if s.Dashed {
		return class(s.Colour) + " dashed"
	}
	return class(s.Colour)
}

// faint returns the opacity attribute for a transparency.
func faint(part float64) string {
	if part <= 0 {
		return ""
	}
	return fmt.Sprintf(` opacity="%.2f"`, max(0, 1-part))
}

// widest is the maximum width of a bar.
const widest = 48.0

// bars draws the i-th of a number of series. base holds the tops of the stacks
// at each X and is updated; nil: all bars start at the axis.
func (d *drawing) bars(s Series, i, of int, base map[float64]float64) {
	unit := d.x.at(1) - d.x.at(0)
	wide := min(unit*0.8/float64(of), widest)
	for k := range s.points() {
		if !d.shows(s, k) {
			continue
		}
		x := d.x.at(s.X[k]) + wide*(float64(i)-float64(of)/2)
		y, zero := d.y.at(base[s.X[k]]+s.Y[k]), d.y.at(base[s.X[k]])
		if base != nil {
			base[s.X[k]] += s.Y[k]
		}
		fmt.Fprintf(d, `<rect class="bar %s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"%s><title>%s: %s</title></rect>`,
			class(s.Colour), x, min(y, zero), max(0.5, wide-0.6), max(y, zero)-min(y, zero), faint(s.Faint), escaped(s.Name), number(s.Y[k]))
	}
}
