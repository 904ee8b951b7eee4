// Package yamlfile reads the YAML that people write: limits of front doors, and for
// adapters that have files of their own, documents whose errors name their lines.
//
// A document has no anchors, aliases and tags, so that a short text cannot expand to a
// large value. The package opens no files; any goroutine may call it.
package yamlfile

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// MaxProblems is how many problems of one mapping are named, and one more.
const MaxProblems = 16

// Problem is what is wrong in a line; 0: in no single one.
type Problem struct {
	Line int
	Err  error
}

// Error is what is wrong, without the line.
func (p Problem) Error() string { return p.Err.Error() }

// At is a problem in the line of a node.
func At(n *yaml.Node, format string, args ...any) error {
	return Problem{n.Line, fmt.Errorf(format, args...)}
}

// Problems returns the problems of an error that was joined of them, in their order.
func Problems(err error) []Problem {
	if err == nil {
		return nil
	}
	if joined, several := err.(interface{ Unwrap() []error }); several {
		var list []Problem
		for _, e := range joined.Unwrap() {
			list = append(list, Problems(e)...)
		}
		return list
	}
	if p, is := err.(Problem); is {
		return []Problem{p}
	}
	return []Problem{{Err: err}}
}

// Document returns the one value of a text, nil if there is none.
func Document(text string) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var n, second yaml.Node
	if err := decoder.Decode(&n); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, syntaxError(text, err)
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one document")
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
		return Problem{line, errors.New(message[at[1]:])}
	}
	line := 1
	for _, r := range text {
		if r == '\n' {
			line++
		} else if r == utf8.RuneError || r < ' ' && r != '\t' && r != '\r' || r == 0x7f {
			return Problem{line, errors.New(message)}
		}
	}
	return errors.New(message)
}

// EachKey calls f with each key of a mapping and its value, and returns all errors.
func EachKey(n *yaml.Node, expected string, f func(key, value *yaml.Node) error) error {
	if n.Kind != yaml.MappingNode || Indirect(n) {
		return At(n, "%s", expected)
	}
	var problems []error
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content) && len(problems) <= MaxProblems; i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || key.Value == "" || Indirect(key) || Indirect(value):
			problems = append(problems, At(key, "%s", expected))
		case seen[key.Value]:
			problems = append(problems, At(key, "%q stands twice", key.Value))
		default:
			seen[key.Value] = true
			if err := f(key, value); err != nil {
				problems = append(problems, err)
			}
		}
	}
	return errors.Join(problems...)
}

// Indirect reports whether a node is an alias, has an anchor or an explicit tag.
func Indirect(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0
}
