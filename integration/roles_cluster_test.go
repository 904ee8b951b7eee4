package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

// TestRolesOnAClusterOfBrokers has users reach the streams by other servers than the one
// that leads them: what they are answered crosses accounts and servers.
func TestRolesOnAClusterOfBrokers(t *testing.T) {
	r := makeKeys(t, "--worker", "w1")
	var clients, routes []string
	for range 3 {
		for _, list := range []*[]string{&clients, &routes} {
			address, err := chaos.FreeAddress()
			if err != nil {
				t.Fatal(err)
			}
			*list = append(*list, address)
		}
	}
	users := filepath.Join(r.dir, "broker")
	for i := range 3 {
		config := fmt.Sprintf("include \"users.conf\"\nlisten: %q\nserver_name: n%d\njetstream {store_dir: %q}\ncluster {name: c, listen: %q, routes: [\"nats://%s\"]}\n",
			clients[i], i, t.TempDir(), routes[i], strings.Join(routes, `", "nats://`))
		file := filepath.Join(users, fmt.Sprintf("n%d.conf", i))
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		startProcess(t, "nats", "--config", file)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	open := func(user string, at int, bound bool) *bus.Bus {
		b, err := bus.Open(ctx, bus.Config{URL: "nats://" + clients[at], Credentials: r.credentials(user), Bound: bound, Prefix: "clockwork", Name: user})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		return b
	}
	limits := bus.BufferConfig{Timeout: time.Minute, MaxRequests: 100, MaxBytes: 1 << 20}
	stores, err := open("operator", 0, false).MakeStores(ctx, limits)
	if err != nil || len(stores) != 8 {
		t.Fatalf("%d stores, %v", len(stores), err)
	}
	for at := range 3 {
		door := open("frontdoor", at, true)
		state, err := door.OpenState(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := state.Read(ctx); err != nil {
			t.Errorf("server %d: %v", at, err)
		}
		buffer, err := door.OpenBuffer(ctx, limits)
		if err != nil {
			t.Fatal(err)
		}
		if fault := buffer.Store("m", "_INBOX_client.client.x", time.Second, []byte(`{}`), "")(ctx); fault != nil {
			t.Errorf("server %d: %v", at, fault)
		}
		controller := open("controller", at, true)
		waiting, err := controller.OpenBuffer(ctx, limits)
		if err != nil {
			t.Fatal(err)
		}
		seen := make(chan bus.Buffered, 10)
		stop, err := waiting.Watch(ctx, func(b bus.Buffered) { seen <- b })
		if err != nil {
			t.Fatal(err)
		}
		for range at + 1 {
			select {
			case b := <-seen:
				if b.Model != "m" || b.Reply == "" {
					t.Errorf("server %d: %+v", at, b)
				}
			case <-ctx.Done():
				t.Fatalf("server %d: no request was seen", at)
			}
		}
		stop()
		lease, err := open("worker.w1", at, true).Acquire(ctx, "worker.w1", "test")
		if err != nil {
			t.Fatalf("server %d: %v", at, err)
		}
		lease.Release()
		won, err := controller.Campaign(ctx, "controller", bus.Candidate{Kind: protocol.FrontDoor, ID: fmt.Sprint(at)})
		if err != nil {
			t.Fatal(err)
		}
		won.Release()
	}
}
