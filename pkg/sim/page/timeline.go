package page

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"clockwork/pkg/plot"
	"clockwork/pkg/protocol"
	"clockwork/pkg/sim"
)

// maxShown bounds the GPUs that a timeline shows.
const maxShown = 8

// timelines show the first moments of each run, action by action.
func timelines(runs []*sim.Report) []Figure {
	var figures []Figure
	for _, r := range runs {
		if len(r.Timeline) == 0 {
			continue
		}
		names := models(r.Timeline)
		t := plot.Timeline{Title: "Timeline of " + r.Policy, X: "time, ms"}
		for i, g := range r.GPUs[:min(maxShown, len(r.GPUs))] {
			exec, transfer := plot.Lane{Name: fmt.Sprintf("GPU %d runs", i)}, plot.Lane{Name: "loads"}
			for _, s := range r.Timeline {
				if s.GPU != g.Name {
					continue
				}
				t.To = max(t.To, float64(s.End)/1e6)
				if s.Kind == protocol.Infer {
					exec.Spans = append(exec.Spans, span(s, names, strconv.Itoa(s.Batch)))
				} else if s.Kind == protocol.LoadWeights {
					transfer.Spans = append(transfer.Spans, span(s, names, "load"))
				}
			}
			t.Lanes = append(t.Lanes, exec, transfer)
		}
		figures = append(figures, Figure{Title: t.Title, About: about(r), SVG: t.SVG(), Wide: true})
	}
	return figures
}

func about(r *sim.Report) string {
	text := "A colour is a model, the number its batch size."
	if n := len(r.GPUs); n > maxShown {
		text += fmt.Sprintf(" %d of %d GPUs.", maxShown, n)
	}
	return text
}

// models are those in the timeline, by name; their places are their colours.
func models(spans []sim.Span) []string {
	var names []string
	for _, s := range spans {
		names = append(names, s.Model)
	}
	slices.SortFunc(names, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b) // so that model-10 comes after model-9
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(names)
}

// span has a colour and, beyond so many models, a shade of it.
func span(s sim.Span, names []string, text string) plot.Span {
	i := slices.Index(names, s.Model)
	begin, end := float64(s.Begin)/1e6, float64(s.End)/1e6
	return plot.Span{
		Begin: begin, End: end, Text: text, Colour: i % plot.Colours, Faint: 0.22 * float64(i/plot.Colours%3),
		About: fmt.Sprintf("%s %s, batch %d: %.2f to %.2f ms", s.Kind, s.Model, s.Batch, begin, end),
	}
}
