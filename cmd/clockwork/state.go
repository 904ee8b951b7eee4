package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"clockwork/pkg/client"
	"clockwork/pkg/protocol"
	"clockwork/pkg/terminal"
)

type stateCommand struct{}

// Run shows the stack.
func (s *stateCommand) Run(c *cli, con *console) error {
	return show(c, con, (*client.Client).State, func(state *protocol.StackState) error {
		return printState(con.out, state, time.Now())
	})
}

// printState shows the stage, and a row for each GPU. now is for how long the
// stage has lasted.
func printState(w io.Writer, s *protocol.StackState, now time.Time) error {
	fmt.Fprintf(w, "stage    %s\n", stageText(s, now))
	if s.Buffered > 0 {
		fmt.Fprintf(w, "waiting  %s for activation\n", count(s.Buffered, "request"))
	}
	fmt.Fprintf(w, "models   %s\n", modelsText(s.Models))
	fmt.Fprintf(w, "workers  %d\n", len(s.Workers))
	if len(s.Workers) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, worker := range s.Workers {
		for i, g := range worker.GPUs {
			name, backend := worker.ID, worker.Backend
			if i > 0 {
				name, backend = "", ""
			}
			pages := fmt.Sprintf("%d/%d", g.PagesUsed, g.PagesTotal)
			rows = append(rows, []string{name, backend, strconv.Itoa(g.ID), pages, namesText(g.Models, residentWidth)})
		}
	}
	columns := []terminal.Column{{Title: "worker"}, {Title: "backend"}, {Title: "GPU", Right: true},
		{Title: "pages", Right: true}, {Title: "weights on the GPU"}}
	if err := terminal.WriteTable(w, columns, rows); err != nil {
		return err
	}
	return printTypes(w, s.Workers)
}

// printTypes says what the GPUs are, once for each type: the names are long.
func printTypes(w io.Writer, workers []protocol.WorkerState) error {
	var types []string
	gpus := map[string]int{}
	for _, worker := range workers {
		for _, g := range worker.GPUs {
			if gpus[g.Type] == 0 {
				types = append(types, g.Type)
			}
			gpus[g.Type]++
		}
	}
	fmt.Fprintln(w)
	for _, t := range types {
		fmt.Fprintf(w, "%s of type %s, pages of %s\n", count(gpus[t], "GPU"), t, terminal.Bytes(workers[0].PageSize))
	}
	return nil
}

func stageText(s *protocol.StackState, now time.Time) string {
	text := fmt.Sprintf("%s for %s", s.Stage, terminal.Duration(max(0, now.Sub(s.Since))))
	if s.CountdownMS != nil {
		left := time.Duration(*s.CountdownMS * float64(time.Millisecond))
		text += fmt.Sprintf(", loading closes in %s", terminal.Duration(left))
	}
	if s.Epoch != 0 {
		text += fmt.Sprintf(", scheduler epoch %d", s.Epoch)
	}
	return text
}

func modelsText(models []protocol.ModelState) string {
	quarantined := 0
	for _, m := range models {
		if m.Quarantined != "" {
			quarantined++
		}
	}
	text := strconv.Itoa(len(models))
	if quarantined > 0 {
		text += fmt.Sprintf(", %d of them not served (clockwork ls says why)", quarantined)
	}
	return text
}

// residentWidth keeps a row within 80 columns for usual worker names.
const residentWidth = 44

// namesText lists as many names as fit, at least one, and counts the rest.
func namesText(names []string, width int) string {
	text := ""
	for i, name := range names {
		more := fmt.Sprintf(" and %d more", len(names)-i)
		if i > 0 && len(text)+1+len(name)+len(more) > width {
			return text + more
		}
		text = strings.TrimPrefix(text+" "+name, " ")
	}
	if text == "" {
		return "-"
	}
	return text
}
