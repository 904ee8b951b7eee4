package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"clockwork/pkg/client"
	"clockwork/pkg/protocol"
)

// connect reaches the stack that the flags name.
func (c *cli) connect() (*client.Client, error) { return client.Connect(c.NATS, c.Prefix) }

// interruptible ends with the first interrupt or termination.
func interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// failed turns a nil *protocol.Error into a nil error.
func failed(e *protocol.Error) error {
	if e == nil {
		return nil
	}
	return e
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
