package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// Server answers /metrics and the probes over HTTP, without authentication.
type Server struct {
	metrics  *Metrics
	http     *http.Server
	listener net.Listener
	served   chan struct{} // closed when no more connections are accepted
}

// Bounds for one client, or for all together.
const (
	maxConnections = 64
	maxScrapes     = 4
	maxHeader      = 16 << 10
	headerWait     = 5 * time.Second
	answerWait     = 30 * time.Second
	idleWait       = 2 * time.Minute
	closeWait      = time.Second
)

// Listen serves metrics on an address such as 127.0.0.1:9464 until Close; port 0 chooses
// a free port.
func Listen(address string, m *Metrics, log *slog.Logger) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("serve metrics on %s: another process listens there; choose another port, or 0 for a free one", address)
	}
	if err != nil {
		return nil, fmt.Errorf("serve metrics on %s: %w", address, err)
	}
	s := &Server{metrics: m, listener: listener, served: make(chan struct{})}
	s.http = &http.Server{
		Handler:           m.Handler(log),
		ReadHeaderTimeout: headerWait, ReadTimeout: headerWait, WriteTimeout: answerWait, IdleTimeout: idleWait,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.served)
		if err := s.http.Serve(netutil.LimitListener(listener, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics server stopped", "error", err)
		}
	}()
	log.Info("metrics server listens", "url", "http://"+s.Address()+"/metrics")
	return s, nil
}

// Address returns the address on which the server listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Close stops the server; responses in progress are completed.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) { // a client does not read
		err = s.http.Close()
	}
	<-s.served
	s.metrics.reader.settle()
	return err
}

// Handler returns a handler for /metrics and the probes.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
	}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, "alive", m.stuck()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { say(w, "ready", m.unready()) })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprintln(w, "Clockwork. Ask for /metrics, /livez or /readyz.")
	})
	return mux
}

// say answers a probe: 200 with the text well, or 503 with the reasons, one a line.
func say(w http.ResponseWriter, well string, reasons []string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if len(reasons) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		well = strings.Join(reasons, "\n")
	}
	_, _ = fmt.Fprintln(w, well) // the client may be gone
}

// stuck returns why the process should be restarted, nothing if it is alive.
func (m *Metrics) stuck() []string {
	if _, ok := m.reader.read(); !ok {
		return []string{fmt.Sprintf("the services did not give their numbers within %v: one of them holds its lock", m.reader.within)}
	}
	return nil
}

// unready returns why requests should go elsewhere, nothing if all services of the
// process can do their work.
func (m *Metrics) unready() []string {
	list, ok := m.reader.read()
	switch {
	case !ok:
		return m.stuck()
	case len(list) == 0:
		return []string{"no service is up yet"}
	}
	var reasons []string
	for i := range list {
		reasons = append(reasons, unready(&list[i])...)
	}
	return reasons
}

func unready(r *watch.Gauges) (reasons []string) {
	who := strings.TrimSpace(string(r.Service)+" "+r.Name) + ": "
	if r.Unready != "" {
		reasons = append(reasons, who+r.Unready)
	}
	switch d := r.FrontDoor; {
	case d == nil:
	case d.Stage < protocol.Querying:
		reasons = append(reasons, who+"it has not read the stage yet")
	default:
		if missing := (protocol.Serving{Stage: d.Stage, Epoch: d.Epoch, FrontDoor: protocol.FrontDoorOpen, Capacity: d.Capacity}).Missing(); missing != "" {
			reasons = append(reasons, who+missing)
		}
	}
	return reasons
}
