package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"clockwork/cmd/clockwork/ask"
	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/client"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/terminal"
)

type stateCommand struct{}

// Run prints the stack's state.
func (s *stateCommand) Run(c *cli.Flags, con *cli.Console) error {
	query := (*client.Client).Workers // models are only counted
	if c.JSON {
		query = (*client.Client).State
	}
	return cli.Show(c, con, query, func(state *protocol.StackState) error {
		return printState(con.Out, con.Display.Width(), state, time.Now())
	})
}

// printState prints the stage, and a row for each GPU. now determines how long the stage
// has lasted.
func printState(w io.Writer, width int, s *protocol.StackState, now time.Time) error {
	fmt.Fprintf(w, "stage    %s\n", stageText(s, now))
	if text := servingText(s); text != "" {
		fmt.Fprintf(w, "serving  %s\n", text)
	}
	if s.Blocked != "" {
		fmt.Fprintf(w, "missing  %s\n", s.Blocked)
	}
	if s.StoreFault != "" {
		fmt.Fprintf(w, "store    out of order: %s\n", s.StoreFault)
	}
	if s.Buffered > 0 {
		fmt.Fprintf(w, "waiting  %s for activation\n", cli.Count(s.Buffered, "request"))
	}
	fmt.Fprintf(w, "models   %s\n", modelsText(s))
	if len(s.Workers) == 0 {
		_, err := fmt.Fprintln(w, "workers  0: nothing can be loaded or run")
		return err
	}
	fmt.Fprintf(w, "workers  %d\n", len(s.Workers))
	fmt.Fprintln(w)
	var rows [][]string
	var stalled []string
	for _, worker := range s.Workers {
		for i, g := range worker.GPUs {
			name, backend := worker.ID, worker.Backend
			if i > 0 {
				name, backend = "", ""
			}
			pages := fmt.Sprintf("%d/%d", g.PagesUsed, g.PagesTotal)
			rows = append(rows, []string{name, backend, strconv.Itoa(g.ID), pages, namesText(g.Models, residentWidth(width))})
			if g.Stalled != "" {
				stalled = append(stalled, fmt.Sprintf("GPU %d of %s is stalled: %s", g.ID, worker.ID, g.Stalled))
			}
		}
	}
	columns := []terminal.Column{{Title: "worker"}, {Title: "backend", Drop: 1}, {Title: "GPU", Right: true},
		{Title: "pages", Right: true}, {Title: "weights on GPU"}}
	if err := terminal.WriteTable(w, width, columns, rows); err != nil {
		return err
	}
	if len(stalled) > 0 {
		fmt.Fprintln(w)
		fmt.Fprintln(w, strings.Join(stalled, "\n"))
	}
	if err := printTypes(w, s.Workers); err != nil {
		return err
	}
	printProcessors(w, s.Workers)
	return printLacks(w, s.Workers)
}

// printProcessors prints what executions have of their hosts' processors.
func printProcessors(w io.Writer, workers []protocol.WorkerState) {
	for _, worker := range workers {
		for _, g := range worker.GPUs {
			if g.Processor != "" {
				fmt.Fprintf(w, "GPU %d of %s executes on %s\n", g.ID, worker.ID, g.Processor)
			}
		}
	}
}

// printLacks prints what workers do not serve, with the first reason of each.
func printLacks(w io.Writer, workers []protocol.WorkerState) error {
	for _, worker := range workers {
		if len(worker.Lacks) == 0 {
			continue
		}
		first := worker.Lacks[0]
		fmt.Fprintf(w, "%s serves without %s (clockwork ls names them): %s: %s\n", worker.ID, cli.Count(len(worker.Lacks), "model"),
			first.Model, ask.LackText(first.Code, first.Message))
	}
	return nil
}

// printTypes prints the types of the GPUs, each once: the names are long.
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
		fmt.Fprintf(w, "%s of type %s, pages of %s\n", cli.Count(gpus[t], "GPU"), t, terminal.Bytes(workers[0].PageSize))
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

// servingText says why a stack in ACTIVE serves nothing, and what becomes of requests: "" if it
// serves. What to do about it, the line missing says.
func servingText(s *protocol.StackState) string {
	const wait = "\n         requests wait in the buffer; BUFFER_TIMEOUT after the controller's\n         --buffer-timeout, 10s unless set"
	missing := s.Serving().Missing()
	switch {
	case s.Stage != protocol.Active || missing == "":
		return ""
	case missing == s.Blocked: // the line missing says it
		return "nothing"
	case s.Epoch == 0:
		return "nothing: " + missing + wait
	case s.FrontDoor != protocol.ServiceAbsent && len(s.Workers) > 0:
		return "nothing: " + missing + "\n         (the controller's log says what it could not load)"
	}
	return "nothing: " + missing
}

func modelsText(s *protocol.StackState) string {
	text := strconv.Itoa(s.ModelCount)
	if s.QuarantinedCount > 0 {
		text += fmt.Sprintf(", %d of them not served (clockwork ls says why)", s.QuarantinedCount)
	}
	if lacking := s.Serving().Capacity.Lacking(); lacking != "" {
		text += ", " + lacking
	}
	return text
}

// residentWidth returns how many columns of a row usual worker names leave, of 80
// columns without a terminal.
func residentWidth(width int) int {
	if width == 0 {
		width = 80
	}
	return max(16, width-36)
}

// namesText lists as many names as fit and counts the rest, or counts all if not even
// one fits with its count.
func namesText(names []string, width int) string {
	text := ""
	for i, name := range names {
		more := fmt.Sprintf(" and %d more", len(names)-i)
		if i > 0 && len(text)+1+len(name)+len(more) > width {
			if text += more; len(text) > width {
				return cli.Count(len(names), "model")
			}
			return text
		}
		text = strings.TrimPrefix(text+" "+name, " ")
	}
	if text == "" {
		return "-"
	}
	return text
}
