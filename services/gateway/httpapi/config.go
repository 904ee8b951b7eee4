package httpapi

import (
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// Config is the configuration of the ingress for HTTP.
type Config struct {
	// Listener is where HTTP is heard; the server closes it. Nil: it is not heard.
	Listener net.Listener
	// TLS is what clients speak within; nil: they speak without.
	TLS *tls.Config
	// Connections bounds the open connections. Others are told that there are too many.
	Connections int
	// HeaderTime and BodyTime bound how long a client may take to send its headers and its
	// body, AnswerTime how long it may take to read an answer, IdleTime how long a connection
	// stays open without a request.
	HeaderTime, BodyTime, AnswerTime, IdleTime time.Duration
}

// maxHeader bounds the headers of a request, in bytes; net/http adds 4 kB.
const maxHeader = 16 << 10

// maxStreams bounds the requests in flight of a connection with HTTP/2, which TLS alone has here.
const maxStreams = 128

// maxConnections is the largest bound of connections: each takes a file and some 20 kB.
const maxConnections = 65536

func DefaultConfig() Config {
	return Config{
		Connections: 1024,
		HeaderTime:  5 * time.Second,
		BodyTime:    10 * time.Second,
		AnswerTime:  10 * time.Second,
		IdleTime:    2 * time.Minute,
	}
}

// Validate returns an error that names the first invalid field.
func (c Config) Validate() error {
	if c.Connections < 1 || c.Connections > maxConnections {
		return fmt.Errorf("http-connections is %d; it must be from 1 to %d", c.Connections, maxConnections)
	}
	if c.HeaderTime <= 0 || c.BodyTime <= 0 || c.AnswerTime <= 0 || c.IdleTime <= 0 {
		return fmt.Errorf("the bounds of times must be positive")
	}
	return nil
}
