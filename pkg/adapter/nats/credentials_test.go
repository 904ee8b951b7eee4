package bus

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"clockwork/pkg/testkit/logtext"
)

func TestPasswordsAreNotShown(t *testing.T) {
	for in, want := range map[string]string{
		"nats://127.0.0.1:4222":                  "nats://127.0.0.1:4222",
		"nats://me:secret@host:4222":             "nats://me:xxxxx@host:4222",
		"nats://me:secret@a:1,nats://you:pw@b:2": "nats://me:xxxxx@a:1,nats://you:xxxxx@b:2",
		"nats://me:se cret%@host":                "nats://me:xxxxx@host",
		"nats://me:s/e:cr@et@host":               "nats://me:xxxxx@host",
		"tls://secret@host:4222":                 "tls://xxxxx@host:4222", // a token
		"me:secret@host":                         "me:xxxxx@host",
		"nats://me:se,cret@host:4222":            "nats://xxxxx,xxxxx@host:4222", // a comma parts URLs
		"nats://[::1]:4222,ws://host:80/path":    "nats://[::1]:4222,ws://host:80/path",
	} {
		if got := Redacted(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

// guarded is a broker with one user, by password or by nkey.
func guarded(t *testing.T, user *server.NkeyUser) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir()}
	if user != nil {
		o.Nkeys = []*server.NkeyUser{user}
	} else {
		o.Username, o.Password = "me", "secret"
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	if !s.ReadyForConnections(wait) {
		t.Fatal("the broker does not start")
	}
	t.Cleanup(func() { StopServer(s) })
	return s
}

// keyFile writes the key of a user and returns its public half.
func keyFile(t *testing.T, inbox string) (path, public string) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "some.nk")
	if err := os.WriteFile(path, KeyFile("somebody", inbox, seed), 0o600); err != nil {
		t.Fatal(err)
	}
	if public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	return path, public
}

