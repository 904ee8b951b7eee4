package protocol

// Encoding is how a client wrote its body, and how it is answered.
type Encoding uint8

// The encodings.
const (
	Msgpack Encoding = iota
	JSON
)
