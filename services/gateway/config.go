package gateway

import (
	"fmt"
	"net"
	"time"

	"clockwork/services/frontdoor"
)

// Config is the configuration of a gateway.
type Config struct {
	// Config is that of its front door.
	frontdoor.Config
	// Listener is where HTTP is heard; the gateway closes it.
	Listener net.Listener
	// Version is this build's, as clients are told.
	Version string
	// Connections bounds the open connections. Others wait to be accepted.
	Connections int
	// HeaderTime and BodyTime bound how long a client may take to send its headers and its
	// body, AnswerTime how long it may take to read an answer, IdleTime how long a connection
	// stays open without a request.
	HeaderTime, BodyTime, AnswerTime, IdleTime time.Duration
	// ReadingBytes bounds the bodies that are being read, all together; beyond: OVERLOADED.
	ReadingBytes int64
}

// maxHeader bounds the headers of a request, in bytes; net/http adds 4 kB.
const maxHeader = 16 << 10

// maxConnections is the largest bound of connections: each takes a file and some 20 kB.
const maxConnections = 65536

func DefaultConfig() Config {
	return Config{
		Config:       frontdoor.DefaultConfig(),
		Connections:  1024,
		HeaderTime:   5 * time.Second,
		BodyTime:     10 * time.Second,
		AnswerTime:   10 * time.Second,
		IdleTime:     2 * time.Minute,
		ReadingBytes: 256 << 20,
	}
}

// Validate returns an error that names the first invalid field.
func (c Config) Validate() error {
	if c.Connections < 1 || c.Connections > maxConnections {
		return fmt.Errorf("http-connections is %d; it must be from 1 to %d", c.Connections, maxConnections)
	}
	if c.HeaderTime <= 0 || c.BodyTime <= 0 || c.AnswerTime <= 0 || c.IdleTime <= 0 || c.ReadingBytes <= 0 {
		return fmt.Errorf("the bounds of times and bytes must be positive")
	}
	return c.Config.Validate()
}
