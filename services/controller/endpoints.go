package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/startup"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// serve opens load, ls and state as NATS services.
func (l *leader) serve(ctx context.Context) (*bus.Service, error) {
	service, err := l.bus.Serve("Clockwork: loads models, shows models and state", "1.0.0", []bus.Endpoint{
		{Name: "load", Subject: l.bus.Subjects.Load(), Handle: func(m *nats.Msg) *protocol.Error { return l.onLoad(ctx, m) }},
		{Name: "ls", Subject: l.bus.Subjects.Ls(), ByAsker: true, Handle: func(m *nats.Msg) *protocol.Error { return l.onLs(ctx, m) }},
		{Name: "state", Subject: l.bus.Subjects.State(), ByAsker: true, Handle: func(m *nats.Msg) *protocol.Error { return l.onState(ctx, m) }},
	})
	if err != nil {
		return nil, fmt.Errorf("open control endpoints: %w", err)
	}
	return service, nil
}

// maxLoad bounds the body of a load, in bytes. It holds a path and a name; loads
// are decoded one after the other, in order.
const maxLoad = 64 << 10

// onLoad passes a load to the machine; answerLoad answers it later.
func (l *leader) onLoad(ctx context.Context, m *nats.Msg) *protocol.Error {
	if n := len(m.Data); n > maxLoad {
		refusal := protocol.Errorf(protocol.PayloadTooLarge, "a load may have %d bytes, got %d", maxLoad, n)
		refusal.Got, refusal.Limit = int64(n), maxLoad
		return l.refuseNow(m, refusal)
	}
	var request protocol.LoadRequest
	if fault := wire.DecodeBody(m.Data, &request); fault != nil {
		return l.refuseNow(m, fault)
	}
	if !l.locked(func() {
		l.nextToken++
		l.loads[l.nextToken] = m
		l.decide(ctx, startup.LoadRequested{Token: l.nextToken, Request: request})
	}) {
		return l.refuseNow(m, protocol.Refusal(protocol.ShuttingDown))
	}
	return nil
}

// answerLoad answers a load. The caller holds the lock.
func (l *leader) answerLoad(reply startup.Reply) {
	load, waiting := l.loads[reply.Token]
	delete(l.loads, reply.Token)
	if !waiting {
		return
	}
	if reply.Error != nil {
		l.refuseControl(load, reply.Error)
		return
	}
	answer := *reply.Reply // the machine's own
	answer.Changed, answer.MoreChanged = protocol.ShortErrors(answer.Changed)
	answer.Warnings = oversized(&answer, l.bus.Control.MaxPayload())
	l.respond(load, &answer)
}

// envelope is what a message holds beside a tensor's bytes, at most.
const envelope = 256

// oversized warns of a model of which not even one item fits into a message of the broker.
func oversized(reply *protocol.LoadReply, limit int64) (warnings []string) {
	for _, of := range []struct {
		what  string
		specs []protocol.TensorSpec
	}{{"inputs", reply.Inputs}, {"outputs", reply.Outputs}} {
		spec := protocol.ModelSpec{Inputs: of.specs}
		if n := spec.ItemBytes(); n > limit-envelope {
			warnings = append(warnings, fmt.Sprintf("the %s of one item have %d bytes, and the broker carries messages of %d: no request can be served; "+
				"a broker with a larger max_payload (--max-payload) carries them", of.what, n, limit))
		}
	}
	return warnings
}

func (l *leader) onLs(ctx context.Context, m *nats.Msg) *protocol.Error {
	return l.onPage(m, func(q protocol.PageRequest) (any, *protocol.Error) { return l.listModels(m, q) })
}

func (l *leader) onState(ctx context.Context, m *nats.Msg) *protocol.Error {
	return l.onPage(m, func(q protocol.PageRequest) (any, *protocol.Error) { return l.describe(ctx, m, q) })
}

// onPage answers a request for a page.
func (l *leader) onPage(m *nats.Msg, page func(protocol.PageRequest) (any, *protocol.Error)) *protocol.Error {
	var q protocol.PageRequest
	if fault := wire.DecodeBody(m.Data, &q); fault != nil {
		return l.refuseNow(m, fault)
	}
	if q.Limit < 0 {
		return l.refuseNow(m, protocol.Errorf(protocol.InvalidInput, "limit is %d; it must not be negative", q.Limit))
	}
	return l.answer(m, func() (any, *protocol.Error) { return page(q) })
}

// answer answers a request in a goroutine of its own; the number of these
// goroutines is bounded.
func (l *leader) answer(m *nats.Msg, reply func() (any, *protocol.Error)) *protocol.Error {
	select {
	case l.answering <- struct{}{}:
	default:
		return l.refuseNow(m, protocol.Errorf(protocol.Overloaded, "too many control requests: %d are being answered", maxAnswering))
	}
	started := l.work.Start(func() {
		defer func() { <-l.answering }()
		body, fault := reply()
		if fault != nil {
			l.refuseControl(m, fault)
			return
		}
		l.respond(m, body)
	})
	if !started {
		return l.refuseNow(m, protocol.Refusal(protocol.ShuttingDown))
	}
	return nil
}

// refuseNow refuses a request within its handler, which returns the error, so that the
// service counts it. It cannot count later refusals.
func (l *leader) refuseNow(m *nats.Msg, refusal *protocol.Error) *protocol.Error {
	l.refuseControl(m, refusal)
	return refusal
}

// respond answers a control request. Names of copies that do not fit are left out.
func (l *leader) respond(m *nats.Msg, reply any) {
	encoding := wire.EncodingOf(m.Data)
	err := l.bus.Respond(m, wire.EncodeBody(encoding, reply))
	if load, is := reply.(*protocol.LoadReply); is && errors.Is(err, nats.ErrMaxPayload) {
		short := *load
		short.Models = short.Models[:1]
		err = l.bus.Respond(m, wire.EncodeBody(encoding, &short))
	}
	if errors.Is(err, nats.ErrMaxPayload) {
		l.refuseControl(m, l.tooLarge())
		return
	}
	l.logged("reply on "+m.Subject, err)
}

// tooLarge is the error for an answer that does not fit into a message.
func (l *leader) tooLarge() *protocol.Error {
	refusal := protocol.Errorf(protocol.PayloadTooLarge, "the answer is larger than the broker carries (%d)", l.bus.Control.MaxPayload())
	refusal.Limit = l.bus.Control.MaxPayload()
	return refusal
}

func (l *leader) refuseControl(m *nats.Msg, refusal *protocol.Error) {
	l.logged("reply on "+m.Subject, l.bus.RespondMsg(m, bus.ErrorReply(wire.EncodingOf(m.Data), m.Reply, refusal)))
}

// queryWorkers queries all workers in parallel; for a worker without an answer the
// last known state is used.
func (l *leader) queryWorkers(ctx context.Context, workers []protocol.WorkerState) []protocol.WorkerState {
	states := append([]protocol.WorkerState{}, workers...)
	var asking sync.WaitGroup
	for i, w := range workers {
		asking.Go(func() {
			r, err := l.caller.Do(ctx, w.ID, protocol.Action{Kind: protocol.GetWorkerState, Lean: true, Latest: protocol.Never})
			if err == nil && r.State != nil {
				lacks := w.Lacks // which the worker does not know
				states[i] = *r.State
				states[i].Lacks = lacks
			}
		})
	}
	asking.Wait()
	return states
}