func TestNoErrorAndNoLogLineShowsAPassword(t *testing.T) {
	s := guarded(t, nil)
	address := strings.TrimPrefix(s.ClientURL(), "nats://")
	for what, url := range map[string]string{
		"a wrong password":    "nats://me:hunter2@" + address,
		"nobody there":        "nats://me:hunter2@127.0.0.1:1",
		"no port":             "nats://me:hunter2@127.0.0.1:port",
		"a slash in it":       "nats://me:hunter2/@" + address,
		"no URL":              "nats://me:hunter2%zz@" + address,
		"a token":             "nats://hunter2@" + address,
		"the second of a few": "nats://127.0.0.1:1,nats://me:hunter2@127.0.0.1:port",
	} {
		log := &logtext.Buffer{}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := Open(ctx, Config{URL: url, Prefix: "clockwork", Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		cancel()
		if err == nil {
			t.Errorf("%s: connected", what)
			continue
		}
		if text := err.Error() + log.String(); strings.Contains(text, "hunter2") {
			t.Errorf("%s: shown in %s", what, text)
		}
	}
	// The password is used, all the same.
	nc, err := Connect("nats://me:secret@" + address)
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}

// TestACommandThatIsRefusedEnds at once, where a service waits for somebody to mend that. A
// broker that is not there yet is waited for by both.
func TestACommandThatIsRefusedEnds(t *testing.T) {
	s := guarded(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := Open(ctx, Config{URL: s.ClientURL(), Prefix: "clockwork", Command: true}); !errors.Is(err, nats.ErrAuthorization) || ctx.Err() != nil {
		t.Errorf("a command: %v", err)
	}
	for _, c := range []Config{{URL: s.ClientURL(), Prefix: "clockwork"}, {URL: "nats://127.0.0.1:1", Prefix: "clockwork", Command: true}} {
		brief, cancel := context.WithTimeout(t.Context(), time.Second)
		if _, err := Open(brief, c); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%+v does not wait: %v", c, err)
		}
		cancel()
	}
}

func TestAKeyOpensTheBrokerAndNamesItsInbox(t *testing.T) {
	path, public := keyFile(t, "_INBOX_some.body")
	s := guarded(t, &server.NkeyUser{Nkey: public})
	c := Config{URL: s.ClientURL(), Prefix: "clockwork", Credentials: Credentials{NKey: path}}
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	b, err := Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if inbox := b.Control.NewInbox(); !strings.HasPrefix(inbox, "_INBOX_some.body.") {
		t.Errorf("the inbox is %s", inbox)
	}
	other, _ := keyFile(t, "_INBOX_some.body")
	options, err := Credentials{NKey: other}.Options()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Connect(s.ClientURL(), options...); err == nil {
		t.Error("another key opens it too")
	}
}

func TestCredentialsThatAreNoneAreRefusedWithoutBeingShown(t *testing.T) {
	const seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY" // of the NATS documentation
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]Credentials{
		"a seed in place of its file": {NKey: seed},
		"no such file":                {NKey: filepath.Join(t.TempDir(), "missing")},
		"a file without a seed":       {NKey: empty},
		"a directory":                 {NKey: t.TempDir()},
		"no authority":                {CA: filepath.Join(t.TempDir(), "missing")},
		"half a certificate":          {Cert: empty},
		"no certificate":              {Cert: filepath.Join(t.TempDir(), "missing"), Key: empty},
	} {
		_, err := c.Options()
		if err == nil {
			t.Errorf("%s: taken", what)
		} else if strings.Contains(err.Error(), seed) {
			t.Errorf("%s: shown in %v", what, err)
		}
	}
}

// TestABoundServiceWaitsForItsStores, and finds them when the operator has made
// them; to make them again changes nothing.
func TestABoundServiceWaitsForItsStores(t *testing.T) {
	s, err := StartServer(ServerConfig{DontListen: true, DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { StopServer(s) })
	open := func(bound bool) *Bus {
		b, err := Open(t.Context(), Config{InProcess: s, Prefix: "clockwork", Bound: bound})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		return b
	}
	service, operator := open(true), open(false)
	limits := BufferConfig{Timeout: 10 * time.Second, MaxRequests: 100, MaxBytes: 1 << 20}
	hasty, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := service.OpenState(hasty); err == nil {
		t.Error("it opened, or made, what was not there")
	}
	if _, err := service.bufferStream(t.Context(), service.JS, jetstream.StreamConfig{Name: service.bucket("buffer")}); err == nil || !strings.Contains(err.Error(), "clockwork init") {
		t.Errorf("before it was made: %v", err)
	}
	made := func(b BufferConfig) (all []string) {
		stores, err := operator.MakeStores(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range stores {
			all = append(all, s.Name+" "+s.Done)
		}
		return all
	}
	longer := limits
	longer.Timeout = time.Minute
	for i, want := range []string{
		"clockwork_state made, clockwork_profile made, clockwork_epoch made, clockwork_lease made, clockwork_worker made, clockwork_device made, clockwork_health made, clockwork_buffer made",
		"clockwork_state found, clockwork_profile found, clockwork_epoch found, clockwork_lease found, clockwork_worker found, clockwork_device found, clockwork_health found, clockwork_buffer found",
	} {
		if got := strings.Join(made(limits), ", "); got != want {
			t.Errorf("call %d: %s", i+1, got)
		}
	}
	ctx := limited(t)
	if _, err := service.OpenState(ctx); err != nil {
		t.Error(err)
	}
	if err := service.OpenLeases(ctx); err != nil {
		t.Error(err)
	}
	if _, err := service.OpenBuffer(ctx, limits); err != nil {
		t.Error(err)
	}
	if _, err := service.OpenBuffer(ctx, longer); err == nil || !strings.Contains(err.Error(), "--buffer-timeout") {
		t.Errorf("a longer time-out than it was made for: %v", err)
	}
	if got := made(longer); got[len(got)-1] != "clockwork_buffer changed" {
		t.Errorf("with another time-out: %v", got)
	}
	if _, err := service.OpenBuffer(ctx, longer); err != nil {
		t.Error(err)
	}
}

// TestABrokerThatKnowsNoSecondUserIsSaidToBeOld: its users were written by a version that
// had JetStream in the account of all messages.
func TestABrokerThatKnowsNoSecondUserIsSaidToBeOld(t *testing.T) {
	path, public := keyFile(t, "_INBOX_worker.w1")
	s := guarded(t, &server.NkeyUser{Nkey: public})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	b, err := Open(ctx, Config{URL: s.ClientURL(), Prefix: "clockwork", Credentials: Credentials{NKey: path}})
	if err == nil {
		b.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "clockwork keys again") {
		t.Errorf("%v", err)
	}
	client, public := keyFile(t, "_INBOX_client.client") // has no second user
	s = guarded(t, &server.NkeyUser{Nkey: public})
	b, err = Open(t.Context(), Config{URL: s.ClientURL(), Prefix: "clockwork", Credentials: Credentials{NKey: client}})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
}

// TestAnOperatorsRightsAreSaidToBeMissing: to the client of a broker it looks as
// if no answer came.
func TestAnOperatorsRightsAreSaidToBeMissing(t *testing.T) {
	path, public := keyFile(t, "_INBOX_some.body")
	s := guarded(t, &server.NkeyUser{Nkey: public, Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{"$JS.API.STREAM.INFO.*"}},
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_some.body.>"}},
	}})
	b, err := Open(t.Context(), Config{URL: s.ClientURL(), Prefix: "clockwork", Credentials: Credentials{NKey: path}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := b.MakeStores(ctx, BufferConfig{Timeout: time.Second, MaxRequests: 1, MaxBytes: 1}); err == nil || !strings.Contains(err.Error(), "operator") {
		t.Errorf("%v", err)
	}
}

// TestABrokerLearnsOfNewUsersAndForgetsOthers while it runs.
func TestABrokerLearnsOfNewUsersAndForgetsOthers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nats.conf")
	write := func(users string) {
		if err := os.WriteFile(file, []byte("listen: \"127.0.0.1:4222\"\njetstream {}\nauthorization {users: ["+users+"]}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{user: a, password: a}`)
	c := ServerConfig{ConfigFile: file, DataDir: t.TempDir(), Listen: &Listen{"127.0.0.1", server.RANDOM_PORT}}
	s, err := StartServer(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { StopServer(s) })
	at := strings.TrimPrefix(s.ClientURL(), "nats://")
	gone := make(chan struct{})
	old, err := nats.Connect("nats://a:a@"+at, nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(gone) }))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	write(`{user: b, password: b}`)
	if err := ReloadServer(s, c); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(wait):
		t.Error("who is no user any more stays connected")
	}
	if _, err := nats.Connect("nats://a:a@" + at); err == nil {
		t.Error("who is no user any more connects again")
	}
	fresh, err := nats.Connect("nats://b:b@" + at)
	if err != nil {
		t.Fatal(err)
	}
	fresh.Close()
	write(`{user: b`)
	if err := ReloadServer(s, c); err == nil {
		t.Error("a broken file is taken")
	}
}
