package tritonconfig

import (
	"strconv"
	"unicode/utf8"
)

var simpleEscapes = map[byte]string{'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v",
	'\\': `\`, '\'': "'", '"': `"`, '?': "?"}

// unescape returns what the escape at the beginning of s stands for, and its length; 0 if it
// is none.
func unescape(s string) (text string, length int) {
	if len(s) < 2 {
		return "", 0
	}
	c := s[1]
	if text, simple := simpleEscapes[c]; simple {
		return text, 2
	}
	switch {
	case c >= '0' && c <= '7':
		return byteEscape(s, 1, 3, 8)
	case c == 'x' || c == 'X':
		return byteEscape(s, 2, 2, 16)
	case c == 'u':
		return runeEscape(s, 4)
	case c == 'U':
		return runeEscape(s, 8)
	}
	return "", 0
}

// byteEscape reads 1 to most digits of a base from an index on: one byte.
func byteEscape(s string, from, most, base int) (string, int) {
	end := from
	for end < len(s) && end < from+most {
		if _, err := strconv.ParseUint(s[end:end+1], base, 8); err != nil {
			break
		}
		end++
	}
	v, err := strconv.ParseUint(s[from:end], base, 8)
	if err != nil {
		return "", 0
	}
	return string([]byte{byte(v)}), end
}

// runeEscape reads exactly so many hexadecimal digits: one character.
func runeEscape(s string, digits int) (string, int) {
	end := 2 + digits
	if len(s) < end {
		return "", 0
	}
	v, err := strconv.ParseUint(s[2:end], 16, 32)
	if err != nil || !utf8.ValidRune(rune(v)) || v > utf8.MaxRune {
		return "", 0
	}
	return string(rune(v)), end
}
