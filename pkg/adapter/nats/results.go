package bus

import (
	"bytes"
	"encoding/binary"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
)

// DecodeResults reads a worker's results for one issuer; those for others give
// none. Who the worker is, the subject says.
func (b *Bus) DecodeResults(m *nats.Msg, issuer uint64) ([]protocol.Result, *protocol.Error) {
	if to, ok := issuerOf(m.Data); ok && to != issuer {
		return nil, nil
	}
	batch, fault := Results.Decode(m.Data)
	if fault != nil {
		return nil, fault
	}
	if batch.Issuer != issuer {
		return nil, nil
	}
	worker := b.Subjects.Token(m.Subject, 1)
	for i := range batch.Results {
		r := &batch.Results[i]
		r.Worker = worker
		if r.State != nil {
			r.State.ID = worker
		}
	}
	return batch.Results, nil
}

// resultsHead is how the message begins: the version, an array of two.
var resultsHead = []byte{version, 0x92}

// issuerOf reads whom results are for without decoding them; false when that
// takes a closer look.
func issuerOf(body []byte) (uint64, bool) {
	rest, ok := bytes.CutPrefix(body, resultsHead)
	if !ok || len(rest) < 9 || rest[0] != 0xcf { // random identities take all eight bytes
		return 0, false
	}
	return binary.BigEndian.Uint64(rest[1:]), true
}
