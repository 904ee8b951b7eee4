package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/nats-io/nats-server/v2/server"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
)

type brokerCommand struct {
	Listen string `placeholder:"HOST:PORT" help:"Address to listen on, by default 127.0.0.1:4222, or what --config says; port 0 takes a free one."`
	Data   string `placeholder:"DIR" help:"Directory of the state and the startup buffer; by default ./data/nats, or what --config says."`
	Config string `type:"existingfile" placeholder:"FILE" help:"A nats-server configuration to use instead of all else; clockwork keys makes one with roles. SIGHUP has it read again."`
	openFlag
}

// openFlag is of commands with a broker of their own.
type openFlag struct {
	Open bool `help:"Listen beyond this machine although nobody has to prove who they are: whoever reaches the broker may do everything."`
}

// defaultListen is where only this machine reaches the broker.
const defaultListen = "127.0.0.1:4222"

// Run runs a broker until it is told to stop.
func (k *brokerCommand) Run(con *console) error {
	s, err := k.start(con)
	if err != nil {
		return err
	}
	access := "with keys or passwords"
	if s.open {
		access = "open to whoever reaches it"
	}
	con.log.Info("broker listens", "url", s.ClientURL(), "data", s.StoreDir(), "access", access)
	again := make(chan os.Signal, 1)
	ctx, cancel := interruptible()
	if k.Config != "" { // a closed terminal then ends it no more
		cancel()
		signal.Notify(again, syscall.SIGHUP)
		defer signal.Stop(again)
		ctx, cancel = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	}
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			s.stop()
			return nil
		case <-again:
			s.reload(con, k.Open)
		}
	}
}

// reload has the configuration read again, unless the broker would be open by it.
func (b *broker) reload(con *console, open bool) {
	access, err := b.config.Access()
	if err == nil {
		err = mayBeOpen(access, open)
	}
	if err == nil {
		err = bus.ReloadServer(b.Server, b.config)
	}
	if err != nil {
		con.log.Error("configuration not read again", "error", err)
		return
	}
	con.log.Info("configuration read again", "file", b.config.ConfigFile)
}

// start leaves a configuration of the user's own as it is.
func (k *brokerCommand) start(con *console) (*broker, error) {
	if k.Config == "" {
		if k.Data == "" {
			k.Data = "./data/nats"
		}
		if k.Listen == "" {
			k.Listen = defaultListen
		}
		return startBroker(con, k.Listen, k.Data, k.Open)
	}
	config := bus.ServerConfig{ConfigFile: k.Config, DataDir: k.Data}
	if k.Listen != "" {
		at, err := serverConfig(k.Listen, "")
		if err != nil {
			return nil, err
		}
		config.Listen = &bus.Listen{Host: at.Host, Port: at.Port}
	}
	access, err := config.Access()
	if err != nil {
		return nil, usageError{err.Error()}
	}
	if err := mayBeOpen(access, k.Open); err != nil {
		return nil, err
	}
	s, err := bus.StartServer(config)
	if err != nil {
		return nil, err
	}
	con.warnOfOpen(access)
	return &broker{Server: s, config: config, open: access.Open, unlock: func() {}}, nil
}

// mayBeOpen refuses a broker that others than this machine reach without proving
// who they are, unless that was asked for by name.
func mayBeOpen(a bus.Access, asked bool) error {
	who := "whoever reaches it"
	switch {
	case asked:
		return nil
	case a.Open && !loopback(a.Host):
		return usageError{fmt.Sprintf(tooOpen, shownHost(a.Host), who)}
	case a.OpenRoutes && !loopback(a.RoutesHost):
		return usageError{fmt.Sprintf(tooOpen, shownHost(a.RoutesHost), who+" as a server of its cluster")}
	}
	return nil
}

const tooOpen = "the broker would listen on %s, and %s may do everything: give it keys (clockwork keys), or say --open if that is meant"

// warnOfOpen says so once more of a broker that was meant to be open.
func (con *console) warnOfOpen(a bus.Access) {
	if a.Open && !loopback(a.Host) || a.OpenRoutes && !loopback(a.RoutesHost) {
		con.log.Warn("the broker takes connections from other machines, and whoever reaches it may do everything", "listen", shownHost(a.Host))
	}
}

func shownHost(host string) string {
	if host == "" {
		return "every address"
	}
	return host
}

// broker is a running server, alone with its data.
type broker struct {
	*server.Server
	config bus.ServerConfig
	open   bool // nobody has to prove who they are
	unlock func()
}

func (b *broker) stop() {
	bus.StopServer(b.Server)
	b.unlock()
}

// startBroker starts a broker with Clockwork's settings.
func startBroker(con *console, listen, data string, open bool) (*broker, error) {
	config, err := serverConfig(listen, data)
	if err != nil {
		return nil, err
	}
	access := bus.Access{Host: config.Host, Open: true}
	if err := mayBeOpen(access, open); err != nil {
		return nil, err
	}
	if err := mayListen(listen); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, coded{protocol.StateUnavailable, fmt.Errorf("make data directory: %w; choose another with --data", err)}
	}
	unlock, err := lockData(data)
	if err != nil {
		return nil, coded{protocol.StateUnavailable, err}
	}
	s, err := bus.StartServer(config)
	if err != nil {
		unlock()
		return nil, err
	}
	con.warnOfOpen(access)
	return &broker{s, config, true, unlock}, nil
}

func serverConfig(listen, data string) (bus.ServerConfig, error) {
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return bus.ServerConfig{}, usageError{fmt.Sprintf("--listen %s: expected HOST:PORT, as in 127.0.0.1:4222", listen)}
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 0 || port > 65535 {
		return bus.ServerConfig{}, usageError{fmt.Sprintf("--listen %s: %q is no port", listen, portText)}
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return bus.ServerConfig{Host: host, Port: port, DataDir: data}, nil
}

// mayListen finds out at once what the server would take ten seconds to say
// without its reason.
func mayListen(listen string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return coded{protocol.StateUnavailable, fmt.Errorf("start the broker: %w; is one running already? Choose another with --listen", err)}
	}
	return l.Close()
}

// loopback reports whether only this machine can connect.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
