package onnx

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"clockwork/pkg/adapter/yamlfile"
	"clockwork/pkg/protocol"
)

// maxBatchLimit is the largest max_batch that a model.yaml may state.
const maxBatchLimit = 1024

// defaultMaxBatch is the largest batch without a max_batch.
var defaultMaxBatch = protocol.BatchSizes[len(protocol.BatchSizes)-1]

// headArgmax is the only head.
const headArgmax = "argmax"

// config is the content of a model.yaml, in YAML without anchors, aliases and tags:
//
//	max_batch: 8                   # the largest batch to run, default 16
//	inputs: {x: [3, 48, 192]}      # shapes of one item, where the graph is open
//	head: argmax                   # output the best class and its score only
type config struct {
	maxBatch int
	inputs   map[string][]int64
	head     string
}

// canonical returns what is set, however it is written; nil for the defaults.
func (c *config) canonical() []byte {
	if c.maxBatch == defaultMaxBatch && len(c.inputs) == 0 && c.head == "" {
		return nil
	}
	text, err := json.Marshal([]any{c.maxBatch, c.inputs, c.head}) // which sorts the inputs
	if err != nil {
		panic(err) // numbers and names can be written
	}
	return text
}

// maxConfig is the largest model.yaml in bytes.
const maxConfig = 64 << 10

// parseConfig parses a model.yaml of at most maxConfig bytes; an empty text gives the
// defaults. The error is MODEL_CORRUPT and names the line.
func parseConfig(text string) (config, *protocol.Error) {
	c := config{maxBatch: defaultMaxBatch}
	err := c.read(text)
	if err == nil {
		return c, nil
	}
	var problems []string
	for _, p := range yamlfile.Problems(err) {
		problems = append(problems, fmt.Sprintf("model.yaml line %d: %.300v", max(p.Line, 1), p))
	}
	return config{}, protocol.Errorf(protocol.ModelCorrupt, "%s", listed(problems))
}

// maxProblems is how many problems of a model are named.
const maxProblems = yamlfile.MaxProblems

// listed names problems, so that one change can mend them all.
func listed(problems []string) string {
	if len(problems) > maxProblems {
		problems = append(problems[:maxProblems:maxProblems], "and more")
	}
	return strings.Join(problems, "; ")
}

func (c *config) read(text string) error {
	root, err := yamlfile.Document(text)
	if err != nil || root == nil {
		return err
	}
	return yamlfile.EachKey(root, "a model.yaml has the keys max_batch, inputs and head", func(key, value *yaml.Node) error { return c.set(key, value) })
}

func (c *config) set(key, value *yaml.Node) (err error) {
	switch key.Value {
	case "max_batch":
		c.maxBatch, err = strconv.Atoi(value.Value)
		if err != nil || value.Kind != yaml.ScalarNode || c.maxBatch < 1 || c.maxBatch > maxBatchLimit {
			return yamlfile.At(key, "max_batch must be 1 to %d, is %q", maxBatchLimit, value.Value)
		}
	case "inputs":
		c.inputs, err = parseShapes(value)
		return err
	case "head":
		if value.Kind != yaml.ScalarNode || value.Value != headArgmax {
			return yamlfile.At(key, "head must be %q, is %q", headArgmax, value.Value)
		}
		c.head = headArgmax
	default:
		return yamlfile.At(key, "unknown key %q; known are max_batch, inputs and head", key.Value)
	}
	return nil
}

// parseShapes parses {name: [1, 2], other: [3]}.
func parseShapes(n *yaml.Node) (map[string][]int64, error) {
	shapes := make(map[string][]int64)
	return shapes, yamlfile.EachKey(n, "expected {name: [1, 2], ...}", func(key, value *yaml.Node) (err error) {
		shapes[key.Value], err = parseShape(value)
		return err
	})
}

func parseShape(n *yaml.Node) ([]int64, error) {
	if n.Kind != yaml.SequenceNode {
		return nil, yamlfile.At(n, "expected {name: [1, 2], ...}")
	}
	shape := []int64{}
	for _, item := range n.Content {
		d, err := strconv.ParseInt(item.Value, 10, 32)
		if err != nil || item.Kind != yaml.ScalarNode || yamlfile.Indirect(item) || d < 1 || len(shape) >= maxRank {
			return nil, yamlfile.At(item, "dimensions are positive numbers, at most %d, got %q", maxRank, item.Value)
		}
		shape = append(shape, d)
	}
	return shape, nil
}
