package frontdoor

import (
	"time"

	"clockwork/pkg/protocol"
)

// Outputs come to a front door through a broker, which keeps a bounded number of bytes for its
// connection and drops what is more, or closes the connection. Nobody but the front door knows
// what all workers send to it, and it sends nothing that it could delay: a request that is in
// flight may have its outputs sent at any time. So it bounds what the outputs of all requests in
// flight take, before it takes one in.

// outputs are the bytes of outputs that workers may send to this front door.
type outputs struct {
	// max is Config.MaxInFlightOutputs. bytes are those of the requests in flight, lateBytes
	// those of late.
	max, bytes, lateBytes int64
	// of are those of the requests in flight of each client with a name, of which one may have
	// a quarter.
	of map[string]int64
	// late are outputs of requests that were answered at their deadline although a worker had
	// them: they may be on their way still. In order of time.
	late []lateOutput
}

type lateOutput struct {
	until protocol.Time
	bytes int64
}

// lateFor is how long the output of such a request counts: the broker's write deadline, after
// which it has written something, or has closed the connection.
const lateFor = 2 * time.Second

// full refuses a request whose outputs have no room. One that alone is larger than the bound
// finds room while nothing else is on its way.
func (o *outputs) full(now protocol.Time, tenant string, bytes int64) *protocol.Error {
	for len(o.late) > 0 && o.late[0].until <= now {
		o.lateBytes -= o.late[0].bytes
		o.late = o.late[1:]
	}
	all := o.bytes + o.lateBytes
	if own := o.of[tenant]; tenant != "" && own > 0 && own+bytes > o.max/4 {
		refusal := protocol.Errorf(protocol.LimitExceeded, "the answers to your requests in flight at this front door may take %d bytes", own)
		refusal.Got, refusal.Limit, refusal.LimitOf = own, o.max/4, "tenant.outputs"
		return refusal
	}
	if all == 0 || all+bytes <= o.max {
		return nil
	}
	refusal := protocol.Errorf(protocol.Overloaded, "the answers to the requests in flight at this front door may take %d bytes", all)
	refusal.Got, refusal.Limit = all, o.max
	return refusal
}

// add counts the outputs of a request in, and with a negative number, out.
func (o *outputs) add(tenant string, bytes int64) {
	o.bytes += bytes
	if tenant == "" || bytes == 0 {
		return
	}
	if o.of[tenant] += bytes; o.of[tenant] == 0 {
		delete(o.of, tenant)
	}
}

// comesLate notes that the output of a request that was taken out may come yet.
func (o *outputs) comesLate(now protocol.Time, bytes int64) {
	o.lateBytes += bytes
	o.late = append(o.late, lateOutput{now.Add(lateFor), bytes})
}

// outputBytes is what a request's outputs take.
func (r *Request) outputBytes() int64 { return int64(r.Batch) * r.Model.OutputBytes() }
