package protocol

import (
	"fmt"
	"strconv"
)

// Payload is the data of a request on its way to a worker, or of an answer on its way to
// a front door. Its JSON, used in recordings and logs, is only its length, or null:
// clients' data is not recorded. Decoding yields that many zeros.
type Payload []byte

// maxPayloadRead bounds the length of a decoded payload, in bytes.
const maxPayloadRead = 1 << 30

// MarshalJSON writes the length.
func (p Payload) MarshalJSON() ([]byte, error) {
	if p == nil {
		return []byte("null"), nil
	}
	return strconv.AppendInt(nil, int64(len(p)), 10), nil
}

// UnmarshalJSON reads a length and makes that many zeros.
func (p *Payload) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*p = nil
		return nil
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 0 || n > maxPayloadRead {
		return fmt.Errorf("a payload of %.30q bytes; at most %d are read", text, maxPayloadRead)
	}
	*p = make(Payload, n)
	return nil
}
