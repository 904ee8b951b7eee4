package bus

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"clockwork/pkg/protocol"
)

// MaxPayload is the largest message on our servers, in bytes: one image tensor alone
// exceeds the broker's default of 1 MiB.
const MaxPayload = 8 << 20

// MaxPending is how many bytes our servers keep for a connection that does not take them as
// fast as they come; beyond that, a server closes the connection. From MaxWaiting, three
// quarters of it, the server drops what comes: nobody is told, but whoever asks hears that
// nobody responds. A front door has fewer bytes in flight by default, so what it sends to
// one worker fits, and so does a burst of its clients. A connection that takes nothing for
// the write deadline, 2 s, is closed earlier; one that takes a part is not, however slow.
const (
	MaxPending = 640 << 20
	MaxWaiting = MaxPending / 4 * 3
)

// ServerConfig describes an embedded broker.
type ServerConfig struct {
	// Host and Port to listen on; port -1 takes a free one, DontListen serves in-process
	// connections only.
	Host       string
	Port       int
	DontListen bool
	// DataDir is JetStream's directory.
	DataDir string
	// MaxPayload bounds a message in bytes; 0 means the default.
	MaxPayload int32
	// Prefix is the prefix of the stack whose requests are put into lanes, "" for none.
	Prefix string
	// ConfigFile is a nats-server configuration that, if given, replaces everything but
	// DataDir and Listen.
	ConfigFile string
	// Listen, if not nil, replaces the address in ConfigFile.
	Listen *Listen
	// Log receives the server's warnings and errors, and its notices on level debug; nil for
	// none. A log file of ConfigFile gets them instead.
	Log *slog.Logger
}

// Listen is an address of a broker; port -1 takes a free one.
type Listen struct {
	Host string
	Port int
}

// options returns the settings that Clockwork relies on, or those of a file.
func (c ServerConfig) options() (*server.Options, error) {
	if c.ConfigFile == "" {
		return &server.Options{
			ServerName:    "clockwork",
			Host:          c.Host,
			Port:          c.Port,
			DontListen:    c.DontListen,
			NoLog:         true,
			NoSigs:        true,
			JetStream:     true,
			StoreDir:      c.DataDir,
			SyncAlways:    true,
			MaxPayload:    cmp.Or(c.MaxPayload, MaxPayload),
			MaxPending:    MaxPending,
			WriteDeadline: 2 * time.Second,
			WriteTimeout:  server.WriteTimeoutPolicyRetry,
			// Dropping surfaces as a counted time-out; stalling the producer would delay
			// every other request.
			NoFastProducerStall: true,
		}, nil
	}
	options, err := server.ProcessConfigFile(c.ConfigFile)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.ConfigFile, err)
	}
	options.NoSigs = true
	if most := options.MaxPayload; most != 0 && most < protocol.MinMessage {
		return nil, fmt.Errorf("read %s: max_payload is %d; Clockwork needs %d or more", c.ConfigFile, most, protocol.MinMessage)
	}
	if c.DataDir != "" {
		options.StoreDir = c.DataDir
	}
	if c.Listen != nil {
		options.Host, options.Port = c.Listen.Host, c.Listen.Port
	}
	return options, nil
}

// Access describes who may connect to a broker, by its settings.
type Access struct {
	// Host is the address for clients, RoutesHost the address for other servers of a
	// cluster: "" for none.
	Host, RoutesHost string
	// Open: clients need no credentials. OpenRoutes: servers need none.
	Open, OpenRoutes bool
	// StoreDir is what JetStream keeps its data under, "" without JetStream.
	StoreDir string
}

// Access reads the settings without starting a server.
func (c ServerConfig) Access() (Access, error) {
	o, err := c.options()
	if err != nil {
		return Access{}, err
	}
	open := o.Username == "" && o.Authorization == "" && len(o.Users) == 0 && len(o.Nkeys) == 0 &&
		len(o.TrustedOperators) == 0 && len(o.TrustedKeys) == 0 && o.AuthCallout == nil && !mutual(o.TLSConfig)
	a := Access{Host: o.Host, Open: open || o.NoAuthUser != ""}
	if o.JetStream {
		a.StoreDir = cmp.Or(o.StoreDir, filepath.Join(os.TempDir(), "nats")) // nats-server's own default
	}
	if o.Cluster.Port != 0 {
		a.RoutesHost, a.OpenRoutes = o.Cluster.Host, o.Cluster.Username == "" && !mutual(o.Cluster.TLSConfig)
	}
	return a, nil
}

// mutual reports whether a client must present a certificate.
func mutual(c *tls.Config) bool { return c != nil && c.ClientAuth == tls.RequireAndVerifyClientCert }

// StartServer starts an embedded nats-server with JetStream and the settings that
// Clockwork relies on. Stop it with StopServer.
func StartServer(c ServerConfig) (*server.Server, error) {
	options, err := c.options()
	if err != nil {
		return nil, err
	}
	s, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("start nats-server: %w", err)
	}
	switch {
	case options.LogFile != "" || options.Syslog:
		s.ConfigureLogger()
	case c.Log != nil:
		s.SetLogger(&serverLog{log: c.Log.With("service", "broker")}, false, false)
	case c.ConfigFile != "":
		s.ConfigureLogger()
	}
	if c.ConfigFile == "" && c.Prefix != "" {
		if err := s.GlobalAccount().AddMapping(protocol.Subjects{Prefix: c.Prefix}.LaneMapping()); err != nil {
			return nil, fmt.Errorf("start nats-server: put requests into lanes: %w", err)
		}
	}
	go s.Start() // ends with Shutdown; WaitForShutdown waits for it
	if !s.ReadyForConnections(10 * time.Second) {
		s.Shutdown()
		return nil, fmt.Errorf("start nats-server: not ready after 10s; is %s:%d taken?", options.Host, options.Port)
	}
	return s, nil
}

// ReloadServer makes a server read its configuration file again: users and their
// permissions, certificates. Users that no longer exist are disconnected.
//
// It does so twice: nats-server opens the imports of an account only if it knows the
// account already, so that a new user would reach JetStream with the next reload alone.
func ReloadServer(s *server.Server, c ServerConfig) error {
	for range 2 {
		options, err := c.options()
		if err != nil {
			return err
		}
		if err := s.ReloadOptions(options); err != nil {
			return fmt.Errorf("read %s again: %w", c.ConfigFile, err)
		}
	}
	return nil
}

// StopServer stops an embedded server and waits until its files are closed.
func StopServer(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}
