package main

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"

	"clockwork/pkg/bus"
	"clockwork/pkg/protocol"
)

type brokerCommand struct {
	Listen string `default:"127.0.0.1:4222" placeholder:"HOST:PORT" help:"Address to listen on, by default 127.0.0.1:4222; port 0 takes a free one."`
	Data   string `placeholder:"DIR" help:"Directory of the state and the startup buffer; by default ./data/nats, or what --config says."`
	Config string `type:"existingfile" placeholder:"FILE" help:"A nats-server configuration to use instead of all else."`
}

// Run runs a broker until it is told to stop.
func (k *brokerCommand) Run(con *console) error {
	if k.Config == "" && k.Data == "" {
		k.Data = "./data/nats"
	}
	s, err := k.start(con)
	if err != nil {
		return err
	}
	con.log.Info("broker listens", "url", s.ClientURL(), "data", s.StoreDir())
	ctx, cancel := interruptible()
	defer cancel()
	<-ctx.Done()
	s.stop()
	return nil
}

// start leaves a configuration of the user's own as it is.
func (k *brokerCommand) start(con *console) (*broker, error) {
	if k.Config == "" {
		return startBroker(con, k.Listen, k.Data)
	}
	s, err := bus.StartServer(bus.ServerConfig{ConfigFile: k.Config, DataDir: k.Data})
	if err != nil {
		return nil, err
	}
	return &broker{s, func() {}}, nil
}

// broker is a running server, alone with its data.
type broker struct {
	*server.Server
	unlock func()
}

func (b *broker) stop() {
	bus.StopServer(b.Server)
	b.unlock()
}

// startBroker starts a broker with Clockwork's settings.
func startBroker(con *console, listen, data string) (*broker, error) {
	config, err := serverConfig(listen, data)
	if err != nil {
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
	if !loopback(config.Host) {
		con.log.Warn("the broker takes connections from other machines, without passwords or encryption", "listen", listen)
	}
	return &broker{s, unlock}, nil
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
