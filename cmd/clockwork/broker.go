package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"clockwork/cmd/clockwork/cli"
	"clockwork/cmd/clockwork/serve"
)

type brokerCommand struct {
	Listen string `placeholder:"HOST:PORT" help:"Address to listen on, by default 127.0.0.1:4222, or what --config says; port 0 takes a free one."`
	Data   string `placeholder:"DIR" help:"Directory of the state and the startup buffer; by default ./data/nats, or what --config says."`
	Config string `type:"existingfile" placeholder:"FILE" help:"A nats-server configuration to use instead of all else; clockwork keys makes one with roles. SIGHUP has it read again."`
	serve.OpenFlag
}

// defaultListen is an address that only this machine can reach.
const defaultListen = "127.0.0.1:4222"

// Run runs a broker until a signal stops it.
func (k *brokerCommand) Run(c *cli.Flags, con *cli.Console) error {
	s, err := k.start(c, con)
	if err != nil {
		return err
	}
	access := "with keys or passwords"
	if s.Open {
		access = "open to whoever reaches it"
	}
	con.Log.Info("broker listens", "url", s.ClientURL(), "data", s.StoreDir(), "access", access)
	again := make(chan os.Signal, 1)
	ctx, cancel := cli.Interruptible()
	if k.Config != "" { // SIGHUP, also sent when a terminal closes, then reloads instead
		cancel()
		signal.Notify(again, syscall.SIGHUP)
		defer signal.Stop(again)
		ctx, cancel = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	}
	defer cancel()
	keeper, err := s.Keeper(con.Log)
	if err != nil {
		s.Stop()
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- keeper.Run(ctx) }()
	for {
		select {
		case err := <-failed: // nil once ctx has ended
			s.Stop()
			return err
		case <-again:
			s.ReadAgain(con, k.Open)
		}
	}
}

// start starts the broker that the flags describe.
func (k *brokerCommand) start(c *cli.Flags, con *cli.Console) (*serve.Broker, error) {
	if k.Config != "" && k.MaxPayload != 0 {
		return nil, cli.Usagef("--max-payload has no effect with --config: set max_payload in %s", k.Config)
	}
	if k.Config != "" {
		return serve.StartConfigured(con, k.Config, k.Listen, k.Data, k.Open)
	}
	if k.Data == "" {
		k.Data = "./data/nats"
	}
	if k.Listen == "" {
		k.Listen = defaultListen
	}
	return serve.StartBroker(con, c.Prefix, k.Listen, k.Data, k.OpenFlag)
}
