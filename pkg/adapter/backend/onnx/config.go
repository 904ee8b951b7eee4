package onnx

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"clockwork/pkg/adapter/tritonconfig"
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
//
// and of the config.pbtxt beside it, where a model.yaml adds to what that says.
type config struct {
	maxBatch int
	inputs   map[string][]int64
	head     string
	// triton is the content of a config.pbtxt, nil without one.
	triton *tritonconfig.Config
}

// canonical returns what is set, however it is written; nil for the defaults.
func (c *config) canonical() []byte {
	if c.maxBatch == defaultMaxBatch && len(c.inputs) == 0 && c.head == "" && c.triton == nil {
		return nil
	}
	set := []any{c.maxBatch, c.inputs, c.head} // a map is written sorted
	if c.triton != nil {
		set = append(set, c.triton.Canonical())
	}
	text, err := json.Marshal(set)
	if err != nil {
		panic(err) // numbers and names can be written
	}
	return text
}

// The files beside a model's versions that say how to run it: our own, and Triton's.
const (
	configFile = "model.yaml"
	tritonFile = "config.pbtxt"
)

// maxConfig is the largest of either in bytes.
const maxConfig = 64 << 10

// parseConfig parses a model.yaml of at most maxConfig bytes; an empty text gives the
// defaults, which are those of the config.pbtxt beside it, if there is one. The error is
// MODEL_CORRUPT and names the line.
func parseConfig(text string, triton *tritonconfig.Config) (config, *protocol.Error) {
	c := config{maxBatch: defaultMaxBatch, triton: triton}
	if triton != nil && triton.MaxBatch > 0 {
		c.maxBatch = triton.MaxBatch
	}
	var problems []string
	for _, p := range yamlfile.Problems(c.read(text)) {
		problems = append(problems, fmt.Sprintf("%s line %d: %.300v", configFile, max(p.Line, 1), p))
	}
	if len(problems) == 0 && c.head != "" && triton != nil && len(triton.Outputs) > 0 {
		problems = append(problems, fmt.Sprintf("%s line %d: head in %s gives the model another output; take output out, or head", tritonFile, triton.Outputs[0].Line, configFile))
	}
	if len(problems) > 0 {
		return config{}, protocol.Errorf(protocol.ModelCorrupt, "%s", listed(problems))
	}
	return c, nil
}

// parseTriton parses the config.pbtxt of the model in a directory. The error is MODEL_CORRUPT
// and names the lines.
func parseTriton(text, directory string) (*tritonconfig.Config, *protocol.Error) {
	c, err := tritonconfig.Parse(text)
	if err == nil {
		err = c.CheckName(directory)
	}
	if err == nil {
		return c, nil
	}
	var problems []string
	for _, p := range tritonconfig.Problems(err) {
		problems = append(problems, fmt.Sprintf("%s %.400v", tritonFile, p))
	}
	return nil, protocol.Errorf(protocol.ModelCorrupt, "%s", listed(problems))
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
