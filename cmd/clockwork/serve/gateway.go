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
	GRPC            string `name:"grpc" default:"127.0.0.1:8001" placeholder:"HOST:PORT" help:"Address for clients over gRPC (Open Inference Protocol), by default 127.0.0.1:8001; port 0 takes a free one, off is none." group:"Gateway"`
	GRPCConnections int    `name:"grpc-connections" default:"1024" placeholder:"N" help:"How many connections of gRPC may be open, by default 1024; others wait to be accepted." group:"Gateway"`
}

// off is the address of an ingress that is not to be heard.
const off = "off"

// Off reports whether nothing is to be heard.
func (f GatewayFlags) Off() bool { return f.HTTP == off && f.GRPC == off }

// Config returns the configuration that the flags describe, but for the listeners.
func (f GatewayFlags) Config(of RequestFlags) (gateway.Config, error) {
	c := gateway.DefaultConfig()
	c.HTTP.Connections, c.GRPC.Connections, c.Version = f.HTTPConnections, f.GRPCConnections, cli.ThisVersion().Version
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

// Ingress is a protocol that a gateway may hear, and where.
type Ingress struct {
	// Name is what people call it; clients write URL before the address and Path behind it.
	Name, URL, Path string
	flag, address   string
	listener        *net.Listener // of the configuration
}

// Ingresses are those that are to be heard.
func (f GatewayFlags) Ingresses(c *gateway.Config) (list []Ingress) {
	web := "http://"
	if f.GatewayTLSCert != "" {
		web = "https://"
	}
	for _, in := range []Ingress{
		{"HTTP", web, "/v2", "--http", f.HTTP, &c.HTTP.Listener},
		{"gRPC", "", "", "--grpc", f.GRPC, &c.GRPC.Listener},
	} {
		if in.address != off {
			list = append(list, in)
		}
	}
	return list
}

// MayListen refuses what is no address, and one that other machines reach if nobody has to prove
// who they are. open: that is meant.
func (f GatewayFlags) MayListen(open bool) error {
	for _, in := range f.Ingresses(&gateway.Config{}) {
		host, _, err := splitAddress(in.flag, in.address)
		if err != nil {
			return err
		}
		if !open && !Loopback(host) && !f.files().Proves() {
			return cli.Usagef("the gateway would listen on %s, and whoever reaches it may send requests to every model: ask for tokens (--tokens) or certificates (--gateway-tls-client-ca), or say --open if that is meant", shownHost(host))
		}
	}
	return nil
}

// Listen opens the listener.
func (in Ingress) Listen() error {
	listener, err := net.Listen("tcp", in.address)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("another process listens on %s", in.address)
	}
	if err != nil {
		return cli.WithCode(protocol.StateUnavailable, fmt.Errorf("hear %s: %w; choose another address with %s", in.Name, err, in.flag))
	}
	*in.listener = listener
	return nil
}

// Close closes the listener, unless there is none or the gateway has closed it.
func (in Ingress) Close() {
	if *in.listener != nil {
		_ = (*in.listener).Close()
	}
}

// Address is where it listens, as clients write it.
func (in Ingress) Address() string { return in.URL + (*in.listener).Addr().String() + in.Path }

// Local is Address for clients on this machine, also if it listens on every address.
func (in Ingress) Local() string {
	return in.URL + LocalAddress((*in.listener).Addr().String()) + in.Path
}
