package onnx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

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

// lineError is an error in a line.
type lineError struct {
	line int
	err  error
}

func (e lineError) Error() string { return e.err.Error() }

func atLine(n *yaml.Node, format string, args ...any) error {
	return lineError{n.Line, fmt.Errorf(format, args...)}
}

// parseConfig parses a model.yaml of at most maxConfig bytes; an empty text gives the
// defaults. The error is MODEL_CORRUPT and names the line.
func parseConfig(text string) (config, *protocol.Error) {
	c := config{maxBatch: defaultMaxBatch}
	err := c.read(text)
	if err == nil {
		return c, nil
	}
	var problems []string
	for _, err := range flatten(err) {
		line := 1
		if at := (lineError{}); errors.As(err, &at) {
			line = max(at.line, 1)
		}
		problems = append(problems, fmt.Sprintf("model.yaml line %d: %.300v", line, err))
	}
	return config{}, protocol.Errorf(protocol.ModelCorrupt, "%s", listed(problems))
}

// maxProblems is how many problems of a model are named.
const maxProblems = 16

// listed names problems, so that one change can mend them all.
func listed(problems []string) string {
	if len(problems) > maxProblems {
		problems = append(problems[:maxProblems:maxProblems], "and more")
	}
	return strings.Join(problems, "; ")
}

// flatten returns the errors that were joined, in their order.
func flatten(err error) []error {
	joined, several := err.(interface{ Unwrap() []error })
	if !several {
		return []error{err}
	}
	var list []error
	for _, e := range joined.Unwrap() {
		list = append(list, flatten(e)...)
	}
	return list
}

func (c *config) read(text string) error {
	root, err := document(text)
	if err != nil || root == nil {
		return err
	}
	return eachKey(root, "a model.yaml has the keys max_batch, inputs and head", func(key, value *yaml.Node) error { return c.set(key, value) })
}

// document returns the one value of a text, nil if there is none.
func document(text string) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var n yaml.Node
	if err := decoder.Decode(&n); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, syntaxError(text, err)
	}
	var second yaml.Node
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("it is more than one document")
	}
	root := n.Content[0]
	if root.Kind == yaml.ScalarNode && root.Value == "" && root.Style == 0 {
		return nil, nil
	}
	return root, nil
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

// syntaxError adds the line to an error of the library: the library names it, except for
// characters that are not allowed.
func syntaxError(text string, err error) error {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	if at := yamlLine.FindStringSubmatchIndex(message); at != nil {
		line, _ := strconv.Atoi(message[at[2]:at[3]])
		return lineError{line, errors.New(message[at[1]:])}
	}
	line := 1
	for _, r := range text {
		if r == '\n' {
			line++
		} else if r == utf8.RuneError || r < ' ' && r != '\t' && r != '\r' || r == 0x7f {
			return lineError{line, errors.New(message)}
		}
	}
	return errors.New(message)
}

// eachKey calls f with each key of a mapping and its value, and returns all errors. Everything
// indirect is refused, so that a short text cannot expand to a large value.
func eachKey(n *yaml.Node, expected string, f func(key, value *yaml.Node) error) error {
	if n.Kind != yaml.MappingNode || indirect(n) {
		return atLine(n, "%s", expected)
	}
	var problems []error
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content) && len(problems) <= maxProblems; i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || key.Value == "" || indirect(key) || indirect(value):
			problems = append(problems, atLine(key, "%s", expected))
		case seen[key.Value]:
			problems = append(problems, atLine(key, "%q stands twice", key.Value))
		default:
			seen[key.Value] = true
			if err := f(key, value); err != nil {
				problems = append(problems, err)
			}
		}
	}
	return errors.Join(problems...)
}

// indirect reports whether a node is an alias, has an anchor or an explicit tag.
func indirect(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0
}

func (c *config) set(key, value *yaml.Node) (err error) {
	switch key.Value {
	case "max_batch":
		c.maxBatch, err = strconv.Atoi(value.Value)
		if err != nil || value.Kind != yaml.ScalarNode || c.maxBatch < 1 || c.maxBatch > maxBatchLimit {
			return atLine(key, "max_batch must be 1 to %d, is %q", maxBatchLimit, value.Value)
		}
	case "inputs":
		c.inputs, err = parseShapes(value)
		return err
	case "head":
		if value.Kind != yaml.ScalarNode || value.Value != headArgmax {
			return atLine(key, "head must be %q, is %q", headArgmax, value.Value)
		}
		c.head = headArgmax
	default:
		return atLine(key, "unknown key %q; known are max_batch, inputs and head", key.Value)
	}
	return nil
}

// parseShapes parses {name: [1, 2], other: [3]}.
func parseShapes(n *yaml.Node) (map[string][]int64, error) {
	shapes := make(map[string][]int64)
	return shapes, eachKey(n, "expected {name: [1, 2], ...}", func(key, value *yaml.Node) (err error) {
		shapes[key.Value], err = parseShape(value)
		return err
	})
}

func parseShape(n *yaml.Node) ([]int64, error) {
	if n.Kind != yaml.SequenceNode {
		return nil, atLine(n, "expected {name: [1, 2], ...}")
	}
	shape := []int64{}
	for _, item := range n.Content {
		d, err := strconv.ParseInt(item.Value, 10, 32)
		if err != nil || item.Kind != yaml.ScalarNode || indirect(item) || d < 1 || len(shape) >= maxRank {
			return nil, atLine(item, "dimensions are positive numbers, at most %d, got %q", maxRank, item.Value)
		}
		shape = append(shape, d)
	}
	return shape, nil
}
