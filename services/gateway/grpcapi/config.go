package grpcapi

import (
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// Config is the configuration of the ingress for gRPC.
type Config struct {
	// Listener is where gRPC is heard; the server closes it. Nil: it is not heard.
	Listener net.Listener
	// TLS is what clients speak within; nil: they speak without.
	TLS *tls.Config
	// Connections bounds the open connections. Others wait to be accepted.
	Connections int
	// Calls bounds the calls of one connection that are open; others wait at the client.
	Calls uint32
	// WaitingCalls bounds the calls of all connections whose message has not come yet, and
	// Streams those that take many messages; beyond: OVERLOADED.
	WaitingCalls, Streams int64
	// StreamInFlight bounds the requests of one ModelStreamInfer that have no answer yet:
	// further ones are not read.
	StreamInFlight int
	// MaxMessage bounds a message, in bytes, also uncompressed: somewhat more than its inputs
	// may have, so that a client who is little above that is told so in our terms.
	MaxMessage int
	// MessageTime bounds how long a client may take to send a message that it has begun, and
	// the one of a call that takes one; AnswerTime how long it may take to read an answer.
	// Beyond, its connection ends.
	MessageTime, AnswerTime time.Duration
	// IdleTime is how long a connection stays open without a call.
	IdleTime time.Duration
	// UnreadBytes bounds the answers that clients of all connections have not read yet;
	// beyond, new requests are OVERLOADED.
	UnreadBytes int64
}

// maxConnections is the largest bound of connections: each takes a file and some 40 kB.
const maxConnections = 65536

func DefaultConfig() Config {
	return Config{
		Connections:    1024,
		Calls:          256,
		WaitingCalls:   8192,
		Streams:        1024,
		StreamInFlight: 256,
		MaxMessage:     9 << 20,
		MessageTime:    10 * time.Second,
		AnswerTime:     10 * time.Second,
		IdleTime:       2 * time.Minute,
		UnreadBytes:    256 << 20,
	}
}

// Validate returns an error that names the first invalid field.
func (c Config) Validate() error {
	if c.Connections < 1 || c.Connections > maxConnections {
		return fmt.Errorf("grpc-connections is %d; it must be from 1 to %d", c.Connections, maxConnections)
	}
	if c.Calls < 1 || c.WaitingCalls < 1 || c.Streams < 1 || c.StreamInFlight < 1 || c.MaxMessage < 1 || c.UnreadBytes < 1 {
		return fmt.Errorf("the bounds of calls and bytes must be positive")
	}
	if c.MessageTime <= 0 || c.AnswerTime <= 0 || c.IdleTime <= 0 {
		return fmt.Errorf("the bounds of times must be positive")
	}
	return nil
}
