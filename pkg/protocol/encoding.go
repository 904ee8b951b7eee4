package protocol

// Encoding is the encoding of a client's body, and of its answer.
type Encoding uint8

// The encodings.
const (
	Msgpack Encoding = iota
	JSON
)
