package bus

import (
	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// DecodeResults reads a worker's results for one issuer; those for others give
// none. Who the worker is, the subject says.
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
