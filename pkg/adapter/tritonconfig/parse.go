package tritonconfig

import (
	"fmt"
	"strings"
)

// MaxText is the longest config.pbtxt in bytes, maxDepth how deep its messages nest at most.
const (
	MaxText  = 64 << 10
	maxDepth = 32
)

// Problem is what is wrong in a line.
type Problem struct {
	Line int
	Text string
}

// Error implements error.
func (p Problem) Error() string { return fmt.Sprintf("line %d: %s", p.Line, p.Text) }

func problemAt(line int, format string, args ...any) error {
	return Problem{line, fmt.Sprintf(format, args...)}
}

// field is a field of a message with one value; a list is as many fields. Either text is a
// scalar as it was written, quoted if it was a string, or fields are those of a message.
type field struct {
	line    int
	name    string
	text    string
	quoted  bool
	message bool
	fields  []field
}

// parser reads the text format: name: value, name { ... }, lists of either.
type parser struct {
	scanner scanner
	token   token // the next one
}

// parse returns the fields of a text. The error is a Problem.
func parse(text string) ([]field, error) {
	if len(text) > MaxText {
		return nil, problemAt(1, "the file has %d bytes, at most %d are read", len(text), MaxText)
	}
	p := parser{scanner: scanner{rest: text, line: 1}}
	if err := p.advance(); err != nil {
		return nil, err
	}
	return p.message("", 0)
}

func (p *parser) advance() (err error) {
	p.token, err = p.scanner.next()
	return err
}

func (p *parser) at(symbol string) bool {
	return p.token.kind == symbolToken && p.token.text == symbol
}

// skip passes over a symbol, if it is there.
func (p *parser) skip(symbol string) (bool, error) {
	if !p.at(symbol) {
		return false, nil
	}
	return true, p.advance()
}

func (p *parser) unexpected(expected string) error {
	return problemAt(p.token.line, "expected %s, found %s", expected, p.token)
}

// message reads fields up to a closing bracket, "" for the end of the text, and passes over it.
func (p *parser) message(closing string, depth int) (list []field, err error) {
	if depth > maxDepth {
		return nil, problemAt(p.token.line, "messages nest deeper than %d", maxDepth)
	}
	for {
		switch {
		case closing == "" && p.token.kind == endToken:
			return list, nil
		case closing != "" && p.at(closing):
			return list, p.advance()
		}
		if list, err = p.field(list, depth); err != nil {
			return nil, err
		}
		if p.at(",") || p.at(";") {
			if err := p.advance(); err != nil {
				return nil, err
			}
		}
	}
}

// field reads one field, and appends a field for each of its values.
func (p *parser) field(list []field, depth int) ([]field, error) {
	if p.token.kind != nameToken {
		return nil, p.unexpected("the name of a field")
	}
	f := field{line: p.token.line, name: p.token.text}
	if err := p.advance(); err != nil {
		return nil, err
	}
	colon, err := p.skip(":")
	if err != nil {
		return nil, err
	}
	if !p.at("[") {
		if err := p.value(&f, colon, depth); err != nil {
			return nil, err
		}
		return append(list, f), nil
	}
	return p.values(list, f, colon, depth)
}

// values reads a list of values, all of them messages or none.
func (p *parser) values(list []field, f field, colon bool, depth int) ([]field, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	if empty, err := p.skip("]"); empty || err != nil {
		return list, err
	}
	for first := true; ; first = false {
		item := field{name: f.name, line: p.token.line}
		if err := p.value(&item, colon, depth); err != nil {
			return nil, err
		}
		if !first && item.message != list[len(list)-1].message {
			return nil, problemAt(item.line, "a list of %s holds messages and other values", f.name)
		}
		list = append(list, item)
		if end, err := p.skip("]"); end || err != nil {
			return list, err
		}
		if more, err := p.skip(","); err != nil {
			return nil, err
		} else if !more {
			return nil, p.unexpected("a comma or ]")
		}
	}
}

// value reads a message, or a scalar, which stands after a colon only.
func (p *parser) value(f *field, colon bool, depth int) (err error) {
	if p.at("{") || p.at("<") {
		closing := map[string]string{"{": "}", "<": ">"}[p.token.text]
		if err := p.advance(); err != nil {
			return err
		}
		f.message = true
		f.fields, err = p.message(closing, depth+1)
		return err
	}
	if !colon {
		return p.unexpected("a colon or { after " + f.name)
	}
	return p.scalar(f)
}

// scalar reads a number, a name or strings, which are one if they follow each other.
func (p *parser) scalar(f *field) error {
	if p.token.kind == stringToken {
		f.quoted = true
		var text strings.Builder
		for p.token.kind == stringToken {
			text.WriteString(p.token.text)
			if err := p.advance(); err != nil {
				return err
			}
		}
		f.text = text.String()
		return nil
	}
	minus, err := p.skip("-")
	if err != nil {
		return err
	}
	if p.token.kind != numberToken && p.token.kind != nameToken {
		return p.unexpected("a value of " + f.name)
	}
	f.text = p.token.text
	if minus {
		f.text = "-" + f.text
	}
	return p.advance()
}
