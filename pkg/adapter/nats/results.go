package bus

import (
	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// DecodeResults returns a worker's results for one issuer, none for other issuers. The
// worker's identity comes from the subject.
func (b *Bus) DecodeResults(m *nats.Msg, issuer uint64) ([]protocol.Result, *protocol.Error) {
	results, fault := wire.DecodeResults(m.Data, issuer)
	worker := b.Subjects.Token(m.Subject, 1)
	for i := range results {
		r := &results[i]
		r.Worker = worker
		if r.State != nil {
			r.State.ID = worker
		}
	}
	return results, fault
}
