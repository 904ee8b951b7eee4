package main

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
)

// openFlag is of commands with a broker of their own.
type openFlag struct {
	Open bool `help:"Listen beyond this machine although nobody has to prove who they are: whoever reaches the broker may do everything."`
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

// mayBeOpen refuses a broker that others than this machine reach without proving
// who they are, unless that was asked for by name.
func mayBeOpen(a bus.Access, asked bool) error {
	who := "whoever reaches it"
	switch {
	case asked:
		return nil
	case a.Open && !loopback(a.Host):
		return usagef(tooOpen, shownHost(a.Host), who)
	case a.OpenRoutes && !loopback(a.RoutesHost):
		return usagef(tooOpen, shownHost(a.RoutesHost), who+" as a server of its cluster")
	}
	return nil
}

const tooOpen = "the broker would listen on %s, and %s may do everything: give it keys (clockwork keys), or say --open if that is meant"

// warnOfOpen says so once more of a broker that was meant to be open.
func warnOfOpen(con *console, a bus.Access) {
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
		return nil, withCode(protocol.StateUnavailable, fmt.Errorf("make data directory: %w; choose another with --data", err))
	}
	unlock, err := lockData(data)
	if err != nil {
		return nil, withCode(protocol.StateUnavailable, err)
	}
	s, err := bus.StartServer(config)
	if err != nil {
		unlock()
		return nil, err
	}
	warnOfOpen(con, access)
	return &broker{s, config, true, unlock}, nil
}

// startConfigured starts a broker by a configuration of the user's own, which it leaves
// as it is but for what listen and data say.
func startConfigured(con *console, file, listen, data string, open bool) (*broker, error) {
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
		return nil, usage(err)
	}
	if err := mayBeOpen(access, open); err != nil {
		return nil, err
	}
	s, err := bus.StartServer(config)
	if err != nil {
		return nil, err
	}
	warnOfOpen(con, access)
	return &broker{Server: s, config: config, open: access.Open, unlock: func() {}}, nil
}

func serverConfig(listen, data string) (bus.ServerConfig, error) {
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return bus.ServerConfig{}, usagef("--listen %s: expected HOST:PORT, as in 127.0.0.1:4222", listen)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 0 || port > 65535 {
		return bus.ServerConfig{}, usagef("--listen %s: %q is no port", listen, portText)
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
		return withCode(protocol.StateUnavailable, fmt.Errorf("start the broker: %w; is one running already? Choose another with --listen", err))
	}
	return l.Close()
}

// loopback reports whether only this machine can connect.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
