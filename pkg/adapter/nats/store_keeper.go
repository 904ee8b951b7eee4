package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"clockwork/pkg/adapter/clock"
)

// StoreKeeper watches the JetStream of an embedded server. After a failed write, as on a
// full disk, a stream refuses every write until it is read from the disk again, also once
// there is room; reads succeed all the time, so that everything looks healthy. The keeper
// says so at once, and when the disk takes writes again it restarts JetStream inside the
// server. Connections stay, and messages that need no store pass all the time.
type StoreKeeper struct {
	server *server.Server
	// dir is the data directory; JetStream has a directory inside it.
	dir    string
	config server.JetStreamConfig
	log    *slog.Logger
	// every is the pause between two looks.
	every time.Duration
	// since is when writes began to fail, zero while they succeed; restarts counts those
	// of JetStream since then.
	since    time.Time
	restarts int
}

const (
	// keepEvery is the pause between two looks at the streams.
	keepEvery = time.Second
	// maxRestarts is after how many restarts of JetStream in vain Run gives up.
	maxRestarts = 5
	// roomNeeded is what must fit on the disk before JetStream is restarted, in bytes.
	roomNeeded = 16 << 20
)

// NewStoreKeeper returns the keeper of a server that was started with a configuration.
func NewStoreKeeper(s *server.Server, c ServerConfig, log *slog.Logger) (*StoreKeeper, error) {
	o, err := c.options()
	if err != nil {
		return nil, err
	}
	config := server.JetStreamConfig{
		StoreDir: o.StoreDir, SyncInterval: o.SyncInterval, SyncAlways: o.SyncAlways,
		MaxMemory: o.JetStreamMaxMemory, MaxStore: o.JetStreamMaxStore,
		Domain: o.JetStreamDomain, UniqueTag: o.JetStreamUniqueTag, CompressOK: true, Strict: !o.NoJetStreamStrict,
	}
	return &StoreKeeper{server: s, dir: o.StoreDir, config: config, log: log, every: keepEvery}, nil
}

// Run watches until ctx ends. It returns an error if the store cannot be had back within
// the process: in a cluster, where a server must join its peers anew, or when restarts of
// JetStream do not help. The process should end then, for its supervisor to restart it.
func (k *StoreKeeper) Run(ctx context.Context) error {
	for clock.Pause(ctx, k.every) {
		if err := k.look(); err != nil {
			return err
		}
	}
	return nil
}

func (k *StoreKeeper) look() error {
	fault := k.fault()
	switch {
	case fault == nil && k.since.IsZero():
		return nil
	case fault == nil:
		k.log.Info("the broker's store takes writes again", "after", time.Since(k.since).Round(time.Second))
		k.since, k.restarts = time.Time{}, 0
		return nil
	case k.since.IsZero():
		k.since = time.Now()
		k.log.Error("the broker's store takes no writes: models that are loaded are served, but nothing can be loaded, "+
			"and nothing that changes is kept", "data", k.dir, "error", fault)
	}
	if k.server.JetStreamIsClustered() {
		return fmt.Errorf("the broker's store takes no writes: %w; this server must join its cluster anew", fault)
	}
	if err := hasRoom(k.dir); err != nil {
		return nil // it is said already; the disk may be emptied
	}
	if k.restarts == maxRestarts {
		return fmt.Errorf("the broker's store takes no writes after %d restarts of JetStream: %w", k.restarts, fault)
	}
	k.restarts++
	return k.restart()
}

// fault returns why a stream takes no writes, nil if all do. What else the server finds,
// such as the directory of a stream that is just being made, or a cluster without a leader, a
// restart would not help.
func (k *StoreKeeper) fault() error {
	if !k.server.JetStreamEnabled() {
		return errors.New("JetStream is closed")
	}
	for _, e := range k.server.Healthz(&server.HealthzOptions{Details: true}).Errors {
		if strings.Contains(e.Error, "write error") {
			return errors.New(e.Error)
		}
	}
	return nil
}

// restart closes JetStream and opens it with what is on the disk.
func (k *StoreKeeper) restart() error {
	if err := k.server.ShutdownJetStream(); err != nil {
		return fmt.Errorf("stop JetStream: %w", err)
	}
	config := k.config
	if err := k.server.EnableJetStream(&config); err != nil {
		k.log.Warn("JetStream does not start again", "error", err) // the next look tries again
		return k.server.ShutdownJetStream()                        // it counts as started, with nothing in it
	}
	return nil
}

// hasRoom writes a file and removes it.
func hasRoom(dir string) (err error) {
	f, err := os.Create(filepath.Join(dir, "room"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	block := make([]byte, 1<<20)
	for range roomNeeded / len(block) {
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	return f.Sync()
}
