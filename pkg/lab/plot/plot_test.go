package plot

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// element is one of a drawing.
type element struct {
	name string
	attr map[string]string
	text string
}

// elements reads a drawing as strictly as XML demands, in the order in which
// elements begin.
func elements(t *testing.T, drawing string) []element {
	t.Helper()
	var all []element
	decoder := xml.NewDecoder(strings.NewReader(drawing))
	var open []int
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("not well-formed: %v\n%s", err, drawing)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := element{name: token.Name.Local, attr: map[string]string{}}
			for _, a := range token.Attr {
				e.attr[a.Name.Local] = a.Value
			}
			open, all = append(open, len(all)), append(all, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				all[open[len(open)-1]].text += string(token)
			}
		}
	}
}

// named are the elements of a name and a class, which may be empty.
func named(all []element, name, class string) []element {
	var some []element
	for _, e := range all {
		if e.name == name && strings.Contains(" "+e.attr["class"]+" ", " "+class+" ") || e.name == name && class == "" {
			some = append(some, e)
		}
	}
	return some
}

var figures = regexp.MustCompile(`-?[0-9.]+(e[-+]?[0-9]+)?|NaN|Inf`)

// inside checks that every coordinate of lines, dots and bars is a number
// within the drawing.
func inside(t *testing.T, all []element) {
	t.Helper()
	for _, e := range all {
		for _, name := range []string{"d", "x", "y", "cx", "cy", "x1", "x2", "y1", "y2", "width", "height"} {
			for _, text := range figures.FindAllString(e.attr[name], -1) {
				if v, err := strconv.ParseFloat(text, 64); err != nil || !(v >= -1 && v <= laneWidth) {
					t.Errorf("<%s %s=%q>: %s is not inside", e.name, name, e.attr[name], text)
				}
			}
		}
	}
}

func line(x, y []float64) Chart {
	return Chart{Title: "t", X: "x", Y: "y", Series: []Series{{Name: "s", X: x, Y: y}}}
}

var nan, inf = math.NaN(), math.Inf(1)

func TestAnyValuesAreDrawnInside(t *testing.T) {
	for name, c := range map[string]Chart{
		"no series":           {Title: "t", X: "x", Y: "y"},
		"an empty series":     line(nil, nil),
		"a single point":      line([]float64{3}, []float64{7}),
		"one at zero":         line([]float64{0}, []float64{0}),
		"nothing but gaps":    line([]float64{1, 2}, []float64{nan, inf}),
		"places that are not": line([]float64{nan, inf, 3}, []float64{1, 2, 3}),
		"more x than y":       line([]float64{1, 2, 3}, []float64{1}),
		"huge":                line([]float64{1, 2, 3}, []float64{-1e289, 1e289, math.MaxFloat64}),
		"tiny":                line([]float64{1, 2, 3}, []float64{0, 5e-324, 1e-300}),
		"all alike":           line([]float64{1, 2, 3}, []float64{5, 5, 5}),
		"nearly alike":        line([]float64{1, 1 + 1e-15, 1 + 2e-15}, []float64{1e18, 1e18 + 128, 1e18 + 256}),
		"far from zero":       line([]float64{1e15, 1e15 + 1}, []float64{-1e15, -1e15 + 1}),
		"logarithmic":         {LogX: true, LogY: true, Series: []Series{{X: []float64{-1, 0, 5e-324, 1e-280, 1, 1e280}, Y: []float64{1, 1, 1, 0, 1e-280, 1e280}}}},
		"logarithmic, alone":  {LogX: true, LogY: true, Series: []Series{{X: []float64{10}, Y: []float64{100}}}},
		"negative bars":       {Bars: true, Series: []Series{{X: []float64{1, 2}, Y: []float64{-3, 4}}}},
		"no bars":             {Bars: true, Series: []Series{{}}},
		"a bar of nothing":    {Bars: true, Series: []Series{{X: []float64{1}, Y: []float64{nan}}}},
		"ticks without lines": {Ticks: []Tick{{At: 1, Name: "one"}, {At: nan, Name: "none"}}},
		"steps with gaps":     {Series: []Series{{Steps: true, Dots: true, X: []float64{1, 2, 3}, Y: []float64{1, nan, 2}}}},
		"a top that is below": {Top: 1, Zero: true, Series: []Series{{X: []float64{1, 2}, Y: []float64{2, 3}}}},
	} {
		t.Run(name, func(t *testing.T) {
			all := elements(t, string(c.SVG()))
			inside(t, all)
			if len(named(all, "text", "label")) != 2 {
				t.Error("an axis does not say what it is")
			}
			for _, e := range named(all, "text", "tick") {
				if strings.Contains(e.text, "NaN") || strings.Contains(e.text, "Inf") || len(e.text) > 12 {
					t.Errorf("a tick says %q", e.text)
				}
			}
		})
	}
}

