package bus

import (
	"log/slog"
	"sync"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// Results decodes the workers' results for one issuer. Its methods may be called from any
// goroutine; the messages of one worker must come in their order.
type Results struct {
	bus    *Bus
	issuer uint64

	mu      sync.Mutex
	readers map[string]*wire.ResultReader // of workers whose last batch came in chunks
	waiting int                           // bytes that wait in readers
}

// maxResultBytes bounds the chunks that wait for the rest of their batches.
const maxResultBytes = 512 << 20

// NewResults returns a decoder of the results for an issuer.
func (b *Bus) NewResults(issuer uint64) *Results {
	return &Results{bus: b, issuer: issuer, readers: map[string]*wire.ResultReader{}}
}

// Read returns a worker's results, none for other issuers and for parts of a larger batch.
// The worker's identity comes from the subject.
func (r *Results) Read(m *nats.Msg) ([]protocol.Result, *protocol.Error) {
	worker := r.bus.Subjects.Token(m.Subject, 1)
	results, fault := r.read(worker, m.Data)
	for i := range results {
		result := &results[i]
		result.Worker = worker
		if result.State != nil {
			result.State.ID = worker
		}
	}
	return results, fault
}

func (r *Results) read(worker string, body []byte) ([]protocol.Result, *protocol.Error) {
	if !wire.IsResultChunk(body) {
		return wire.ReadResults(body, r.issuer)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	reader := r.readers[worker]
	if reader == nil {
		reader = &wire.ResultReader{}
	}
	before := reader.Waiting()
	results, fault := reader.Read(body, r.issuer)
	if r.waiting += reader.Waiting() - before; r.waiting > maxResultBytes {
		r.bus.Notice(slog.LevelWarn, "results in chunks are dropped: too many bytes wait for their rest", "", "bytes", r.waiting, "limit", maxResultBytes)
		clear(r.readers) // as if they were lost on the way
		r.waiting = 0
		return results, fault
	}
	if reader.Waiting() > 0 {
		r.readers[worker] = reader
	} else {
		delete(r.readers, worker)
	}
	return results, fault
}
