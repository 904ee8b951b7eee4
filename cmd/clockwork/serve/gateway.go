package serve

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/adapter/access"
	"clockwork/pkg/protocol"
	"clockwork/services/gateway"
)

// GatewayFlags are a gateway's flags; up has them too.
type GatewayFlags struct {
	HTTP            string `default:"127.0.0.1:8000" placeholder:"HOST:PORT" help:"Address for clients over HTTP (Open Inference Protocol), by default 127.0.0.1:8000; port 0 takes a free one, off is none." group:"Gateway"`
	Tokens          string `placeholder:"FILE" help:"Who may send requests over HTTP and gRPC: a line for each token, a tenant and the token's hash, as clockwork token writes them. Read again when it changes." group:"Gateway"`
	GatewayTLSCert  string `name:"gateway-tls-cert" placeholder:"FILE" help:"The gateway's certificate, in PEM: clients over HTTP and gRPC speak TLS. Read again when it changes, as the other files." group:"Gateway"`
	GatewayTLSKey   string `name:"gateway-tls-key" placeholder:"FILE" help:"The private key of the gateway's certificate, in PEM." group:"Gateway"`
	GatewayClientCA string `name:"gateway-tls-client-ca" placeholder:"FILE" help:"The authority, in PEM, that signed the certificates that clients must have." group:"Gateway"`
	HTTPConnections int    `name:"http-connections" default:"1024" placeholder:"N" help:"How many connections of HTTP may be open, by default 1024; others are answered 503." group:"Gateway"`
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
	if c.Gate, err = access.Open(f.files()); err != nil {
		return c, cli.Usagef("--tokens, --gateway-tls-cert, --gateway-tls-key, --gateway-tls-client-ca: %v", err)
	}
	return c, cli.Usage(c.Validate())
}

func (f GatewayFlags) files() access.Files {
	return access.Files{Tokens: f.Tokens, Cert: f.GatewayTLSCert, Key: f.GatewayTLSKey, ClientCA: f.GatewayClientCA}
}

// MayListen refuses what is no address, and one that other machines reach if nobody has to prove
// who they are. open: that is meant.
func (f GatewayFlags) MayListen(open bool) error {
	host, _, err := net.SplitHostPort(f.HTTP)
	if err != nil {
		return cli.Usagef("--http %s is no address such as 127.0.0.1:8000 or :8000", f.HTTP)
	}
	if !open && !Loopback(host) && !f.files().Proves() {
		return cli.Usagef("the gateway would listen on %s, and whoever reaches it may send requests to every model: ask for tokens (--tokens) or certificates (--gateway-tls-client-ca), or say --open if that is meant", shownHost(host))
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