func TestALineIsInterruptedWhereNothingIsKnown(t *testing.T) {
	all := elements(t, string(line([]float64{1, 2, 3, 4, 5, 6}, []float64{1, 2, nan, 4, 5, 6}).SVG()))
	if d := named(all, "path", "line")[0].attr["d"]; strings.Count(d, "M") != 2 || strings.Count(d, "L") != 3 {
		t.Errorf("the line goes %s", d)
	}
}

// A path of one point would draw nothing.
func TestAPointAloneIsADot(t *testing.T) {
	all := elements(t, string(line([]float64{1, 2, 3, 4, 5}, []float64{1, nan, 3, 4, nan}).SVG()))
	if dots := named(all, "circle", "dot"); len(dots) != 1 {
		t.Errorf("%d dots, expected one for the first point alone", len(dots))
	}
}

func TestHigherValuesAreHigherUpAndLaterOnesFurtherRight(t *testing.T) {
	all := elements(t, string(Chart{Series: []Series{{Dots: true, X: []float64{1, 2, 3}, Y: []float64{10, 20, 15}}}}.SVG()))
	at := func(i int, name string) float64 {
		v, err := strconv.ParseFloat(named(all, "circle", "dot")[i].attr[name], 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if !(at(0, "cx") < at(1, "cx") && at(1, "cx") < at(2, "cx")) {
		t.Error("time does not go to the right")
	}
	if !(at(0, "cy") > at(2, "cy") && at(2, "cy") > at(1, "cy")) {
		t.Error("more is not further up")
	}
}

func TestTicksAreRoundNumbersThatDoNotCrowd(t *testing.T) {
	for _, row := range []struct {
		low, high float64
		want      string
	}{
		{0, 1, "0 0.2 0.4 0.6 0.8 1"}, {0, 1153, "0 250 500 750 1000 1250"}, {0, 96, "0 20 40 60 80 100"},
		{0, 25000, "0 5000 10k 15k 20k 25k"}, {-30, 20, "-30 -20 -10 0 10 20"}, {0, 0, "0 0.2 0.4 0.6 0.8 1"},
	} {
		c := Chart{Series: []Series{{X: []float64{0, 1}, Y: []float64{row.low, row.high}}}, Ticks: []Tick{}}
		var got []string
		for _, e := range named(elements(t, string(c.SVG())), "text", "tick") {
			got = append(got, e.text)
		}
		if text := strings.Join(got, " "); text != row.want {
			t.Errorf("%v to %v: ticks at %s, expected %s", row.low, row.high, text, row.want)
		}
	}
}

func TestBarsStandAtWholeNumbers(t *testing.T) {
	c := Chart{Bars: true, Series: []Series{{X: []float64{1, 4, 16}, Y: []float64{1, 2, 3}}}}
	for _, e := range named(elements(t, string(c.SVG())), "text", "tick") {
		if e.attr["text-anchor"] == "middle" && strings.Contains(e.text, ".") {
			t.Errorf("a tick between two bars: %s", e.text)
		}
	}
}

// hostile is what nobody should call a model, and a trace may.
const hostile = `<script>alert("&'1")</script>` + "\x00\x1b]\xff"

func TestNamesAreTextWhateverIsInThem(t *testing.T) {
	c := Chart{Title: hostile, X: hostile, Y: hostile, Ticks: []Tick{{1, hostile}}, Series: []Series{
		{Name: hostile, Dots: true, X: []float64{1, 2}, Y: []float64{1, 2}},
	}}
	bars := c
	bars.Bars = true
	lanes := Timeline{Title: hostile, X: hostile, To: 200, Lanes: []Lane{{Name: hostile, Spans: []Span{{End: 200, Text: hostile, About: hostile}}}}}
	for what, drawing := range map[string]string{
		"chart": string(c.SVG()), "bars": string(bars.SVG()), "legend": string(Legend(c.Series)), "timeline": string(lanes.SVG()),
	} {
		all := elements(t, drawing)
		if len(named(all, "script", "")) > 0 {
			t.Errorf("%s: a name became an element", what)
		}
		found := false
		for _, e := range all {
			found = found || strings.HasPrefix(e.text, `<script>alert("&'1")</script>`)
		}
		if !found {
			t.Errorf("%s: the name is nowhere as it is written", what)
		}
	}
}

func TestSpansStandWhereTheyBelong(t *testing.T) {
	spans := []Span{
		{Begin: 10, End: 30, Text: "4", About: "in"}, {Begin: -20, End: 5, About: "cut at the beginning"}, {Begin: 90, End: 400, About: "cut at the end"},
		{Begin: -9, End: -3, About: "before"}, {Begin: 200, End: 300, About: "after"}, {Begin: nan, End: 3, About: "never"}, {Begin: 50, End: 50, About: "short"},
	}
	all := elements(t, string(Timeline{To: 100, Lanes: []Lane{{Name: "GPU 0", Spans: spans}}}.SVG()))
	inside(t, all)
	var shown []string
	for _, e := range named(all, "title", "") {
		shown = append(shown, e.text)
	}
	if got := strings.Join(shown, ", "); got != "in, cut at the beginning, cut at the end, short" {
		t.Errorf("shown are %s", got)
	}
}

func TestATimelineOfNothingIsDrawn(t *testing.T) {
	for _, to := range []float64{0, nan, inf} {
		inside(t, elements(t, string(Timeline{To: to, Lanes: []Lane{{Name: "GPU 0"}}}.SVG())))
	}
}

func TestStackedBarsStandOnEachOther(t *testing.T) {
	x := []float64{0, 1}
	c := Chart{Bars: true, Stacked: true, Series: []Series{{Name: "good", X: x, Y: []float64{60, 100}}, {Name: "bad", X: x, Y: []float64{40, 0}}}}
	base := height - bottom
	var bars [][4]float64 // x, y, width, height
	for _, rest := range strings.Split(string(c.SVG()), `<rect class="bar`)[1:] {
		var b [4]float64
		var class string
		if _, err := fmt.Sscanf(rest, "%s x=\"%f\" y=\"%f\" width=\"%f\" height=\"%f\"", &class, &b[0], &b[1], &b[2], &b[3]); err != nil {
			t.Fatal(err, rest)
		}
		bars = append(bars, b)
	}
	if len(bars) != 4 || bars[0][0] != bars[2][0] || bars[1][0] != bars[3][0] {
		t.Fatalf("not two stacks of two: %v", bars)
	}
	const rounding = 0.11
	if top := bars[2][1] + bars[2][3]; math.Abs(top-bars[0][1]) > rounding {
		t.Errorf("the second ends at %v, the first begins at %v", top, bars[0][1])
	}
	if foot := bars[0][1] + bars[0][3]; math.Abs(foot-base) > rounding {
		t.Errorf("the first stands at %v, the axis is at %v", foot, base)
	}
	if math.Abs(bars[2][1]-bars[1][1]) > rounding {
		t.Errorf("60 and 40 reach %v, 100 reaches %v", bars[2][1], bars[1][1])
	}
}
