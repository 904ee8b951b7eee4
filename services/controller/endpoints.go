package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/startup"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// serve opens load, ls and state as NATS services.
func (l *leader) serve(ctx context.Context) (*bus.Service, error) {
	service, err := l.bus.Serve("Clockwork: loads models, shows models and state", "1.0.0", []bus.Endpoint{
		{Name: "load", Subject: l.bus.Subjects.Load(), Handle: func(m *nats.Msg) *protocol.Error { return l.onLoad(ctx, m) }},
		{Name: "ls", Subject: l.bus.Subjects.Ls(), Handle: func(m *nats.Msg) *protocol.Error { return l.onLs(ctx, m) }},
		{Name: "state", Subject: l.bus.Subjects.State(), Handle: func(m *nats.Msg) *protocol.Error { return l.onState(ctx, m) }},
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
		e := protocol.Errorf(protocol.PayloadTooLarge, "a load may have %d bytes, got %d", maxLoad, n)
		e.Got, e.Limit = int64(n), maxLoad
		return l.refuseNow(m, e)
	}
	var request protocol.LoadRequest
	if fault := wire.DecodeBody(m.Data, &request); fault != nil {
		return l.refuseNow(m, fault)
	}
	l.mu.Lock()
	l.nextToken++
	token := l.nextToken
	l.loads[token] = m
	l.mu.Unlock()
	l.report(ctx, startup.LoadRequested{Token: token, Request: request})
	return nil
}

func (l *leader) answerLoad(reply startup.Reply) {
	l.mu.Lock()
	load, waiting := l.loads[reply.Token]
	delete(l.loads, reply.Token)
	l.mu.Unlock()
	if !waiting {
		return
	}
	if reply.Error != nil {
		l.refuseControl(load, reply.Error)
		return
	}
	l.respond(load, reply.Reply)
}

func (l *leader) refuseLoads(e *protocol.Error) {
	l.mu.Lock()
	tokens := slices.Sorted(maps.Keys(l.loads))
	l.mu.Unlock()
	for _, token := range tokens {
		l.answerLoad(startup.Reply{Token: token, Error: e})
	}
}

func (l *leader) onLs(ctx context.Context, m *nats.Msg) *protocol.Error {
	return l.answer(m, func() (any, *protocol.Error) {
		list := protocol.ModelList{Models: []protocol.ModelState{}}
		if !l.inTurn(ctx, func() { list.Models = append(list.Models, l.machine.Models()...) }) {
			return nil, protocol.Refusal(protocol.ShuttingDown)
		}
		l.showQuarantined(list.Models)
		return list, nil
	})
}

func (l *leader) onState(ctx context.Context, m *nats.Msg) *protocol.Error {
	return l.answer(m, func() (any, *protocol.Error) { return l.describe(ctx) })
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
func (l *leader) refuseNow(m *nats.Msg, e *protocol.Error) *protocol.Error {
	l.refuseControl(m, e)
	return e
}

// respond answers a control request. If the answer exceeds the broker's limit,
// it is sent without the models' profiles.
func (l *leader) respond(m *nats.Msg, reply any) {
	encoding := wire.EncodingOf(m.Data)
	err := l.bus.Respond(m, wire.EncodeBody(encoding, reply))
	if errors.Is(err, nats.ErrMaxPayload) {
		err = l.bus.Respond(m, wire.EncodeBody(encoding, withoutProfiles(reply)))
	}
	if errors.Is(err, nats.ErrMaxPayload) {
		e := protocol.Errorf(protocol.PayloadTooLarge, "the answer is larger than the broker carries (%d)", l.bus.Control.MaxPayload())
		e.Limit = l.bus.Control.MaxPayload()
		l.refuseControl(m, e)
		return
	}
	l.logged("reply on "+m.Subject, err)
}

func withoutProfiles(reply any) any {
	strip := func(models []protocol.ModelState) []protocol.ModelState {
		lean := slices.Clone(models)
		for i := range lean {
			lean[i].Profile = nil
		}
		return lean
	}
	switch r := reply.(type) {
	case protocol.ModelList:
		r.Models = strip(r.Models)
		return r
	case protocol.StackState:
		r.Models = strip(r.Models)
		return r
	}
	return reply
}

func (l *leader) refuseControl(m *nats.Msg, e *protocol.Error) {
	l.logged("reply on "+m.Subject, l.bus.RespondMsg(m, bus.ErrorReply(wire.EncodingOf(m.Data), m.Reply, e)))
}

// describe returns the machine's state with each worker's own answer.
func (l *leader) describe(ctx context.Context) (any, *protocol.Error) {
	s := protocol.StackState{Models: []protocol.ModelState{}}
	var workers []protocol.WorkerState
	if !l.inTurn(ctx, func() {
		s.Stage, s.Since = max(l.stage, protocol.Querying), l.since
		s.Models = append(s.Models, l.machine.Models()...)
		workers = l.machine.Workers()
		if left, counting := l.machine.Countdown(clock.Now()); counting {
			ms := protocol.Milliseconds(left)
			s.CountdownMS = &ms
		}
	}) {
		return nil, protocol.Refusal(protocol.ShuttingDown)
	}
	l.showQuarantined(s.Models)
	s.Workers = l.queryWorkers(ctx, workers)
	for i, w := range s.Workers {
		s.PageSize = w.PageSize
		s.Workers[i].Models, s.Workers[i].Profiles = []protocol.ModelSpec{}, nil // they are in s.Models
	}
	s.Epoch, s.GPUsServing, s.Scheduler = l.door.Scheduler()
	if fault := l.storeFault.Load(); fault != nil {
		s.StoreFault = *fault
	}
	if n, err := l.buffer.Len(ctx); err == nil {
		s.Buffered = n
	}
	return s, nil
}

// queryWorkers queries all workers in parallel; for a worker without an answer the
// last known state is used.
func (l *leader) queryWorkers(ctx context.Context, workers []protocol.WorkerState) []protocol.WorkerState {
	states := append([]protocol.WorkerState{}, workers...)
	var asking sync.WaitGroup
	for i, w := range workers {
		asking.Go(func() {
			r, err := l.caller.Do(ctx, w.ID, protocol.Action{Kind: protocol.GetWorkerState, Latest: protocol.Never})
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
