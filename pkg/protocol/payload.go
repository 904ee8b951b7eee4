package protocol

import (
	"fmt"
	"strconv"
)

// Payload is what a request carries to a worker, or an answer to a front door, in
// bytes. Its JSON, which recordings and logs are made of, is its length alone, or null:
// what clients send and are answered is theirs. Read back, it is as many zeros.
type Payload []byte

// maxPayloadRead bounds what a length that is read back makes.
const maxPayloadRead = 1 << 30

// MarshalJSON writes the length.
func (p Payload) MarshalJSON() ([]byte, error) {
	if p == nil {
		return []byte("null"), nil
	}
	return strconv.AppendInt(nil, int64(len(p)), 10), nil
}

// UnmarshalJSON makes zeros of a length.
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
