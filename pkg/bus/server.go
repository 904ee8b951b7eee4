package bus

import (
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// MaxPayload is what our servers carry in one message: one image tensor alone
// exceeds the broker's default of 1 MiB.
const MaxPayload = 8 << 20

// ServerConfig describes an embedded broker.
type ServerConfig struct {
	// Host and Port to listen on; port -1 takes a free one, DontListen serves
	// in-process connections only.
	Host       string
	Port       int
	DontListen bool
	// DataDir is where JetStream keeps its files.
	DataDir string
	// ConfigFile is a nats-server configuration that replaces everything else
	// but DataDir, when given.
	ConfigFile string
}

// StartServer starts an embedded nats-server with JetStream and the settings
// that Clockwork relies on. Stop it with StopServer.
func StartServer(c ServerConfig) (*server.Server, error) {
	options := &server.Options{
		ServerName:    "clockwork",
		Host:          c.Host,
		Port:          c.Port,
		DontListen:    c.DontListen,
		NoLog:         true,
		NoSigs:        true,
		JetStream:     true,
		StoreDir:      c.DataDir,
		SyncAlways:    true,
		MaxPayload:    MaxPayload,
		MaxPending:    64 << 20,
		WriteDeadline: 2 * time.Second,
		// Dropping surfaces as a counted time-out; stalling the producer would
		// delay every other request.
		NoFastProducerStall: true,
	}
	if c.ConfigFile != "" {
		fromFile, err := server.ProcessConfigFile(c.ConfigFile)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", c.ConfigFile, err)
		}
		fromFile.NoSigs = true
		if c.DataDir != "" {
			fromFile.StoreDir = c.DataDir
		}
		options = fromFile
	}
	s, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("start nats-server: %w", err)
	}
	if c.ConfigFile != "" {
		s.ConfigureLogger()
	}
	go s.Start() // ends with Shutdown; WaitForShutdown waits for it
	if !s.ReadyForConnections(10 * time.Second) {
		s.Shutdown()
		return nil, fmt.Errorf("start nats-server: not ready after 10s; is %s:%d taken?", c.Host, c.Port)
	}
	return s, nil
}

// StopServer ends an embedded server and waits until its files are closed.
func StopServer(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}
