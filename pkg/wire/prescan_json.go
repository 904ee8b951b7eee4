package wire

import (
	"encoding/json"

	"clockwork/pkg/protocol"
)

// DecodeStored decodes a value of the key-value store into a struct with json tags.
func DecodeStored(value []byte, into any) *protocol.Error {
	return decodeJSON(value, into, storedBounds)
}

// decodeJSON decodes a JSON value after the pre-scan. It is the only function that
// passes JSON to the library.
func decodeJSON(body []byte, into any, b bounds) *protocol.Error {
	if fault := b.scanJSON(body); fault != nil {
		return fault
	}
	if err := json.Unmarshal(body, into); err != nil {
		return jsonFault(err)
	}
	return nil
}

// scanJSON scans the one JSON value of body, without recursion and without allocating.
// Each value and each key counts as an element, except the numbers of a tensor's data,
// which only the size of the message bounds. The error is BAD_MESSAGE, or
// PAYLOAD_TOO_LARGE. A body that passes may still be invalid JSON: the library checks
// that before it allocates anything.
func (b bounds) scanJSON(body []byte) *protocol.Error {
	if fault := b.holds(body); fault != nil {
		return fault
	}
	s := jsonScan{body: body}
	for s.next() {
		switch {
		case s.depth < 0:
			return protocol.Errorf(protocol.BadMessage, "the bracket at byte %d closes nothing", s.at-1)
		case s.depth > maxDepth:
			return protocol.Errorf(protocol.BadMessage, "nested deeper than %d", maxDepth)
		case s.elements > b.elements:
			return protocol.Errorf(protocol.BadMessage, "more than %d elements", b.elements)
		case s.depth == 0 && s.elements > 0:
			if s.space(); s.at < len(body) {
				return trailing(len(body) - s.at)
			}
			return nil
		}
	}
	return protocol.Errorf(protocol.BadMessage, "cut off at byte %d", len(body))
}

// jsonScan is a position in a JSON text.
type jsonScan struct {
	body            []byte
	at              int
	depth, elements int
	// data is whether the key `"data"` was just read; tensor is the depth of the array
	// under that key, 0 outside of one.
	data   bool
	tensor int
}

// next skips a key, a scalar, a bracket, or a separator; false at the end of the text.
func (s *jsonScan) next() bool {
	s.space()
	if s.at >= len(s.body) {
		return false
	}
	switch c := s.body[s.at]; c {
	case '"':
		return s.word()
	case ',', ':':
		s.at++
		return true // data stays set: a separator may stand between "data" and its array
	case '{', '[':
		s.open(c == '[' && s.data)
	case '}', ']':
		s.close()
	default:
		s.scalar()
	}
	s.data = false
	return true
}

func (s *jsonScan) open(data bool) {
	s.at++
	s.depth++
	s.elements++
	if data && s.tensor == 0 {
		s.tensor = s.depth
	}
}

func (s *jsonScan) close() {
	s.at++
	if s.depth == s.tensor {
		s.tensor = 0
	}
	s.depth--
}

// word skips a string.
func (s *jsonScan) word() bool {
	from := s.at
	for s.at++; s.at < len(s.body); s.at++ {
		switch s.body[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			s.elements++
			s.data = string(s.body[from:s.at]) == `"data"`
			return true
		}
	}
	s.at = len(s.body)
	return false
}

// scalar skips a number or a word without quotes, and within a tensor's data a whole run
// of them.
func (s *jsonScan) scalar() {
	inside := s.tensor > 0 && s.depth >= s.tensor
	if !inside {
		s.elements++
	}
	for ; s.at < len(s.body); s.at++ {
		switch s.body[s.at] {
		case '"', '{', '}', '[', ']':
			return
		case ',', ':', ' ', '\t', '\n', '\r':
			if !inside {
				return
			}
		}
	}
}

func (s *jsonScan) space() {
	for s.at < len(s.body) && (s.body[s.at] == ' ' || s.body[s.at] == '\n' || s.body[s.at] == '\t' || s.body[s.at] == '\r') {
		s.at++
	}
}
