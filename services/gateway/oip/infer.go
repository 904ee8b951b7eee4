package oip

import (
	"context"
	"time"

	core "clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
	"clockwork/services/frontdoor"
)

// Infer is the way of one request through the front door. The exchange of an ingress holds
// it, and its goroutine waits here for the answer.
type Infer struct {
	server *Server
	door   *frontdoor.FrontDoor // that screened or took the request
	ended  chan core.Ended
}

// NewInfer begins a request.
func (s *Server) NewInfer() Infer { return Infer{server: s, ended: make(chan core.Ended, 1)} }

// Screen refuses a message that is refused whatever its body is, and reports whether it was
// answered with that. The error says why there is no front door.
func (i *Infer) Screen(in *core.Inbound, x frontdoor.Exchange, header map[string][]string) (refused bool, absent *protocol.Error) {
	absent = i.server.Behind(func(d *frontdoor.FrontDoor) {
		if refused, i.door = d.Screen(in, x, header), d; refused {
			i.countRefused(in.Model)
		}
	})
	return refused, absent
}

// MaxBody is how many bytes a body may have.
func (i *Infer) MaxBody() int64 { return i.door.MaxBody() }

// Take gives the message to the front door. The request is nil if it is answered; the error
// says why there is no front door.
func (i *Infer) Take(in *core.Inbound, x frontdoor.Exchange, header map[string][]string) (request *core.Request, absent *protocol.Error) {
	absent = i.server.Behind(func(d *frontdoor.FrontDoor) {
		if i.door, request = d, d.Take(in, x, header); request == nil {
			i.countRefused(in.Model)
		}
	})
	return request, absent
}

// countRefused counts a refusal, if there is such a model.
func (i *Infer) countRefused(model string) {
	if spec, unknown := i.door.Model(model); unknown == nil {
		i.server.statistics.refused(&spec)
	}
}

// Answer waits for the end of a request that was taken, and answers it. Once ctx is cancelled,
// nobody waits for the answer; at a deadline of ctx, the request ends by its own.
func (i *Infer) Answer(ctx context.Context, request *core.Request) {
	var e core.Ended
	select {
	case e = <-i.ended:
	case <-ctx.Done():
		if deadline, is := ctx.Deadline(); !is || time.Now().Before(deadline) {
			i.door.Gone(request)
		}
		e = <-i.ended
	}
	i.door.Send(&e)
	i.server.statistics.ended(&e)
}

// End implements that of frontdoor.Exchange: Answer waits for it.
func (i *Infer) End(e core.Ended) { i.ended <- e }

// Budget is the smallest of the budgets that a request names: in the header Clockwork-Timeout,
// in its parameters, and by the deadline of ctx.
func (s *Server) Budget(ctx context.Context, header string, p protocol.InferParameters) (time.Duration, *protocol.Error) {
	fallback := s.config.DefaultSLO
	deadline, bounded := ctx.Deadline()
	if bounded {
		fallback = min(time.Until(deadline), protocol.MaxSLO)
		if fallback <= 0 {
			return 0, protocol.Refusal(protocol.DeadlineExceeded)
		}
	}
	slo, fault := core.ReadSLO("", p, fallback)
	if fault != nil {
		return 0, fault
	}
	if header != "" {
		own, fault := core.ReadSLO(header, p, fallback)
		if fault != nil {
			return 0, fault
		}
		if p.SLOMS != nil || bounded {
			own = min(own, slo)
		}
		slo = own
	}
	if bounded {
		slo = min(slo, fallback)
	}
	return slo, nil
}
