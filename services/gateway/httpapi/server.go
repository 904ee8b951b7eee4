package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"clockwork/services/gateway/oip"
	"clockwork/services/gateway/page"
)

// Server hears HTTP.
type Server struct {
	config Config
	oip    *oip.Server
	http   *http.Server
	log    *slog.Logger
	page   *page.Data
	local  bool          // only this machine reaches the listener
	served chan struct{} // closed when no more connections are accepted
}

// NewServer makes a server; Start starts it.
func NewServer(config Config, of *oip.Server, log *slog.Logger) *Server {
	s := &Server{config: config, oip: of, log: log, page: page.NewData(of), local: onlyLocal(config.Listener), served: make(chan struct{})}
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: config.HeaderTime, IdleTimeout: config.IdleTime,
		MaxHeaderBytes: maxHeader,
		HTTP2:          &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s
}

// Start hears clients. failed is called at most once, when they are not heard any more.
func (s *Server) Start(failed func(error)) {
	go func() {
		defer close(s.served)
		err := s.http.Serve(newListener(&s.config))
		if !errors.Is(err, http.ErrServerClosed) {
			failed(fmt.Errorf("hear HTTP: %w", err))
		}
	}()
}

// Close ends each connection after the answer that it waits for.
func (s *Server) Close() { s.http.SetKeepAlivesEnabled(false) }

// closeWait bounds the wait for answers that are being written when the server stops.
const closeWait = time.Second

// Stop ends all connections, after the answers that are being written.
func (s *Server) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil { // a client does not read
		_ = s.http.Close()
	}
	<-s.served
}
