package onnx

import (
	"fmt"
	"strconv"
	"strings"

	"clockwork/pkg/protocol"
)

// maxBatchLimit is the largest max_batch that a model.yaml may state.
const maxBatchLimit = 1024

// headArgmax is the one head there is.
const headArgmax = "argmax"

// config is what a model.yaml says. The format is a strict part of YAML, one
// key a line, each at most once, with comments after #:
//
//	max_batch: 8                   # the largest batch to run, default 16
//	inputs: {x: [3, 48, 192]}      # shapes of one item, where the graph is open
//	head: argmax                   # output the best class and its score only
type config struct {
	maxBatch int
	inputs   map[string][]int64
	head     string
}

// parseConfig reads a model.yaml; an empty text gives the defaults. The error
// is MODEL_CORRUPT and names the line.
func parseConfig(text string) (config, *protocol.Error) {
	c := config{maxBatch: protocol.BatchSizes[len(protocol.BatchSizes)-1]}
	seen := make(map[string]bool)
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, value, _ := strings.Cut(line, ":")
		err := fmt.Errorf("%q stands twice", key)
		if !seen[key] {
			err = c.set(key, strings.TrimSpace(value))
		}
		if err != nil {
			return config{}, protocol.Errorf(protocol.ModelCorrupt, "model.yaml line %d: %.300v", i+1, err)
		}
		seen[key] = true
	}
	return c, nil
}

func (c *config) set(key, value string) (err error) {
	switch key {
	case "max_batch":
		c.maxBatch, err = strconv.Atoi(value)
		if err != nil || c.maxBatch < 1 || c.maxBatch > maxBatchLimit {
			return fmt.Errorf("max_batch must be 1 to %d, is %q", maxBatchLimit, value)
		}
	case "inputs":
		c.inputs, err = parseShapes(value)
		return err
	case "head":
		if value != headArgmax {
			return fmt.Errorf("head must be %q, is %q", headArgmax, value)
		}
		c.head = value
	default:
		return fmt.Errorf("unknown key %q; known are max_batch, inputs and head", key)
	}
	return nil
}

// parseShapes reads {name: [1, 2], other: [3]}.
func parseShapes(text string) (map[string][]int64, error) {
	bad := fmt.Errorf("expected {name: [1, 2], ...}, got %q", text)
	inner, ok := strings.CutPrefix(text, "{")
	if !ok || !strings.HasSuffix(inner, "}") {
		return nil, bad
	}
	rest := strings.TrimSpace(strings.TrimSuffix(inner, "}"))
	shapes := make(map[string][]int64)
	for rest != "" {
		head, tail, ok := strings.Cut(rest, "]")
		name, list, found := strings.Cut(head, "[")
		name, colon := strings.CutSuffix(strings.TrimSpace(name), ":")
		name = strings.Trim(strings.TrimSpace(name), `"'`)
		if !ok || !found || !colon || name == "" || shapes[name] != nil {
			return nil, bad
		}
		shape, err := parseShape(list)
		if err != nil {
			return nil, err
		}
		shapes[name] = shape
		rest = strings.TrimSpace(tail)
		if next, comma := strings.CutPrefix(rest, ","); comma {
			rest = strings.TrimSpace(next)
		} else if rest != "" {
			return nil, bad
		}
	}
	return shapes, nil
}

func parseShape(list string) ([]int64, error) {
	shape := []int64{}
	if strings.TrimSpace(list) == "" {
		return shape, nil
	}
	for _, text := range strings.Split(list, ",") {
		d, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
		if err != nil || d < 1 || len(shape) >= maxRank {
			return nil, fmt.Errorf("dimensions are positive numbers, got %q", text)
		}
		shape = append(shape, d)
	}
	return shape, nil
}
