package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"clockwork/cmd/clockwork/cli"
	"clockwork/cmd/clockwork/serve"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/services/controller"
)

type initCommand struct {
	BufferTimeout time.Duration `default:"10s" from:"10ms" to:"24h" help:"The controllers' --buffer-timeout: how long requests that come before activation may wait."`
	Timeout       time.Duration `default:"30s" env:"-" from:"1ms" to:"24h" help:"How long to wait for the broker."`
	serve.BrokerFlags
}

// Run creates a stack's streams and buckets in the broker.
func (k *initCommand) Run(c *cli.Flags, con *cli.Console) error {
	if err := k.Check(); err != nil {
		return err
	}
	config := controller.DefaultConfig()
	config.BufferTimeout = k.BufferTimeout
	if err := cli.Usage(config.Validate()); err != nil {
		return err
	}
	reach, err := c.BusConfig(con, k.Replicas)
	if err != nil {
		return err
	}
	reach.Name, reach.Bound, reach.Command = "init", false, true
	reach.Identity.Role = "operator"
	ctx, cancel := cli.Interruptible()
	defer cancel()
	waiting, end := context.WithTimeout(ctx, k.Timeout)
	defer end()
	buffer := bus.BufferConfig{Timeout: config.BufferTimeout, MaxRequests: config.BufferRequests, MaxBytes: config.BufferBytes}
	stores, unreadable, err := makeStores(waiting, reach, buffer)
	if denied := c.Denied(err); denied != nil {
		return denied
	}
	if err != nil {
		return cli.Interrupted(ctx, cli.WithCode(protocol.StateUnavailable, err))
	}
	if con.JSON {
		return cli.PrintJSON(con.Out, map[string]any{"stores": stores, "unreadable": unreadable})
	}
	for _, s := range stores {
		fmt.Fprintf(con.Out, "%-8s %-24s %s\n", s.Done, s.Name, s.Keeps)
	}
	if len(unreadable) > 0 {
		fmt.Fprintf(con.Out, "These values of the state cannot be read, and are replaced by the controller that leads: %s\n", strings.Join(unreadable, ", "))
	}
	return nil
}

// makeStores also returns the keys of the state whose values cannot be read.
func makeStores(ctx context.Context, reach bus.Config, buffer bus.BufferConfig) (stores []bus.Store, unreadable []string, err error) {
	b, err := bus.Open(ctx, reach)
	if err != nil {
		return nil, nil, err
	}
	defer b.Close()
	stores, err = b.MakeStores(ctx, buffer)
	if err == nil {
		unreadable, err = unreadableKeys(ctx, b)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w; is JetStream on, and are all servers of the cluster there?", err)
	}
	return stores, unreadable, err
}

func unreadableKeys(ctx context.Context, b *bus.Bus) ([]string, error) {
	state, err := b.OpenState(ctx)
	if err != nil {
		return nil, err
	}
	broken, _, err := state.Unreadable(ctx, 0)
	return append([]string{}, slices.Sorted(maps.Keys(broken))...), err
}
