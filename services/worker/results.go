package worker

import (
	"log/slog"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// maxResults bounds how many results are sent in one message.
const maxResults = 1024

// largeResult is the size in bytes from which results use the payload
// connection: a state with thousands of models.
const largeResult = 256 << 10

// sendResults publishes results, one message per run of results for the same
// issuer. It is the batch's callback.
func (a *agent) sendResults(results []protocol.Result) {
	for len(results) > 0 {
		n := 1
		for n < len(results) && !large(&results[0]) && !large(&results[n]) && results[n].Issuer == results[0].Issuer {
			n++
		}
		a.publishResults(protocol.ResultBatch{Issuer: results[0].Issuer, Results: results[:n]})
		results = results[n:]
	}
}

// large reports whether a result can fill a message alone.
func large(r *protocol.Result) bool { return r.State != nil || r.Loaded != nil }

func (a *agent) publishResults(batch protocol.ResultBatch) {
	body := wire.Borrow()
	defer wire.GiveBack(body)
	*body = wire.Results.Append(*body, &batch)
	nc := a.bus.Control
	if int64(len(*body)) > min(largeResult, nc.MaxPayload()) { // chunks must not mix with those of another batch
		nc = a.bus.Payload
	}
	if err := a.bus.PublishResults(nc, a.config.Name, batch.Issuer, *body); err != nil {
		a.bus.Notice(slog.LevelWarn, "results not sent", "", "results", len(batch.Results), "error", err) // the issuer's timers handle it
	}
}
