package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/micro"

	"clockwork/pkg/bus"
	"clockwork/pkg/clock"
	"clockwork/pkg/protocol"
	"clockwork/pkg/startup"
)

// serve opens load, ls and state as NATS services.
func (l *leader) serve(ctx context.Context) (micro.Service, error) {
	service, err := micro.AddService(l.bus.Control, micro.Config{
		Name:        strings.ReplaceAll(l.bus.Subjects.Prefix, ".", "_"),
		Version:     "1.0.0",
		Description: "Clockwork: loads models, shows models and state",
	})
	if err != nil {
		return nil, fmt.Errorf("open control endpoints: %w", err)
	}
	for _, e := range []struct {
		name, subject string
		handle        func(context.Context, micro.Request)
	}{
		{"load", l.bus.Subjects.Load(), l.onLoad},
		{"ls", l.bus.Subjects.Ls(), l.onLs},
		{"state", l.bus.Subjects.State(), l.onState},
	} {
		handler := micro.HandlerFunc(func(r micro.Request) { e.handle(ctx, r) })
		if err := service.AddEndpoint(e.name, handler, micro.WithEndpointSubject(e.subject)); err != nil {
			_ = service.Stop()
			return nil, fmt.Errorf("open endpoint %s: %w", e.name, err)
		}
	}
	return service, nil
}

// onLoad hands a load to the machine; answerLoad answers it.
func (l *leader) onLoad(ctx context.Context, r micro.Request) {
	var request protocol.LoadRequest
	if fault := bus.DecodeBody(r.Data(), &request); fault != nil {
		l.refuseControl(r, fault)
		return
	}
	l.mu.Lock()
	l.nextToken++
	token := l.nextToken
	l.loads[token] = pendingLoad{r, bus.EncodingOf(r.Data())}
	l.mu.Unlock()
	l.tell(ctx, startup.LoadAsked{Token: token, Request: request})
}

// answerLoad answers a load.
func (l *leader) answerLoad(reply startup.Reply) {
	l.mu.Lock()
	load, waiting := l.loads[reply.Token]
	delete(l.loads, reply.Token)
	l.mu.Unlock()
	if !waiting {
		return
	}
	if reply.Error != nil {
		l.refuseControl(load.request, reply.Error)
		return
	}
	l.logged("reply to a load", load.request.Respond(bus.EncodeBody(load.encoding, reply.Reply)))
}

func (l *leader) refuseLoads(e *protocol.Error) {
	l.mu.Lock()
	tokens := slices.Sorted(maps.Keys(l.loads))
	l.mu.Unlock()
	for _, token := range tokens {
		l.answerLoad(startup.Reply{Token: token, Error: e})
	}
}

func (l *leader) refuseControl(r micro.Request, e *protocol.Error) {
	body := bus.ErrorReply(bus.EncodingOf(r.Data()), r.Reply(), e).Data
	l.logged("reply", r.Error(strconv.Itoa(e.Code.Row().Number), e.Error(), body))
}

func (l *leader) onLs(ctx context.Context, r micro.Request) {
	l.work.Go(func() {
		var reply protocol.ModelList
		l.inTurn(ctx, func() { reply.Models = l.machine.Models() })
		l.logged("reply to ls", r.Respond(bus.EncodeBody(bus.EncodingOf(r.Data()), reply)))
	})
}

func (l *leader) onState(ctx context.Context, r micro.Request) {
	l.work.Go(func() {
		l.logged("reply to state", r.Respond(bus.EncodeBody(bus.EncodingOf(r.Data()), l.describe(ctx))))
	})
}

// describe shows what the machine knows, and what each worker says of itself.
func (l *leader) describe(ctx context.Context) protocol.StackState {
	var s protocol.StackState
	var workers []protocol.WorkerState
	l.inTurn(ctx, func() {
		s.Stage, s.Since, s.Models = l.stage, l.since, l.machine.Models()
		workers = l.machine.Workers()
		if left, counting := l.machine.Countdown(clock.Now()); counting {
			ms := milliseconds(left)
			s.CountdownMS = &ms
		}
	})
	s.Workers = l.askWorkers(ctx, workers)
	for i, w := range s.Workers {
		s.PageSize = w.PageSize
		s.Workers[i].Models, s.Workers[i].Profiles = nil, nil // they stand above
	}
	s.Epoch = l.door.schedulerEpoch()
	if n, err := l.buffer.Len(ctx); err == nil {
		s.Buffered = n
	}
	return s
}

// askWorkers asks all workers at once; one that does not answer is left out.
func (l *leader) askWorkers(ctx context.Context, workers []protocol.WorkerState) []protocol.WorkerState {
	answers := make([]*protocol.WorkerState, len(workers))
	var asking sync.WaitGroup
	for i, w := range workers {
		asking.Go(func() {
			r, err := l.caller.Do(ctx, w.ID, protocol.Action{Kind: protocol.GetWorkerState, Latest: protocol.Never})
			if err == nil {
				answers[i] = r.State
			}
		})
	}
	asking.Wait()
	states := make([]protocol.WorkerState, 0, len(workers))
	for _, a := range answers {
		if a != nil {
			states = append(states, *a)
		}
	}
	return states
}
