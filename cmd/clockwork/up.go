package main

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"go.uber.org/fx"

	"clockwork/cmd/clockwork/cli"
	"clockwork/cmd/clockwork/serve"
	"clockwork/pkg/adapter/backend/onnx"
	"clockwork/pkg/lab/recorder"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
	"clockwork/services/gateway"
)

type upCommand struct {
	Listen string `default:"127.0.0.1:4222" placeholder:"HOST:PORT" help:"Address for clients and for workers of other processes, by default 127.0.0.1:4222; port 0 takes a free one."`
	Data   string `placeholder:"DIR" help:"Keep stage, models and profiles here, and go on with them next time; by default they go with the process."`
	serve.OpenFlag
	serve.GatewayFlags
	serve.StackFlags
	serve.StackRecordFlags
	serve.TelemetryFlags
	serve.RequestLogFlags
	serve.ActionLogFlags
	serve.RotateFlags
}

// Run runs the stack until a signal stops it.
func (k *upCommand) Run(c *cli.Flags, con *cli.Console) error {
	return k.Heard(con, func(hub *watch.Hub) error {
		return k.Recorded(func(to *recorder.Direct) error {
			parts, err := k.Parts(hub, to, con.Log)
			if err != nil {
				return err
			}
			http, says, err := k.gateway(hub, to)
			if err != nil {
				return err
			}
			return k.up(c, con, k.Shutdown(hub, con.Log), fx.Options(parts, http), says)
		})
	}, k.OpenRequestLog(k.RotateFlags), k.OpenActionLog(k.RotateFlags))
}

// gateway returns the gateway and what is said of it below the guide. An address in use leaves
// all else as it is.
func (k *upCommand) gateway(hub *watch.Hub, to *recorder.Direct) (part fx.Option, says string, err error) {
	if k.Off() {
		return fx.Options(), "", nil
	}
	if err := k.MayListen(k.Open); err != nil {
		return nil, "", err
	}
	config, err := k.GatewayFlags.Config(k.RequestFlags)
	if err != nil {
		return nil, "", err
	}
	heard := false
	for _, in := range k.Ingresses(&config) {
		if err := in.Listen(); err != nil {
			says += fmt.Sprintf("No %s: %v.\n", in.Name, err)
			continue
		}
		heard = true
		says += fmt.Sprintf("%s, by the Open Inference Protocol: %s\n", in.Name, in.Local())
	}
	if !heard {
		return fx.Options(), says, nil
	}
	config.Telemetry = hub
	serve.RecordFrontDoor(&config.Config, to)
	return fx.Options(fx.Supply(config), gateway.Module), says, nil
}

func (k *upCommand) up(c *cli.Flags, con *cli.Console, end *serve.Shutdown, parts fx.Option, says string) (err error) {
	s, err := serve.OpenStack(c, con, k.Listen, k.Data, k.OpenFlag)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	s.Line(k.guide(localURL(s.Broker.ClientURL()), c) + says)
	if err := s.Start(c, con, parts); err != nil {
		return err
	}
	if err := s.App.AwaitEnd(end); err != nil {
		return err
	}
	s.Line("stopping")
	return nil
}

// guide tells a newcomer what to do next.
func (k *upCommand) guide(url string, c *cli.Flags) string {
	command := "clockwork"
	if !strings.HasSuffix(url, "127.0.0.1:4222") {
		command += " --nats " + url
	}
	if c.Prefix != "clockwork" {
		command += " --prefix " + c.Prefix
	}
	kept := "Models and profiles are forgotten at the end; --data DIR keeps them."
	if k.Data != "" {
		kept = "State is kept in " + k.Data + ": a stack that was active goes on with its models."
	}
	model := "zoo/resnet50_v2"
	if k.Backend == onnx.Name {
		if found := onnx.Models(k.Models); len(found) > 0 {
			model = found[0]
		}
	}
	who := "on this machine"
	if host, _, err := net.SplitHostPort(k.Listen); err != nil || !serve.Loopback(host) {
		who = "that reaches it"
	}
	each := ""
	if k.Workers > 1 {
		each = " each"
	}
	return fmt.Sprintf(`Clockwork is up on %s: %s with %s%s, %s.

In another terminal:
  %s load %s
  %s infer %s
  %s state

Any NATS client %s may do the same, and without a password. Ctrl-C ends it.
%s
`, url, cli.Count(k.Workers, "worker"), cli.Count(k.GPUs, "GPU"), each, k.Backend,
		command, model, command, protocol.NameOfPath(model), command, who, kept)
}

// localURL returns the broker's URL for clients on this machine.
func localURL(url string) string {
	scheme, address, _ := strings.Cut(url, "//")
	return scheme + "//" + serve.LocalAddress(address)
}
