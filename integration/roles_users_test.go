package integration

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/lab/chaos"
)

// TestWhoIsNoUserIsLetInNowhere connects without a key, with a key unknown to
// the broker, and with a revoked key.
func TestWhoIsNoUserIsLetInNowhere(t *testing.T) {
	s := startTapped(t, "--worker", "w1")
	strangers := makeKeys(t, "--worker", "w1")
	stranger, err := strangers.credentials("operator").Options()
	if err != nil {
		t.Fatal(err)
	}
	for who, options := range map[string][]nats.Option{
		"nobody":                     nil,
		"by a password":              {nats.UserInfo("operator", "operator")},
		"by a token":                 {nats.Token("operator")},
		"the operator of another":    stranger,
		"by a key's public half":     {nats.Nkey(s.public("operator"), func([]byte) ([]byte, error) { return make([]byte, 64), nil })},
		"by another user's own hand": {nats.Nkey(s.public("operator"), s.hand("worker.w1"))},
	} {
		nc, err := nats.Connect(s.server.ClientURL(), options...)
		if err == nil {
			nc.Close()
			t.Errorf("%s: let in", who)
		} else if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: %v", who, err)
		}
	}
}

// TestUsersOfOneRoleDoNotHearEachOther checks also that whoever heard a question may answer it
// only in inboxes where its role answers.
func TestUsersOfOneRoleDoNotHearEachOther(t *testing.T) {
	s := startTapped(t, "--worker", "w1", "--client", "alice", "--client", "bob")
	url := s.server.ClientURL()
	alice, scheduler, worker := s.connect(url, "client.alice"), s.connect(url, "scheduler"), s.connect(url, "worker.w1")
	for subject, allowed := range map[string]bool{
		"_INBOX_client.alice.>": true, "_INBOX_client.bob.>": false, "_INBOX_client.*.>": false, "_INBOX_client.client.>": false,
	} {
		refused := s.refused(alice, func() error { _, err := alice.SubscribeSync(subject); return err })
		if refused == allowed {
			t.Errorf("alice subscribes to %s: refused %v", subject, refused)
		}
	}
	asked, err := scheduler.SubscribeSync("clockwork.clock.*")
	if err != nil {
		t.Fatal(err)
	}
	s.flush(scheduler)
	for inbox, allowed := range map[string]bool{worker.NewInbox(): true, "clockwork.worker.w1.action.forged": false, "_INBOX_profiler.profiler.x": false} {
		if err := worker.PublishRequest("clockwork.clock.w1", inbox, nil); err != nil {
			t.Fatal(err)
		}
		m, err := asked.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		body := "the answer on " + inbox
		refused := s.refused(scheduler, func() error { return m.Respond([]byte(body)) })
		if heard := s.overheard(s.hot, inbox, body); refused == allowed || heard != allowed {
			t.Errorf("answer on %s: refused %v, heard %v", inbox, refused, heard)
		}
	}
}

// TestAWorkerTakesNobodyElsesName checks the lease of a worker's name, as its
// own code acquires it.
func TestAWorkerTakesNobodyElsesName(t *testing.T) {
	s := startTapped(t, "--worker", "w1", "--worker", "w2")
	open := func(user string, bound bool) *bus.Bus {
		b, err := bus.Open(t.Context(), bus.Config{URL: s.server.ClientURL(), Credentials: s.credentials(user), Bound: bound, Prefix: "clockwork"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		return b
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := open("operator", false).MakeStores(ctx, bus.BufferConfig{Timeout: time.Second, MaxRequests: 10, MaxBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	own, err := open("worker.w1", true).Acquire(ctx, "worker.w1", "w1 itself")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Release()
	rogue := open("worker.w2", true)
	for key, at := range map[string]string{"worker.w1": "$KV.clockwork_worker.w1", "worker.w3": "$KV.clockwork_worker.w3",
		"controller": "KV_clockwork_lease", "scheduler": "KV_clockwork_lease", "profiler": "KV_clockwork_lease"} {
		denied := func() bool {
			err := rogue.JS.Conn().LastError()
			return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), at+`"`)
		}
		for ctx.Err() == nil && !denied() {
			hasty, cancel := context.WithTimeout(ctx, 200*time.Millisecond) // a refused request gets no answer
			lease, err := rogue.Acquire(hasty, key, "w2")
			cancel()
			if err == nil {
				lease.Release()
				t.Fatalf("w2 took %s", key)
			}
		}
		if !denied() {
			t.Errorf("w2 did not get %s, but the broker says %v", key, rogue.JS.Conn().LastError())
		}
	}
	if holder, err := open("operator", true).Holder(ctx, "worker.w1"); err != nil || holder != "w1 itself" {
		t.Errorf("worker.w1 is held by %q, %v", holder, err)
	}
	select {
	case <-own.Lost():
		t.Error("w1 lost its name")
	default:
	}
}

// TestAKeyThatIsTakenBackIsCutOff revokes a key on a running broker, and adds a
// new user.
func TestAKeyThatIsTakenBackIsCutOff(t *testing.T) {
	r := makeKeys(t, "--client", "alice", "--client", "bob")
	address, err := chaos.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	url := "nats://" + address
	broker := startProcess(t, "nats", "--config", filepath.Join(r.dir, "broker/nats.conf"), "--listen", address, "--data", t.TempDir())
	r.awaitRun(slices.Concat([]string{"init", "--nats", url}, r.flags("operator")))
	taken, err := r.credentials("client.alice").Options()
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	alice, err := nats.Connect(url, append(taken, nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(gone) }))...)
	if err != nil {
		t.Fatal(err)
	}
	defer alice.Close()
	bob := r.connect(url, "client.bob")
	hand, public := r.hand("client.alice"), r.public("client.alice")
	if err := os.Remove(r.credentials("client.alice").NKey); err != nil {
		t.Fatal(err)
	}
	r.run("keys", r.dir, "--client", "carol", "--worker", "w9")
	if err := broker.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(patience):
		t.Fatal("alice is connected yet")
	}
	if nc, err := nats.Connect(url, nats.Nkey(public, hand)); err == nil {
		nc.Close()
		t.Error("alice connects again")
	}
	for deadline := time.Now().Add(patience); !strings.Contains(broker.Log(), "configuration reloaded"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the broker does not read its users again:\n%s", broker.Log())
		}
	}
	r.connect(url, "client.carol")
	if m, err := r.second(url, "worker.w9").Request("clockwork.store.STREAM.INFO.KV_clockwork_device", nil, patience); err != nil || !strings.Contains(string(m.Data), "clockwork_device") {
		t.Errorf("a new worker does not reach JetStream: %v", err)
	}
	if err := bob.FlushTimeout(patience); err != nil || bob.Stats().Reconnects != 0 {
		t.Errorf("bob was disturbed: %v, %d reconnects", err, bob.Stats().Reconnects)
	}
}
