package frontdoor

import (
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/core/quota"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
	"clockwork/pkg/wire"
)

// What a message has to pass before it is a request, the cheapest first: whose it
// is, its model's name, limits, and only then what it holds.

// asked is a message of a client that is not looked into yet.
type asked struct {
	*nats.Msg
	model, tenant string
	arrived       time.Time
	trace         watch.Trace

	spec      protocol.ModelSpec
	known     bool // there is such a model
	accepting bool // it is the door's, rather than the startup buffer's
	share     quota.Share
}

// letIn checks what can be told without reading the message, and counts it in.
func (d *FrontDoor) letIn(a *asked) *protocol.Error {
	if !protocol.ValidName(a.model) {
		return protocol.Errorf(protocol.UnknownModel, "%q is no model's name", a.model)
	}
	if a.tenant != "" && !protocol.ValidName(a.tenant) {
		return protocol.Errorf(protocol.BadMessage, "the subject ends with %q, which is no client's name", a.tenant)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	a.accepting = d.serves()
	a.spec, a.known = d.models[a.model]
	if a.accepting && !a.known {
		return unknown(a.model)
	}
	d.forgetStored(a.arrived)
	var fault *protocol.Error
	a.share, fault = d.table.limits.Take(a.tenant, a.model, int64(len(a.Data)), a.arrived)
	return fault
}

func unknown(model string) *protocol.Error {
	return protocol.Errorf(protocol.UnknownModel, "no model is called %q", model)
}

// read decodes a message that was let in and checks all that can be told from it.
// A model that is not known yet may come.
func (d *FrontDoor) read(a *asked) (*request, *protocol.Error) {
	in, fault := wire.DecodeInfer(a.Data)
	if fault != nil {
		return nil, fault
	}
	slo, fault := sloOf(a.Header, in.Parameters, d.config.DefaultSLO)
	if fault != nil {
		return nil, fault
	}
	r := &request{
		encoding: wire.EncodingOf(a.Data), reply: a.Reply, tenant: a.tenant, share: a.share,
		arrived: a.arrived, deadline: a.arrived.Add(slo), reconnects: d.reconnects.Load(), trace: a.trace,
	}
	if a.known {
		fault = r.fill(a.spec, &in)
	}
	return r, fault
}

// fill checks the inputs of a request against its model and lays them out.
func (r *request) fill(m protocol.ModelSpec, in *protocol.InferRequest) (fault *protocol.Error) {
	r.model, r.clientID, r.priority = m, in.ID, in.Parameters.Priority
	r.generated = len(in.Inputs) == 0
	r.payload, r.batch, fault = payloadOf(m, in.Inputs)
	return fault
}

// turnAway refuses a message that was let in.
func (d *FrontDoor) turnAway(a *asked, fault *protocol.Error) {
	d.giveBack(a.share)
	d.refuseMessage(a, fault)
}

// giveBack counts out what was let in, and is in no table.
func (d *FrontDoor) giveBack(s quota.Share) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.table.limits.Return(s)
}

// storedShare is what a request in the startup buffer has of the limits. Whoever
// leads answers it, so the door that stored it does not hear when.
type storedShare struct {
	until time.Time
	quota.Share
}

// keepStored counts a stored request until its time in the buffer is over, or
// until somebody serves.
func (d *FrontDoor) keepStored(a *asked) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stored = append(d.stored, storedShare{a.arrived.Add(d.config.BufferTimeout), a.share})
}

// forgetStored counts those out. The caller holds the lock.
func (d *FrontDoor) forgetStored(now time.Time) {
	for len(d.stored) > 0 && (d.serves() || !now.Before(d.stored[0].until)) {
		d.table.limits.Return(d.stored[0].Share)
		d.stored = d.stored[1:]
	}
}
