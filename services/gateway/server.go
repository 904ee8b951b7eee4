package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"clockwork/pkg/protocol"
	"clockwork/services/frontdoor"
)

// server is the HTTP side of a gateway.
type server struct {
	config  Config
	http    *http.Server
	log     *slog.Logger
	failed  chan error    // HTTP is not heard any more
	served  chan struct{} // closed when no more connections are accepted
	reading atomic.Int64  // bytes of bodies that are being read

	// mu is held for reading while the front door takes a message, so that it takes none after
	// it is stopped.
	mu     sync.RWMutex
	door   *frontdoor.FrontDoor // nil before open and after close
	absent *protocol.Error      // why there is none
}

func newServer(config Config, log *slog.Logger) *server {
	s := &server{config: config, log: log, failed: make(chan error, 1), served: make(chan struct{}),
		absent: protocol.Errorf(protocol.StateUnavailable, "the gateway starts: it has not reached the broker yet, or what the stack keeps there")}
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: config.HeaderTime, IdleTimeout: config.IdleTime,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s
}

// start hears clients.
func (s *server) start() {
	go func() {
		defer close(s.served)
		err := s.http.Serve(netutil.LimitListener(s.config.Listener, s.config.Connections))
		if !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("hear HTTP: %w", err)
		}
	}()
}

// open serves through a front door from now on.
func (s *server) open(door *frontdoor.FrontDoor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.door = door
}

// close gives the front door no more messages. Those that it has are answered yet.
func (s *server) close() {
	s.http.SetKeepAlivesEnabled(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.door, s.absent = nil, protocol.Refusal(protocol.ShuttingDown)
}

// closeWait bounds the wait for answers that are being written when the server stops.
const closeWait = time.Second

// stop ends all connections, after the answers that are being written.
func (s *server) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil { // a client does not read
		_ = s.http.Close()
	}
	<-s.served
}

// behind calls f with the front door, while it cannot stop. The error says why there is none.
func (s *server) behind(f func(*frontdoor.FrontDoor)) *protocol.Error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.door == nil {
		return s.absent
	}
	f(s.door)
	return nil
}

// unready returns why requests are not served now, or soon are not; "" if they are.
func (s *server) unready() (why string) {
	if s.config.Telemetry.IsStopping() {
		return "the process stops"
	}
	if absent := s.behind(func(d *frontdoor.FrontDoor) { why = d.Missing() }); absent != nil {
		return absent.Message
	}
	return why
}
