package wire

import (
	"encoding/binary"

	"clockwork/pkg/protocol"
)

// Every body is pre-scanned before it is decoded, msgpack here and JSON in
// prescan_json.go: its size, its nesting depth, its number of elements, and that nothing
// follows its end. TestEveryDecoderIsBehindThePrescan checks that no decoder is called
// without the scan.

// bounds are the largest size in bytes and the most elements of a body.
type bounds struct{ bytes, elements int }

const (
	maxDepth          = 16
	maxClientElements = 65536
)

// A client's message needs no more elements. Replies of the stack and stored values name
// thousands of models; between services a ClockworkState is sent in chunks.
var (
	clientBounds   = bounds{64 << 20, maxClientElements}
	replyBounds    = bounds{64 << 20, 1 << 20}
	storedBounds   = bounds{64 << 20, 1 << 20}
	internalBounds = bounds{maxWhole, 1 << 24}
)

// holds returns an error for a body larger than the bound.
func (b bounds) holds(body []byte) *protocol.Error {
	if len(body) <= b.bytes {
		return nil
	}
	fault := protocol.Errorf(protocol.PayloadTooLarge, "a message of %d bytes; at most %d are read", len(body), b.bytes)
	fault.Got, fault.Limit = int64(len(body)), int64(b.bytes)
	return fault
}

// prescan scans the one msgpack value at the start of body, without recursion and
// without allocating, and returns where it ends. The error is BAD_MESSAGE: a declared
// length larger than the rest of the body, nesting deeper than maxDepth, more than
// maxElements elements, or an unassigned byte.
func prescan(body []byte, maxElements int) (int, *protocol.Error) {
	var open [maxDepth + 1]int // elements still expected at each depth
	depth, elements, at := 0, 0, 0
	open[0] = 1
	for depth >= 0 {
		if open[depth] == 0 {
			depth--
			continue
		}
		open[depth]--
		if elements++; elements > maxElements {
			return 0, protocol.Errorf(protocol.BadMessage, "more than %d elements; send tensors as raw bytes (msgpack bin)", maxElements)
		}
		if at < len(body) && plain[body[at]] > 0 { // true for most values
			if at += int(plain[body[at]]); at > len(body) {
				return 0, protocol.Errorf(protocol.BadMessage, "cut off at byte %d", len(body))
			}
			continue
		}
		head, skip, children := header(body[at:])
		if head == 0 {
			return 0, protocol.Errorf(protocol.BadMessage, "not msgpack, or cut off, at byte %d", at)
		}
		rest := len(body) - at - head
		if skip > rest || children > rest {
			return 0, protocol.Errorf(protocol.BadMessage, "a length at byte %d is larger than the message", at)
		}
		at += head + skip
		if children > 0 {
			if depth++; depth > maxDepth {
				return 0, protocol.Errorf(protocol.BadMessage, "nested deeper than %d", maxDepth)
			}
			open[depth] = children
		}
	}
	return at, nil
}

// plain is the length of each value whose length follows from its first byte: numbers,
// short strings, nil and booleans; 0 for all others.
var plain = func() (sizes [256]uint8) {
	for c := range sizes {
		switch c := byte(c); {
		case c <= 0x7f || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3:
			sizes[c] = 1
		case c >= 0xa0 && c <= 0xbf:
			sizes[c] = 1 + c&0x1f
		case c == 0xca || c == 0xce || c == 0xd2:
			sizes[c] = 5
		case c == 0xcb || c == 0xcf || c == 0xd3:
			sizes[c] = 9
		case c == 0xcc || c == 0xd0:
			sizes[c] = 2
		case c == 0xcd || c == 0xd1:
			sizes[c] = 3
		}
	}
	return sizes
}()

// scanWhole is prescan for a client's body, with nothing after the value.
func scanWhole(body []byte) *protocol.Error { return clientBounds.scan(body) }

// scan is prescan for a body with nothing after the value.
func (b bounds) scan(body []byte) *protocol.Error {
	if fault := b.holds(body); fault != nil {
		return fault
	}
	end, fault := prescan(body, b.elements)
	if fault == nil && end != len(body) {
		fault = trailing(len(body) - end)
	}
	return fault
}

func trailing(n int) *protocol.Error {
	return protocol.Errorf(protocol.BadMessage, "%d bytes follow the message", n)
}

// header reads one msgpack header and returns its own length (0 if it is cut off or
// unassigned), the bytes of a scalar that follow, and the values of a container that
// follow.
func header(b []byte) (head, skip, children int) {
	if len(b) == 0 {
		return 0, 0, 0
	}
	c := b[0]
	switch {
	case c <= 0x7f || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3:
		return 1, 0, 0
	case c <= 0x8f:
		return 1, 0, 2 * int(c&0x0f)
	case c <= 0x9f:
		return 1, 0, int(c & 0x0f)
	case c <= 0xbf:
		return 1, int(c & 0x1f), 0
	}
	return longHeader(c, b[1:])
}

// longHeader reads the headers that contain a length or precede a scalar.
func longHeader(c byte, rest []byte) (head, skip, children int) {
	length := func(width int) (int, bool) {
		if len(rest) < width {
			return 0, false
		}
		switch width {
		case 1:
			return int(rest[0]), true
		case 2:
			return int(binary.BigEndian.Uint16(rest)), true
		}
		return int(binary.BigEndian.Uint32(rest)), true
	}
	sized := func(width, extra, perItem int, container bool) (int, int, int) {
		n, ok := length(width)
		if !ok {
			return 0, 0, 0
		}
		if container {
			return 1 + width, 0, n * perItem
		}
		return 1 + width, n + extra, 0
	}
	switch c {
	case 0xc4, 0xd9:
		return sized(1, 0, 0, false)
	case 0xc5, 0xda:
		return sized(2, 0, 0, false)
	case 0xc6, 0xdb:
		return sized(4, 0, 0, false)
	case 0xc7:
		return sized(1, 1, 0, false)
	case 0xc8:
		return sized(2, 1, 0, false)
	case 0xc9:
		return sized(4, 1, 0, false)
	case 0xca, 0xce, 0xd2:
		return 1, 4, 0
	case 0xcb, 0xcf, 0xd3:
		return 1, 8, 0
	case 0xcc, 0xd0:
		return 1, 1, 0
	case 0xcd, 0xd1:
		return 1, 2, 0
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		return 1, 1 + 1<<(c-0xd4), 0
	case 0xdc:
		return sized(2, 0, 1, true)
	case 0xdd:
		return sized(4, 0, 1, true)
	case 0xde:
		return sized(2, 0, 2, true)
	case 0xdf:
		return sized(4, 0, 2, true)
	}
	return 0, 0, 0
}
