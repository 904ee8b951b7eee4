package oip

import (
	"sync"
	"sync/atomic"
	"time"

	"clockwork/pkg/adapter/access"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
	"clockwork/services/frontdoor"
)

// Config is the configuration of a server.
type Config struct {
	// Version is this build's, as clients are told.
	Version string
	// DefaultSLO applies to requests that name no budget.
	DefaultSLO time.Duration
	// ReadingBytes bounds the bodies that are being read, all together; beyond: OVERLOADED.
	ReadingBytes int64
	// Gate lets clients in; nil lets everybody in.
	Gate *access.Gate
	// Telemetry says when the process begins to stop; nil for never.
	Telemetry *watch.Hub
}

// Server is what all ingresses of a gateway serve: one front door, or why there is none. Any
// goroutine may use it.
type Server struct {
	config     Config
	statistics statistics
	reading    atomic.Int64 // bytes of bodies that are being read

	// mu is held for reading while the front door takes a message, so that it takes none after
	// it is stopped.
	mu     sync.RWMutex
	door   *frontdoor.FrontDoor // nil before Open and after Close
	absent *protocol.Error      // why there is none
}

// NewServer makes a server without a front door; Open gives it one.
func NewServer(config Config) *Server {
	return &Server{config: config, statistics: statistics{byModel: map[string]*counts{}},
		absent: protocol.Errorf(protocol.StateUnavailable, "the gateway starts: it has not reached the broker yet, or what the stack keeps there")}
}

// Tenant returns whose request it is, by its header Authorization: "" for nobody in particular.
func (s *Server) Tenant(authorization string) (tenant string, refusal *protocol.Error) {
	return s.config.Gate.Tenant(authorization)
}

// Open serves through a front door from now on.
func (s *Server) Open(door *frontdoor.FrontDoor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.door = door
}

// Close gives the front door no more messages. Those that it has are answered yet.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.door, s.absent = nil, protocol.Refusal(protocol.ShuttingDown)
}

// Behind calls f with the front door, while it cannot stop. The error says why there is none.
func (s *Server) Behind(f func(*frontdoor.FrontDoor)) *protocol.Error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.door == nil {
		return s.absent
	}
	f(s.door)
	return nil
}

// Unready returns why requests are not served now, or soon are not; "" if they are.
func (s *Server) Unready() (why string) {
	if s.config.Telemetry.IsStopping() {
		return "the process stops"
	}
	if absent := s.Behind(func(d *frontdoor.FrontDoor) { why = d.Missing() }); absent != nil {
		return absent.Message
	}
	return why
}

// ModelUnready returns why requests to a model are not served now: none are, or only others.
func (s *Server) ModelUnready(model string) string {
	why := s.Unready()
	if why == "" {
		_ = s.Behind(func(d *frontdoor.FrontDoor) { why = d.Unserved(model) }) // without one, Unready says so
	}
	return why
}
