package tritonconfig

import (
	"fmt"
	"strings"
)

// The lexical grammar of protobuf's text format. A token's text is a part of the input,
// except for strings, whose escapes are resolved.

type tokenKind uint8

const (
	endToken    tokenKind = iota
	symbolToken           // one of {}<>[]:,;-
	nameToken             // an identifier
	numberToken           // a number without its sign
	stringToken
)

type token struct {
	kind tokenKind
	text string
	line int
}

// String shows a token in a message.
func (t token) String() string {
	switch t.kind {
	case endToken:
		return "the end of the file"
	case stringToken:
		return fmt.Sprintf("the string %.40q", t.text)
	}
	return fmt.Sprintf("%.40q", t.text)
}

type scanner struct {
	rest string
	line int
}

// next returns the next token. The error is a Problem.
func (s *scanner) next() (token, error) {
	s.skip()
	at := token{line: s.line}
	if s.rest == "" {
		return at, nil
	}
	c := s.rest[0]
	switch {
	case strings.IndexByte("{}<>[]:,;-", c) >= 0:
		at.kind, at.text, s.rest = symbolToken, s.rest[:1], s.rest[1:]
	case c == '"' || c == '\'':
		var err error
		at.kind = stringToken
		at.text, err = s.quoted()
		return at, err
	case isLetter(c):
		at.kind, at.text = nameToken, s.takeWhile(func(c byte) bool { return isLetter(c) || isDigit(c) })
	case isDigit(c) || c == '.':
		at.kind, at.text = numberToken, s.number()
	default:
		return at, problemAt(s.line, "unexpected character %q", []rune(s.rest)[0])
	}
	return at, nil
}

// skip passes over blanks and comments.
func (s *scanner) skip() {
	for s.rest != "" {
		switch s.rest[0] {
		case '\n':
			s.line++
			s.rest = s.rest[1:]
		case ' ', '\t', '\r', '\v', '\f':
			s.rest = s.rest[1:]
		case '#':
			_ = s.takeWhile(func(c byte) bool { return c != '\n' })
		default:
			return
		}
	}
}

func (s *scanner) takeWhile(is func(byte) bool) (taken string) {
	n := 0
	for n < len(s.rest) && is(s.rest[n]) {
		n++
	}
	taken, s.rest = s.rest[:n], s.rest[n:]
	return taken
}

// number takes whatever may belong to a number; what it means is checked where it is read.
func (s *scanner) number() string {
	n, hex := 0, strings.HasPrefix(s.rest, "0x") || strings.HasPrefix(s.rest, "0X")
	for n < len(s.rest) {
		c := s.rest[n]
		signed := (c == '-' || c == '+') && !hex && (s.rest[n-1]|0x20) == 'e'
		if !isLetter(c) && !isDigit(c) && c != '.' && !signed {
			break
		}
		n++
	}
	text := s.rest[:n]
	s.rest = s.rest[n:]
	return text
}

// quoted takes a string in quotes, which ends in its line.
func (s *scanner) quoted() (string, error) {
	quote := s.rest[0]
	var out strings.Builder
	for n := 1; n < len(s.rest); {
		switch c := s.rest[n]; c {
		case quote:
			s.rest = s.rest[n+1:]
			return out.String(), nil
		case '\n', 0:
			return "", problemAt(s.line, "the string is not closed in its line")
		case '\\':
			text, length := unescape(s.rest[n:])
			if length == 0 {
				return "", problemAt(s.line, "unknown escape %.4q in a string", s.rest[n:])
			}
			out.WriteString(text)
			n += length
		default:
			out.WriteByte(c)
			n++
		}
	}
	return "", problemAt(s.line, "the string is not closed")
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
