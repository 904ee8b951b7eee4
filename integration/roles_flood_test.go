package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
)

// TestAKeyThatWritesAllItMayHarmsNobodyElse has every user but the controller and the
// operator fill the store: under each subject that it may write, with as many names and as
// many bytes as the store takes, while the stack starts. Then everybody else does what his
// role is for: workers take names and devices, the stack starts, is served, and a controller
// takes over.
func TestAKeyThatWritesAllItMayHarmsNobodyElse(t *testing.T) {
	r := makeKeys(t, "--worker", "w1", "--worker", "w2", "--worker", "rogue")
	s := r.tapped()
	a := &attack{tapped: s, t: t, url: s.server.ClientURL(), may: map[string]*server.Permissions{}, second: map[string]*server.Permissions{}}
	for _, tap := range []tap{s.hot, s.store} { // they would hear more than they can keep
		if err := tap.heard.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
	}
	speakers := []string{"frontdoor", "scheduler", "profiler", "worker.rogue", "health"}
	a.readPermissions(speakers)
	a.makeStores()
	start := func(user string, args ...string) *process {
		return startProcess(t, slices.Concat(args, []string{"--nats", a.url}, r.flags(user))...)
	}
	// Services first that a key of their own role could keep from their lease.
	controller := start("controller", "controller", "--load-idle", "500ms")
	start("scheduler", "scheduler")
	start("profiler", "profiler", "--profile-iterations", "3")
	start("worker.w1", "worker", "--name", "w1", "--generate-inputs", "--scale", "0.1")
	operator := a.asOperator()
	operator.awaitState("w1", func(st *protocol.StackState) bool { return len(st.Workers) == 1 })
	operator.load("zoo/resnet18_v2", 1)

	for _, user := range speakers {
		a.fill(user)
	}
	defer a.goOn("scheduler", "profiler", "worker.rogue", "health")()

	start("worker.w2", "worker", "--name", "w2", "--generate-inputs", "--scale", "0.1")
	operator.awaitState("ACTIVE with both workers", func(st *protocol.StackState) bool {
		return st.Stage == protocol.Active && len(st.Workers) == 2
	})
	a.stackServes()
	a.devices("worker.w2", "w2")
	r.run(slices.Concat([]string{"healthcheck", "--service", "nats", "--nats", a.url, "--timeout", "30s"}, r.flags("operator"))...)
	if code := controller.terminate(); code != 0 {
		t.Errorf("the controller ended with %d", code)
	}
	start("controller", "controller", "--load-idle", "500ms")
	operator.awaitState("ACTIVE again", func(st *protocol.StackState) bool { return st.Stage == protocol.Active })
	a.stackServes()
}

// makeStores is what clockwork init does, with a small buffer.
func (a *attack) makeStores() {
	a.t.Helper()
	b, err := bus.Open(a.t.Context(), bus.Config{URL: a.url, Credentials: a.credentials("operator"), Prefix: "clockwork"})
	if err != nil {
		a.t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.MakeStores(a.t.Context(), bus.BufferConfig{Timeout: 10 * time.Second, MaxRequests: 2000, MaxBytes: 64 << 20}); err != nil {
		a.t.Fatal(err)
	}
}

// fill writes under every subject that a user may write what the store takes.
func (a *attack) fill(user string) {
	a.t.Helper()
	nc := a.tapped.second(a.url, user)
	const names = 20_000
	for _, subject := range a.second[user].Publish.Allow {
		key, isKey := strings.CutPrefix(subject, "clockwork.store.$KV.")
		if !isKey && !strings.HasPrefix(subject, "clockwork.buffer.") || strings.HasPrefix(key, "clockwork_lease.") {
			continue // it reads, or its role has one lease
		}
		body := make([]byte, 1000)
		if strings.HasPrefix(key, "clockwork_profile.") {
			body = make([]byte, 60_000)
		}
		taken, batch := 0, 500
		for n := 0; n < names; n += batch {
			inbox := nc.NewInbox()
			answers, err := nc.SubscribeSync(inbox)
			if err != nil {
				a.t.Fatal(err)
			}
			for i := range batch {
				m := &nats.Msg{Subject: named(subject, n+i), Reply: inbox, Data: body}
				if err := nc.PublishMsg(m); err != nil {
					a.t.Fatal(err)
				}
			}
			stored := 0
			for range batch {
				m, err := answers.NextMsg(patience)
				if err != nil {
					a.t.Fatalf("%s on %s: %v", user, subject, err)
				}
				if !strings.Contains(string(m.Data), `"error"`) {
					stored++
				}
			}
			_ = answers.Unsubscribe()
			if taken += stored; stored == 0 || named(subject, 0) == named(subject, 1) {
				break // full, or it has one name
			}
		}
		a.t.Logf("%s wrote %d messages under %s", user, taken, subject)
	}
}

// goOn has users write one name under each subject again and again, as fast as the store
// takes it, until the returned function is called: compare-and-swaps of others must succeed.
func (a *attack) goOn(users ...string) (stop func()) {
	ctx, cancel := context.WithCancel(a.t.Context())
	var writers sync.WaitGroup
	for _, user := range users {
		nc := a.tapped.second(a.url, user)
		for _, subject := range a.second[user].Publish.Allow {
			if key, isKey := strings.CutPrefix(subject, "clockwork.store.$KV."); !isKey || strings.HasPrefix(key, "clockwork_lease.") {
				continue
			}
			writers.Go(func() {
				for ctx.Err() == nil {
					_, _ = nc.RequestWithContext(ctx, named(subject, 0), []byte("x")) // refused or not
				}
			})
		}
	}
	return func() {
		cancel()
		writers.Wait()
	}
}

// named replaces the wildcards of a subject by the nth name.
func named(subject string, n int) string {
	return strings.ReplaceAll(subject, "*", fmt.Sprint("x", n))
}

// devices checks that a worker takes a device of its host.
func (a *attack) devices(user, worker string) {
	a.t.Helper()
	b, err := bus.Open(a.t.Context(), bus.Config{URL: a.url, Credentials: a.credentials(user), Bound: true, Prefix: "clockwork"})
	if err != nil {
		a.t.Fatal(err)
	}
	defer b.Close()
	for deadline := time.Now().Add(patience); ; {
		lease, err := b.ClaimDevices(a.t.Context(), bus.DeviceUser{Worker: worker, Secret: []byte("a host"), Inventory: []string{"d0"}}, 1)
		if err == nil {
			lease.Release()
			return
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("%s gets no device: %v", worker, err)
		}
	}
}
