package main

import (
	"fmt"
	"strconv"
	"time"

	"clockwork/cmd/clockwork/ask"
	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/adapter/backend/zoo"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/terminal"
)

type zooCommand struct{}

// zooModel is an emulated model; times are those of the paper's GPU.
type zooModel struct {
	Path         string              `json:"path"`
	Input        protocol.TensorSpec `json:"input"`
	Output       protocol.TensorSpec `json:"output"`
	WeightsBytes int64               `json:"weights_bytes"`
	LoadMS       float64             `json:"load_ms"`
	InferMS      map[string]float64  `json:"infer_ms"` // by batch size
}

// largestBatch is the last column of the table of times.
const largestBatch = 16

// Run lists the emulated models. It needs no stack.
func (z *zooCommand) Run(con *cli.Console) error {
	var models []zooModel
	var rows [][]string
	for _, path := range zoo.Paths() {
		n := zoo.Find(path)
		m := zooModel{Path: path, Input: n.Input, Output: n.Output, WeightsBytes: n.Weights, LoadMS: protocol.Milliseconds(n.Transfer), InferMS: map[string]float64{}}
		for _, batch := range protocol.BatchSizes {
			m.InferMS[strconv.Itoa(batch)] = protocol.Milliseconds(n.Execution(batch))
		}
		models = append(models, m)
		rows = append(rows, []string{path, ask.InputText([]protocol.TensorSpec{n.Input}), terminal.Bytes(n.Weights), times(n.Transfer), times(n.Execution(1)), times(n.Execution(largestBatch))})
	}
	if con.JSON {
		return cli.PrintJSON(con.Out, map[string]any{"models": models})
	}
	columns := []terminal.Column{{Title: "path"}, {Title: "input", Drop: 2}, {Title: "weights", Right: true, Drop: 1},
		{Title: "load", Right: true}, {Title: "infer", Right: true}, {Title: fmt.Sprintf("batch of %d", largestBatch), Right: true, Drop: 3}}
	if err := terminal.WriteTable(con.Out, con.Display.Width(), columns, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintln(con.Out, "\nLoad one with clockwork load PATH. The times are those of one V100 GPU, from the Clockwork paper; of zoo/"+zoo.OnProcessor+"*, of one thread of a processor.")
	return err
}

func times(d time.Duration) string { return terminal.Duration(d) }
