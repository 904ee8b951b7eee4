package tritonconfig

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxProblems is how many problems are named, and one more.
const maxProblems = 16

// reader collects what is wrong and what is not needed.
type reader struct {
	problems []error
	notes    []string
	noted    map[string]bool // the fields of notes
}

func (r *reader) problem(line int, format string, args ...any) {
	if len(r.problems) <= maxProblems {
		r.problems = append(r.problems, problemAt(line, format, args...))
	}
}

func (r *reader) err() error { return errors.Join(r.problems...) }

// Problems returns the problems of an error of Parse.
func Problems(err error) (list []Problem) {
	if joined, several := err.(interface{ Unwrap() []error }); several {
		for _, e := range joined.Unwrap() {
			list = append(list, Problems(e)...)
		}
		return list
	}
	if p, is := err.(Problem); is {
		return []Problem{p}
	}
	return nil
}

// fields calls for each field what reads it; of is the message they are in. A field that may
// stand once and is there twice, and one that is not known, is a problem.
func (r *reader) fields(of string, list []field, known map[string]rule) {
	seen := map[string]int{}
	for i := range list {
		f := &list[i]
		rule, is := known[f.name]
		if !is {
			r.problem(f.line, "%s has no field %.80q", of, f.name)
			continue
		}
		if first, twice := seen[f.name]; twice && !rule.repeated {
			r.problem(f.line, "%s stands twice, first in line %d", f.name, first)
			continue
		}
		seen[f.name] = f.line
		rule.read(f)
	}
}

// rule reads a field.
type rule struct {
	repeated bool
	read     func(*field)
}

func once(read func(*field)) rule { return rule{read: read} }
func many(read func(*field)) rule { return rule{repeated: true, read: read} }

// scalar reports whether a field is no message.
func (r *reader) scalar(f *field, expected string) bool {
	if f.message {
		r.problem(f.line, "%s must be %s", f.name, expected)
	}
	return !f.message
}

// text reads a string.
func (r *reader) text(f *field) string {
	switch {
	case !r.scalar(f, "a string in quotes"):
	case !f.quoted:
		r.problem(f.line, "%s must be a string in quotes, is %.80s", f.name, f.text)
	case !utf8.ValidString(f.text):
		r.problem(f.line, "%s is %.80q, which is no UTF-8", f.name, f.text)
	}
	return f.text
}

// integer reads a number from low to high, which is 0 if it is none.
func (r *reader) integer(f *field, low, high int64) int64 {
	expected := fmt.Sprintf("a number from %d to %d", low, high)
	if high == math.MaxInt64 {
		expected = fmt.Sprintf("a number from %d", low)
	}
	if !r.scalar(f, expected) {
		return 0
	}
	n, err := parseInteger(f.text)
	if f.quoted || err != nil || n < low || n > high {
		r.problem(f.line, "%s must be %s, is %.80q", f.name, expected, f.text)
		return 0
	}
	return n
}

// parseInteger reads decimal, hexadecimal and octal numbers, as the text format has them.
func parseInteger(s string) (int64, error) {
	digits := strings.TrimPrefix(s, "-")
	if strings.ContainsAny(digits, "_oO") || strings.HasPrefix(strings.ToLower(digits), "0b") {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseInt(s, 0, 64)
}

// flag reads true or false.
func (r *reader) flag(f *field) bool {
	if !r.scalar(f, "true or false") {
		return false
	}
	switch f.text {
	case "true", "True", "t", "1":
		return true
	case "false", "False", "f", "0":
	default:
		r.problem(f.line, "%s must be true or false, is %.80q", f.name, f.text)
	}
	return false
}

// message returns the fields of a message.
func (r *reader) message(f *field) []field {
	if !f.message {
		r.problem(f.line, "%s must be a message: %s { ... }", f.name, f.name)
	}
	return f.fields
}

// ignored is a field that changes nothing here. The note says why, once.
func (r *reader) ignored(why string) rule {
	return many(func(f *field) {
		if !r.noted[f.name] {
			r.notes = append(r.notes, fmt.Sprintf("line %d: %s is not needed: %s", f.line, f.name, why))
		}
		r.noted[f.name] = true
	})
}

// refused is a field that says what is not offered here.
func (r *reader) refused(why string) rule {
	return many(func(f *field) { r.problem(f.line, "%s: %s", f.name, why) })
}

// nothing is a field whose value means nothing here.
var nothing = many(func(*field) {})
