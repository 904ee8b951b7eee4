package serve

import (
	"fmt"
	"log/slog"
	"net"
	"os"

	"github.com/nats-io/nats-server/v2/server"

	"clockwork/cmd/clockwork/cli"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
)

// OpenFlag is for commands that run a broker.
type OpenFlag struct {
	MaxPayload cli.ByteSize `placeholder:"SIZE" from:"64KiB" to:"64MiB" help:"The largest message: a request with all of its inputs, an answer with all of its outputs; by default 8MiB."`
	Open       bool         `help:"Listen beyond this machine although nobody has to prove who they are: whoever reaches the broker may do everything."`
}

// ReadAgain reloads the configuration, unless it would make the broker open.
func (b *Broker) ReadAgain(con *cli.Console, open bool) {
	access, err := b.config.Access()
	if err == nil {
		err = mayBeOpen(access, open)
	}
	if err == nil {
		err = bus.ReloadServer(b.Server, b.config)
	}
	if err != nil {
		con.Log.Error("configuration not reloaded", "error", err)
		return
	}
	con.Log.Info("configuration reloaded", "file", b.config.ConfigFile)
}

// mayBeOpen refuses a broker that other machines can reach without credentials, unless
// --open allows it.
func mayBeOpen(a bus.Access, asked bool) error {
	who := "whoever reaches it"
	switch {
	case asked:
		return nil
	case a.Open && !Loopback(a.Host):
		return cli.Usagef(tooOpen, shownHost(a.Host), who)
	case a.OpenRoutes && !Loopback(a.RoutesHost):
		return cli.Usagef(tooOpen, shownHost(a.RoutesHost), who+" as a server of its cluster")
	}
	return nil
}

const tooOpen = "the broker would listen on %s, and %s may do everything: give it keys (clockwork keys), or say --open if that is meant"

// warnOfOpen logs a warning about a broker that is open on purpose.
func warnOfOpen(con *cli.Console, a bus.Access) {
	if a.Open && !Loopback(a.Host) || a.OpenRoutes && !Loopback(a.RoutesHost) {
		con.Log.Warn("the broker takes connections from other machines, and whoever reaches it may do everything", "listen", shownHost(a.Host))
	}
}

func shownHost(host string) string {
	if host == "" {
		return "every address"
	}
	return host
}

// Broker is a running server with exclusive use of its data directory.
type Broker struct {
	*server.Server
	config bus.ServerConfig
	Open   bool // no credentials are needed
	unlock func()
}

// Keeper returns what watches the broker's store.
func (b *Broker) Keeper(log *slog.Logger) (*bus.StoreKeeper, error) {
	return bus.NewStoreKeeper(b.Server, b.config, log)
}

// Stop stops the broker.
func (b *Broker) Stop() {
	bus.StopServer(b.Server)
	b.unlock()
}

// StartBroker starts a broker with Clockwork's settings, for the stack of a prefix.
func StartBroker(con *cli.Console, prefix, listen, data string, flag OpenFlag) (*Broker, error) {
	config, err := serverConfig(listen, data)
	if err != nil {
		return nil, err
	}
	config.MaxPayload, config.Prefix = int32(flag.MaxPayload), prefix
	open := flag.Open
	access := bus.Access{Host: config.Host, Open: true}
	if err := mayBeOpen(access, open); err != nil {
		return nil, err
	}
	if err := mayListen(listen); err != nil {
		return nil, err
	}
	return start(con, config, access, data)
}

// start starts a broker that has its data directory to itself; data is "" without JetStream.
func start(con *cli.Console, config bus.ServerConfig, access bus.Access, data string) (*Broker, error) {
	unlock := func() {}
	if data != "" {
		if err := os.MkdirAll(data, 0o700); err != nil {
			return nil, cli.WithCode(protocol.StateUnavailable, fmt.Errorf("make data directory: %w; choose another with --data", err))
		}
		var err error
		if unlock, err = LockData(data); err != nil {
			return nil, cli.WithCode(protocol.StateUnavailable, err)
		}
	}
	config.Log = con.Log
	s, err := bus.StartServer(config)
	if err != nil {
		unlock()
		return nil, err
	}
	warnOfOpen(con, access)
	return &Broker{s, config, access.Open, unlock}, nil
}

// StartConfigured starts a broker with the user's own configuration, in which only
// listen and data are replaced.
func StartConfigured(con *cli.Console, file, listen, data string, open bool) (*Broker, error) {
	config := bus.ServerConfig{ConfigFile: file, DataDir: data}
	if listen != "" {
		at, err := serverConfig(listen, "")
		if err != nil {
			return nil, err
		}
		config.Listen = &bus.Listen{Host: at.Host, Port: at.Port}
	}
	access, err := config.Access()
	if err != nil {
		return nil, cli.Usage(err)
	}
	if err := mayBeOpen(access, open); err != nil {
		return nil, err
	}
	return start(con, config, access, access.StoreDir)
}

func serverConfig(listen, data string) (bus.ServerConfig, error) {
	host, port, err := splitAddress("--listen", listen)
	if err != nil {
		return bus.ServerConfig{}, err
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return bus.ServerConfig{Host: host, Port: port, DataDir: data}, nil
}

// mayListen finds an unusable address at once; the server would need ten seconds and not
// give the reason.
func mayListen(listen string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return cli.WithCode(protocol.StateUnavailable, fmt.Errorf("start the broker: %w; is one running already? Choose another with --listen", err))
	}
	return l.Close()
}

// Loopback reports whether only this machine can connect.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
