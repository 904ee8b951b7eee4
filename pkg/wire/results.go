package wire

import (
	"bytes"
	"encoding/binary"

	"clockwork/pkg/protocol"
)

// DecodeResults returns a worker's results for one issuer. For results to other issuers
// it returns none, at almost no cost.
func DecodeResults(body []byte, issuer uint64) ([]protocol.Result, *protocol.Error) {
	if to, ok := issuerOf(body); ok && to != issuer {
		return nil, nil
	}
	batch, fault := Results.Decode(body)
	if fault != nil || batch.Issuer != issuer {
		return nil, fault
	}
	return batch.Results, nil
}

// resultsHead is how the message begins: the Version, an array of two.
var resultsHead = []byte{Version, 0x92}

// issuerOf reads the issuer of a batch of results without decoding them; ok is false if
// that needs a full decoding.
func issuerOf(body []byte) (uint64, bool) {
	rest, ok := bytes.CutPrefix(body, resultsHead)
	if !ok || len(rest) < 9 || rest[0] != 0xcf { // random identities take all eight bytes
		return 0, false
	}
	return binary.BigEndian.Uint64(rest[1:]), true
}
