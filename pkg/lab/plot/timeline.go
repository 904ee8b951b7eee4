package plot

import (
	"fmt"
	"html/template"
)

// Timeline shows spans of time in lanes.
type Timeline struct {
	Title, X string
	From, To float64
	Lanes    []Lane
}

// Lane is a row of spans.
type Lane struct {
	Name  string
	Spans []Span
}

// Span is a block from Begin to End. Text is shown inside if it fits, About on
// hovering. Faint is the transparency, 0 to 1.
type Span struct {
	Begin, End  float64
	Text, About string
	Colour      int
	Faint       float64
}

// These are the sizes of a timeline, which is twice as wide as a chart.
const (
	laneWidth  = 1180.0
	laneHeight = 20.0
	laneTop    = 6.0
	laneLeft   = 92.0
)

// SVG returns the timeline; its height follows from the number of lanes.
func (t Timeline) SVG() template.HTML {
	var d drawing
	tall := laneTop + laneHeight*float64(len(t.Lanes)) + bottom
	d.x = newAxis(false, laneLeft, laneWidth-right)
	d.x.include(t.From)
	d.x.include(t.To)
	if !d.x.any() {
		d.x.include(0)
	}
	d.x.settle()
	d.open(t.Title, laneWidth, tall)
	base := tall - bottom
	for _, v := range d.x.ticks(12) {
		x := d.x.at(v)
		d.segment("grid", x, laneTop, x, base)
		d.text(x, base+16, "middle", "tick", number(v))
	}
	for i, lane := range t.Lanes {
		d.lane(lane, laneTop+laneHeight*float64(i))
	}
	d.segment("axis", laneLeft, base, laneWidth-right, base)
	d.text((laneLeft+laneWidth-right)/2, tall-8, "middle", "label", t.X)
	d.WriteString("</svg>")
	return template.HTML(d.String())
}

func (d *drawing) lane(lane Lane, y float64) {
	d.text(laneLeft-6, y+laneHeight/2+3.5, "end", "tick", lane.Name)
	for _, s := range lane.Spans {
		if !known(s.Begin) || !known(s.End) || s.End < d.x.low || s.Begin > d.x.high {
			continue
		}
		begin, end := max(d.x.at(s.Begin), laneLeft), min(d.x.at(s.End), laneWidth-right)
		fmt.Fprintf(d, `<rect class="bar %s" x="%.2f" y="%.1f" width="%.2f" height="%.1f"%s><title>%s</title></rect>`,
			class(s.Colour), begin, y+2, max(0.3, end-begin-0.3), laneHeight-4, faint(s.Faint), escaped(s.About))
		if end-begin > 6.5*float64(len(s.Text)) && s.Text != "" {
			d.text((begin+end)/2, y+laneHeight/2+3.5, "middle", "inside", s.Text)
		}
	}
}
