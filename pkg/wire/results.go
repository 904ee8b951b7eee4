package wire

import (
	"bytes"
	"encoding/binary"

	"clockwork/pkg/protocol"
)

// ReadResults returns a worker's results for one issuer. For results to other issuers it
// returns none, at almost no cost.
func ReadResults(body []byte, issuer uint64) ([]protocol.Result, *protocol.Error) {
	if to, ok := issuerOf(body); ok && to != issuer {
		return nil, nil
	}
	batch, fault := Results.Decode(body)
	if fault != nil || batch.Issuer != issuer {
		return nil, fault
	}
	return batch.Results, nil
}

// IsResultChunk reports whether a message is a chunk of a batch of results.
func IsResultChunk(body []byte) bool { return bytes.HasPrefix(body, resultChunkHead) }

// ResultReader reassembles batches of one worker that came in chunks (SplitResults). It
// belongs to one goroutine.
type ResultReader struct{ parts parts }

// Read adds a chunk, and returns the results for an issuer once their batch is complete.
func (r *ResultReader) Read(body []byte, issuer uint64) ([]protocol.Result, *protocol.Error) {
	if to, ok := issuerOf(body); ok && to != issuer {
		return nil, nil
	}
	got, fault := resultChunkCodec.Decode(body)
	if fault != nil || got.issuer != issuer {
		return nil, fault
	}
	whole, fault := r.parts.add(&got)
	if fault != nil || whole == nil {
		return nil, fault
	}
	return ReadResults(whole, issuer)
}

// Waiting returns how many bytes wait for the rest of their batch.
func (r *ResultReader) Waiting() int { return len(r.parts.body) }

// resultsHead is how a batch of results begins: the Version, an array of two.
// resultChunkHead is how a chunk of one begins.
var (
	resultsHead     = []byte{Version, 0x92}
	resultChunkHead = []byte{Version, 0x95}
)

// issuerOf reads the issuer of a batch of results, or of a chunk of one, without decoding
// it; ok is false if that needs a full decoding.
func issuerOf(body []byte) (uint64, bool) {
	rest, ok := bytes.CutPrefix(body, resultsHead)
	if !ok {
		rest, ok = bytes.CutPrefix(body, resultChunkHead)
	}
	if !ok || len(rest) < 9 || rest[0] != 0xcf { // random identities take all eight bytes
		return 0, false
	}
	return binary.BigEndian.Uint64(rest[1:]), true
}
