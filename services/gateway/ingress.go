package gateway

import (
	"sync"

	"clockwork/services/gateway/grpcapi"
	"clockwork/services/gateway/httpapi"
	"clockwork/services/gateway/oip"
)

// ingress hears clients, and frames what they ask and are told.
type ingress interface {
	// Start hears clients; failed is called at most once, when they are not heard any more.
	Start(failed func(error))
	// Close has no connection live longer than the answers that it waits for.
	Close()
	// Stop ends all connections, after the answers that are being written. It may be called
	// again.
	Stop()
}

type ingresses []ingress

// ingresses are those that have a listener.
func (s *Service) ingresses(of *oip.Server) (list ingresses) {
	if s.config.HTTP.Listener != nil {
		list = append(list, httpapi.NewServer(s.config.HTTP, of, s.broker.Log))
	}
	if s.config.GRPC.Listener != nil {
		list = append(list, grpcapi.NewServer(s.config.GRPC, of, s.broker.Log))
	}
	return list
}

func (list ingresses) start(failed func(error)) {
	for _, in := range list {
		in.Start(failed)
	}
}

func (list ingresses) close() {
	for _, in := range list {
		in.Close()
	}
}

func (list ingresses) stop() {
	var all sync.WaitGroup
	for _, in := range list {
		all.Go(in.Stop)
	}
	all.Wait()
}
