package serve

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/protocol"
	"clockwork/services/gateway"
)

// GatewayFlags are a gateway's flags; up has them too.
type GatewayFlags struct {
	HTTP            string `default:"127.0.0.1:8000" placeholder:"HOST:PORT" help:"Address for clients over HTTP (Open Inference Protocol), by default 127.0.0.1:8000; port 0 takes a free one, off is none." group:"Gateway"`
	HTTPConnections int    `name:"http-connections" default:"1024" placeholder:"N" help:"How many connections of HTTP may be open, by default 1024; others wait to be accepted." group:"Gateway"`
}

// Off reports whether HTTP is not to be heard.
func (f GatewayFlags) Off() bool { return f.HTTP == "off" }

// Config returns the configuration that the flags describe, but for the listener.
func (f GatewayFlags) Config(of RequestFlags) (gateway.Config, error) {
	c := gateway.DefaultConfig()
	c.HTTP.Connections, c.Version = f.HTTPConnections, cli.ThisVersion().Version
	var err error
	if c.Config, err = of.Apply(c.Config); err != nil {
		return c, err
	}
	return c, cli.Usage(c.Validate())
}

// MayListen refuses what is no address, and one that other machines reach: nobody has to prove
// who they are. open: that is meant.
func (f GatewayFlags) MayListen(open bool) error {
	host, _, err := net.SplitHostPort(f.HTTP)
	if err != nil {
		return cli.Usagef("--http %s is no address such as 127.0.0.1:8000 or :8000", f.HTTP)
	}
	if !open && !Loopback(host) {
		return cli.Usagef("the gateway would listen on %s, and whoever reaches it may send requests to every model: put what asks for a password before it, or say --open if that is meant", shownHost(host))
	}
	return nil
}

// Listen opens the listener.
func (f GatewayFlags) Listen() (net.Listener, error) {
	listener, err := net.Listen("tcp", f.HTTP)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("another process listens on %s", f.HTTP)
	}
	if err != nil {
		return nil, cli.WithCode(protocol.StateUnavailable, fmt.Errorf("hear HTTP: %w; choose another address with --http", err))
	}
	return listener, nil
}
