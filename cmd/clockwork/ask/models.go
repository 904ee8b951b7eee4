package ask

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/terminal"
)

var modelColumns = []terminal.Column{
	{Title: "model"}, {Title: "input", Drop: 3}, {Title: "weights", Right: true, Drop: 4}, {Title: "pages", Right: true, Drop: 1},
	{Title: "batch", Right: true, Drop: 2}, {Title: "load", Right: true}, {Title: "infer", Right: true},
}

// PrintModels prints a row for each model, with the medians of its profile: the weight
// transfer, and one inference at batch size 1. A model measured on several types of GPU
// has a row for each.
func PrintModels(w io.Writer, width int, models []protocol.ModelState) error {
	if len(models) == 0 {
		_, err := fmt.Fprintln(w, "no models are loaded; load one with clockwork load PATH")
		return err
	}
	columns, byType := modelColumns, gpuTypes(models) > 1
	if byType {
		columns = append(columns[:len(columns):len(columns)], terminal.Column{Title: "GPU type"})
	}
	versions := slices.ContainsFunc(models, func(m protocol.ModelState) bool { return m.Version > 0 })
	if versions {
		columns = slices.Insert(slices.Clone(columns), 1, terminal.Column{Title: "version", Right: true, Drop: 5})
	}
	var rows [][]string
	for _, m := range models {
		for i, row := range modelRows(m, byType) {
			if versions {
				row = slices.Insert(row, 1, versionText(m.Version, i))
			}
			rows = append(rows, row)
		}
	}
	if err := terminal.WriteTable(w, width, columns, rows); err != nil {
		return err
	}
	for _, m := range models {
		if m.NoBatch {
			fmt.Fprintf(w, "%s has no batch dimension: a request is one item\n", m.Name)
		}
		if m.Mixes {
			fmt.Fprintf(w, "%s runs at batch 1 only: its answer to an item depends on the other items of a batch\n", m.Name)
		}
		if m.Quarantined != "" {
			fmt.Fprintf(w, "%s is not served: %s\n", m.Name, m.Quarantined)
		}
	}
	return printLacking(w, models)
}

// maxLacking bounds the lines about models that workers lack.
const maxLacking = 20

// printLacking prints which workers do not serve a model that others may serve.
func printLacking(w io.Writer, models []protocol.ModelState) error {
	total := 0
	for _, m := range models {
		for _, why := range m.Lacking {
			if total++; total <= maxLacking {
				fmt.Fprintf(w, "%s is not served by worker %s: %s\n", m.Name, why.Worker, LackText(why.Code, why.Message))
			}
		}
	}
	if total > maxLacking {
		fmt.Fprintf(w, "and %d more such; --json names all\n", total-maxLacking)
	}
	return nil
}

// LackText says why a worker does not serve a model.
func LackText(code protocol.Code, message string) string {
	if message == "" {
		message = code.Row().Sentence
	}
	return string(code) + ": " + message
}

func gpuTypes(models []protocol.ModelState) int {
	types := map[string]bool{}
	for _, m := range models {
		for _, p := range m.Profile {
			types[p.GPUType] = true
		}
	}
	return len(types)
}

func modelRows(m protocol.ModelState, byType bool) [][]string {
	first := []string{m.Name, InputText(m.Inputs), terminal.Bytes(m.WeightsBytes),
		strconv.Itoa(m.Pages), "1-" + strconv.Itoa(m.MaxBatch())}
	if m.MaxBatch() == 1 {
		first[4] = "1"
	}
	if len(m.Profile) == 0 {
		return [][]string{append(first, "-", "-")}
	}
	var rows [][]string
	for i, p := range m.Profile {
		row := append(first[:len(first):len(first)], median(p.LoadWeights), "-")
		if i > 0 {
			row = append(make([]string, len(first)), row[len(first):]...)
		}
		if one, ok := p.At(1); ok {
			row[len(row)-1] = median(one)
		}
		if byType {
			row = append(row, p.GPUType)
		}
		rows = append(rows, row)
	}
	return rows
}

// versionText is a model's version in the first of its rows.
func versionText(version, row int) string {
	switch {
	case row > 0:
		return ""
	case version == 0:
		return "-"
	}
	return strconv.Itoa(version)
}

func median(m protocol.Measurement) string {
	if m.Samples == 0 {
		return "-"
	}
	return terminal.Duration(m.P50)
}

// shownInputs is how many inputs of a model are shown.
const shownInputs = 3

// InputText is an abbreviation; ls --json prints the full specs.
func InputText(specs []protocol.TensorSpec) string {
	if len(specs) == 0 {
		return "-"
	}
	var texts []string
	for _, s := range specs[:min(len(specs), shownInputs)] {
		texts = append(texts, string(s.Datatype)+protocol.ShapeString(s.Shape))
	}
	if more := len(specs) - shownInputs; more > 0 {
		texts = append(texts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(texts, " ")
}
