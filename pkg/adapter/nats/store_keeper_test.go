package bus

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// kept returns a broker with a store, its keeper and what the keeper logs.
func kept(t *testing.T) (*server.Server, *StoreKeeper, *bytes.Buffer) {
	t.Helper()
	config := ServerConfig{DontListen: true, DataDir: t.TempDir()}
	s, err := StartServer(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { StopServer(s) })
	log := &bytes.Buffer{}
	k, err := NewStoreKeeper(s, config, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return s, k, log
}

// A store that closed itself is opened again with what was in it, and writes succeed; what
// happened is said once when it begins and once when it ends. Connections stay.
func TestAClosedStoreIsOpenedAgain(t *testing.T) {
	ctx := limited(t)
	s, k, log := kept(t)
	b, err := Open(ctx, Config{InProcess: s, Prefix: "clockwork"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	kv, err := b.JS.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "b"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(ctx, "before", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if err := k.look(); err != nil || log.Len() > 0 {
		t.Fatalf("while all is well: %v, %s", err, log)
	}
	if err := s.ShutdownJetStream(); err != nil { // as the server does after a failed write
		t.Fatal(err)
	}
	if k.fault() == nil {
		t.Fatal("the store is not closed")
	}
	for range 2 { // restarts; sees that it helped
		if err := k.look(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := kv.Put(ctx, "after", []byte("2")); err != nil {
		t.Errorf("write after the restart: %v", err)
	}
	if entry, err := kv.Get(ctx, "before"); err != nil || string(entry.Value()) != "1" {
		t.Errorf("what was stored before: %v, %v", entry, err)
	}
	for _, once := range []string{"store takes no writes", "store takes writes again"} {
		if strings.Count(log.String(), once) != 1 {
			t.Errorf("not once %q in\n%s", once, log)
		}
	}
	if b.Reconnects() != 0 {
		t.Error("connections were lost")
	}
}

// A store that cannot be opened ends the keeper, and so the process, with the reason;
// before that JetStream is restarted several times, and only while there is room.
func TestAStoreThatStaysClosedEndsTheBroker(t *testing.T) {
	s, k, log := kept(t)
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	k.config.StoreDir = blocked // not a directory
	if err := s.ShutdownJetStream(); err != nil {
		t.Fatal(err)
	}
	disk := k.dir
	k.dir = filepath.Join(blocked, "full") // nothing can be written here
	for range 2 * maxRestarts {
		if err := k.look(); err != nil || k.restarts > 0 {
			t.Fatalf("without room: %v, %d restarts", err, k.restarts)
		}
	}
	k.dir, k.every = disk, time.Millisecond
	err := k.Run(limited(t))
	if err == nil || k.restarts != maxRestarts || !strings.Contains(err.Error(), "takes no writes") {
		t.Errorf("%v after %d restarts\n%s", err, k.restarts, log)
	}
}

// What a restart would not help is not a reason for one: the directory of a stream that is
// being made stands there before the stream does.
func TestAStreamThatIsBeingMadeIsNoFault(t *testing.T) {
	_, k, log := kept(t)
	if err := os.MkdirAll(filepath.Join(k.dir, "jetstream", "$G", "streams", "KV_new"), 0o700); err != nil {
		t.Fatal(err)
	}
	if h := k.server.Healthz(&server.HealthzOptions{Details: true}); len(h.Errors) == 0 {
		t.Fatal("the server says nothing of it")
	}
	if err := k.look(); err != nil || k.restarts > 0 || log.Len() > 0 {
		t.Errorf("%v, %d restarts\n%s", err, k.restarts, log)
	}
}
