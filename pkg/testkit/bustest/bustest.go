// Package bustest provides a real broker and a scripted worker, which speaks the
// protocol through pkg/adapter/nats, so that a service can be tested on the wire
// without any other service.
//
// A Worker's goroutines end with the test. It has no device and computes
// nothing: a model's output is its input.
package bustest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
)

// Wait bounds every wait of a test; it is far longer than needed.
const Wait = 20 * time.Second

// Server starts a broker on loopback that stops at the end of the test.
func Server(t testing.TB) *server.Server {
	t.Helper()
	s, err := bus.StartServer(bus.ServerConfig{Host: "127.0.0.1", Port: server.RANDOM_PORT, DataDir: t.TempDir(), Prefix: protocol.DefaultPrefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.StopServer(s) })
	return s
}

// LoseStore has a broker forget whatever it has stored, all at once. Streams that are deleted
// one by one may be made again by others meanwhile, and nats-server loses track of a stream
// that is made and deleted at the same time: it never answers what is written to it.
func LoseStore(t testing.TB, s *server.Server) {
	t.Helper()
	account := s.GlobalAccount()
	if err := account.DisableJetStream(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(s.StoreDir(), account.Name)); err != nil {
		t.Fatal(err)
	}
	if err := account.EnableJetStream(nil, nil); err != nil {
		t.Fatal(err)
	}
}

// Config returns the configuration of an in-process connection to the broker.
func Config(s *server.Server, name string) bus.Config {
	return bus.Config{InProcess: s, Prefix: protocol.DefaultPrefix, Name: name}
}

// Open connects to the broker; the connection closes at the end of the test.
func Open(t testing.TB, s *server.Server) *bus.Bus {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Wait)
	defer cancel()
	b, err := bus.Open(ctx, Config(s, "test"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// Client connects with plain nats.go, as any client could.
func Client(t testing.TB, s *server.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// Lead takes the lease of a service and returns what writes the state for it. The lease is
// released by the returned function, or at the end of the test.
func Lead(t testing.TB, b *bus.Bus, service protocol.ServiceKind) (w *bus.Writer, release func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Wait)
	defer cancel()
	state, err := b.OpenStateOf(ctx, service)
	if err != nil {
		t.Fatal(err)
	}
	lease, err := b.AcquireWait(ctx, string(service), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lease.Release)
	if w, err = state.Lead(ctx, service, lease); err != nil {
		t.Fatal(err)
	}
	return w, lease.Release
}

// Succeed takes the lease of a service from its holder, which does not know it yet, and
// returns what writes the state from then on. The holder renews a lease every 0.7 s, so
// Succeed waits for a renewal: for about that long the former holder acts as before.
func Succeed(t testing.TB, b *bus.Bus, service protocol.ServiceKind) (w *bus.Writer, release func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Wait)
	defer cancel()
	kv, err := b.JS.KeyValue(ctx, protocol.StoreName(b.Subjects.Prefix)+"_lease")
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := kv.Watch(ctx, string(service), jetstream.UpdatesOnly())
	if err != nil {
		t.Fatal(err)
	}
	Next(t, "a renewal", renewed.Updates())
	_ = renewed.Stop()
	if err := kv.Delete(ctx, string(service)); err != nil {
		t.Fatal(err)
	}
	return Lead(t, b, service)
}

// Run runs a service. The returned function stops the service and waits for its
// end; the end of the test does so at the latest.
func Run(t testing.TB, service interface{ Run(context.Context) error }) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil && !errors.Is(err, context.Canceled) { // as services/host has it: it may have been starting yet
				t.Errorf("the service ended with %v", err)
			}
		case <-time.After(Wait):
			t.Error("the service does not end")
		}
	}
	t.Cleanup(stop)
	return stop
}

// Until polls until a condition holds that no message reports.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(Wait); ; time.Sleep(2 * time.Millisecond) {
		if holds() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", Wait, what)
		}
	}
}

// Next returns the next value of a channel.
func Next[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(Wait):
		t.Fatalf("waited %v in vain: %s", Wait, what)
		panic("unreachable")
	}
}

// Garbage returns bodies that hostile or broken senders may publish: every
// subject must survive them.
func Garbage() map[string][]byte {
	return map[string][]byte{
		"nothing":                  {},
		"an array of 2^32":         {0xdd, 0xff, 0xff, 0xff, 0xff},
		"ours, an array of 2^32":   {1, 0xdd, 0xff, 0xff, 0xff, 0xff},
		"ours, then nothing":       {1},
		"another version":          {9, 0x90},
		"half a message":           {1, 0x94, 1},
		"JSON":                     []byte(`{"error": 1}`),
		"broken JSON":              []byte(`{"path": `),
		"deep JSON":                []byte(`{"a":[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]}`),
		"a map of 2^32":            {0xdf, 0xff, 0xff, 0xff, 0xff},
		"ours, a string too long":  {1, 0x91, 0xdb, 0x7f, 0xff, 0xff, 0xff},
		"ours, a bin too long":     {1, 0x94, 1, 0, 1, 0xce, 0xff, 0xff, 0xff, 0xff},
		"ours, nils":               {1, 0x94, 0xc0, 0xc0, 0xc0, 0xc0},
		"ours, many empty arrays":  append([]byte{1, 0xdc, 0xff, 0xff}, make([]byte, 65535)...),
		"ours, text for a number":  {1, 0x94, 0xa1, 'x', 0, 1, 0},
		"ours, an extension":       {1, 0xd8, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"ours, a negative payload": {1, 0x94, 1, 0, 1, 0xff},
	}
}
