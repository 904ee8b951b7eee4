package page

import (
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"clockwork/pkg/lab/plot"
	"clockwork/pkg/lab/sim"
	"clockwork/pkg/protocol"
)

// maxShown bounds the GPUs in a timeline.
const maxShown = 16

// timelines shows the first moments of each run, action by action. A model has
// the same look in all of them.
func timelines(runs []*sim.Report) []Figure {
	names := models(runs)
	var figures []Figure
	for _, r := range runs {
		if len(r.Timeline) == 0 {
			continue
		}
		t := timeline(r, names)
		f := Figure{Title: t.Title, About: about(r, len(names)), SVG: t.SVG(), Wide: true}
		if len(figures) == 0 {
			f.Legend = legend(names)
		}
		figures = append(figures, f)
	}
	return figures
}

func timeline(r *sim.Report, names []string) plot.Timeline {
	t := plot.Timeline{Title: "Timeline of " + r.Policy, X: "time, ms"}
	for i, g := range r.GPUs[:min(maxShown, len(r.GPUs))] {
		exec, transfer := plot.Lane{Name: fmt.Sprintf("GPU %d runs", i)}, plot.Lane{Name: "loads"}
		for _, s := range r.Timeline {
			if s.GPU != g.Name {
				continue
			}
			t.To = max(t.To, float64(s.End)/1e6)
			switch s.Kind {
			case protocol.Infer:
				exec.Spans = append(exec.Spans, span(s, names, strconv.Itoa(s.Batch)))
			case protocol.LoadWeights:
				transfer.Spans = append(transfer.Spans, span(s, names, "load"))
			}
		}
		t.Lanes = append(t.Lanes, exec, transfer)
	}
	return t
}

func about(r *sim.Report, models int) string {
	text := "A colour is a model, the number its batch size."
	if models > shades*plot.Colours {
		text = "A colour stands for several models, the number is a batch size; the pointer tells more."
	}
	if n := len(r.GPUs); n > maxShown {
		text += fmt.Sprintf(" %d of %d GPUs.", maxShown, n)
	}
	return text
}

// legend lists the models, if each has a look of its own.
func legend(names []string) template.HTML {
	if len(names) > shades*plot.Colours {
		return ""
	}
	var all []plot.Series
	for i, name := range names {
		colour, faint := look(i)
		all = append(all, plot.Series{Name: name, Colour: colour, Faint: faint})
	}
	return plot.Legend(all)
}

// shades is how many models share a colour before the looks repeat.
const shades = 3

func look(model int) (colour int, faint float64) {
	return model % plot.Colours, 0.25 * float64(model/plot.Colours%shades)
}

// models returns the models in the timelines, sorted; a model's index determines
// its look.
func models(runs []*sim.Report) []string {
	var names []string
	for _, r := range runs {
		for _, s := range r.Timeline {
			names = append(names, s.Model)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b) // model-10 comes after model-9
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(names)
}

func span(s sim.Span, names []string, text string) plot.Span {
	colour, faint := look(slices.Index(names, s.Model))
	begin, end := float64(s.Begin)/1e6, float64(s.End)/1e6
	return plot.Span{
		Begin: begin, End: end, Text: text, Colour: colour, Faint: faint,
		About: fmt.Sprintf("%s %s, batch %d: %.2f to %.2f ms", s.Kind, s.Model, s.Batch, begin, end),
	}
}
