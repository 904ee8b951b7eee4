package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/client"
	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

// roles is a directory of keys made by clockwork keys.
type roles struct {
	t   *testing.T
	dir string
	tls bool
}

func makeKeys(t *testing.T, args ...string) *roles {
	t.Helper()
	r := &roles{t: t, dir: filepath.Join(t.TempDir(), "keys"), tls: slices.Contains(args, "--tls")}
	r.run(append([]string{"keys", r.dir}, args...)...)
	return r
}

// run runs a command of the binary and returns its output.
func (r *roles) run(args ...string) string {
	r.t.Helper()
	out, err := exec.Command(binary, args...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("clockwork %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (r *roles) credentials(user string) bus.Credentials {
	c := bus.Credentials{NKey: filepath.Join(r.dir, user+".nk")}
	if r.tls {
		c.CA, c.Cert, c.Key = filepath.Join(r.dir, "tls/ca.pem"), filepath.Join(r.dir, "tls", user+".pem"), filepath.Join(r.dir, "tls", user+".key")
	}
	return c
}

// flags returns the connection flags of a user's process.
func (r *roles) flags(user string) []string {
	c := r.credentials(user)
	flags := []string{"--nkey", c.NKey}
	if r.tls {
		flags = append(flags, "--tls-ca", c.CA, "--tls-cert", c.Cert, "--tls-key", c.Key)
	}
	return flags
}

// connect connects as a user, with a plain client.
func (r *roles) connect(url, user string) *nats.Conn {
	r.t.Helper()
	options, err := r.credentials(user).Options()
	if err != nil {
		r.t.Fatal(err)
	}
	quiet := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	nc, err := nats.Connect(url, append(options, quiet)...)
	if err != nil {
		r.t.Fatalf("as %s: %v", user, err)
	}
	r.t.Cleanup(nc.Close)
	return nc
}

// spied is a broker in this process with the configuration written by clockwork
// keys, and an additional user who receives all messages.
type spied struct {
	*roles
	server *server.Server
	hot    spy // of what services and clients say to each other
	store  spy // of what reaches JetStream
}

// spy is an additional user of one account.
type spy struct {
	nc    *nats.Conn
	heard *nats.Subscription
}

func startSpied(t *testing.T, keys ...string) *spied {
	t.Helper()
	return makeKeys(t, keys...).spied()
}

func (r *roles) spied() *spied {
	t := r.t
	t.Helper()
	options, err := server.ProcessConfigFile(filepath.Join(r.dir, "broker/nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	options.Host, options.Port, options.StoreDir, options.NoSigs, options.NoLog = "127.0.0.1", -1, t.TempDir(), true, true
	as := map[string]func() (string, nats.SignatureHandler){}
	for _, account := range options.Accounts {
		pair, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		options.Nkeys = append(options.Nkeys, &server.NkeyUser{Nkey: public, Account: account})
		as[account.GetName()] = func() (string, nats.SignatureHandler) { return public, pair.Sign }
	}
	s := &spied{roles: r}
	if s.server, err = server.NewServer(options); err != nil {
		t.Fatal(err)
	}
	go s.server.Start()
	if !s.server.ReadyForConnections(patience) {
		t.Fatal("the broker does not start")
	}
	t.Cleanup(func() { bus.StopServer(s.server) })
	spyIn := func(account string) (x spy) {
		x.nc, err = nats.Connect(s.server.ClientURL(), nats.Nkey(as[account]()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(x.nc.Close)
		if x.heard, err = x.nc.SubscribeSync(">"); err != nil {
			t.Fatal(err)
		}
		s.flush(x.nc)
		return x
	}
	s.hot, s.store = spyIn("clockwork"), spyIn("clockwork_store")
	return s
}

func (s *spied) flush(nc *nats.Conn) {
	s.t.Helper()
	if err := nc.FlushTimeout(patience); err != nil {
		s.t.Fatal(err)
	}
}

// refused calls do as a user and reports whether the broker refused it for lack
// of permission: the broker reports that before it answers the flush.
func (s *spied) refused(nc *nats.Conn, do func() error) bool {
	s.t.Helper()
	before := nc.LastError()
	if err := do(); err != nil {
		s.t.Fatal(err)
	}
	s.flush(nc)
	after := nc.LastError()
	return after != before && errors.Is(after, nats.ErrPermissionViolation)
}

// overheard reports whether a spy received a body on a subject, and discards all
// other messages.
func (s *spied) overheard(by spy, subject, body string) (heard bool) {
	s.t.Helper()
	s.flush(by.nc)
	for {
		if waiting, _, err := by.heard.Pending(); err != nil || waiting == 0 {
			return heard
		}
		m, err := by.heard.NextMsg(patience)
		if err != nil {
			s.t.Fatal(err)
		}
		heard = heard || m.Subject == subject && string(m.Data) == body
	}
}

// second connects as a user's second user, who reaches JetStream; nil if there is none.
func (r *roles) second(url, user string) *nats.Conn {
	r.t.Helper()
	if strings.HasPrefix(user, "client") || user == "gateway" {
		return nil
	}
	seed, err := r.pair(user).Seed()
	if err != nil {
		r.t.Fatal(err)
	}
	pair, err := bus.StoreKey(seed)
	if err != nil {
		r.t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		r.t.Fatal(err)
	}
	options, err := r.credentials(user).Options()
	if err != nil {
		r.t.Fatal(err)
	}
	quiet := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	nc, err := nats.Connect(url, append(options, nats.Nkey(public, pair.Sign), quiet)...)
	if err != nil {
		r.t.Fatalf("as the second user of %s: %v", user, err)
	}
	r.t.Cleanup(nc.Close)
	return nc
}

// inStore returns the subject that stands for one of JetStream's in the accounts of the
// second users, and whether it is one of JetStream's.
func inStore(subject string) (local string, is bool) {
	if api, is := strings.CutPrefix(subject, "$JS.API."); is {
		return "clockwork.store." + api, true
	}
	if strings.HasPrefix(subject, "$KV.") {
		return "clockwork.store." + subject, true
	}
	return subject, strings.HasPrefix(subject, "$JS.") || strings.HasPrefix(subject, "clockwork.buffer.")
}

// rights are all subjects of a stack and some others, with the users who may
// publish and subscribe. All others may not.
var rights = []struct{ subject, publish, subscribe string }{
	// Requests of clients.
	{"clockwork.infer.m", "client", ""},
	{"clockwork.infer.m.gateway", "gateway", ""},
	{"clockwork.infer.m.operator", "operator", ""},
	{"clockwork.infer.m.alice", "client.alice", ""},
	{"clockwork.infer.m.bob", "", ""},
	{"clockwork.infer.m.client", "", ""},
	{"clockwork.infer.m.alice.bob", "", ""},
	{"clockwork.infer.m frontdoor", "", "frontdoor controller"},
	{"clockwork.infer.> frontdoor", "", "frontdoor controller"},
	{"clockwork.infer.m another-group", "", ""},
	{"clockwork.infer.>", "", ""},
	{"clockwork.load", "operator", ""},
	{"clockwork.load q", "", "controller"},
	{"clockwork.ls", "client", ""},
	{"clockwork.ls.alice", "client.alice", ""},
	{"clockwork.ls.gateway", "gateway", ""},
	{"clockwork.ls.operator", "operator", ""},
	{"clockwork.ls q", "", "controller"},
	{"clockwork.ls.* q", "", "controller"},
	{"clockwork.state", "client", ""},
	{"clockwork.state.alice", "client.alice", ""},
	{"clockwork.state.bob", "", ""},
	{"clockwork.state.gateway", "gateway", ""},
	{"clockwork.state.operator", "operator", ""},
	{"clockwork.state.health", "health", ""},
	{"clockwork.state q", "", "controller"},
	{"clockwork.state.* q", "", "controller"},
	{"clockwork.events.stage", "frontdoor controller profiler", "client client.alice gateway operator"},
	{"$SRV.PING", "operator", "controller"},
	{"$SRV.INFO.clockwork", "operator", "controller"},
	{"$SRV.INFO.clockwork.1", "operator", "controller"},
	{"$SRV.INFO.another.1", "", ""},

	// Observability.
	{"clockwork.watch", "operator", "frontdoor controller scheduler worker.w1 worker.w2"},
	{"clockwork.figures.frontdoor.d1", "frontdoor controller", "operator"},
	{"clockwork.figures.scheduler.s", "scheduler", "operator"},
	{"clockwork.figures.worker.w1", "worker.w1", "operator"},
	{"clockwork.figures.worker.w3", "", "operator"},
	{"clockwork.figures.*.*", "", "operator"},
	{"clockwork.explain.frontdoor", "operator", "frontdoor controller"},
	{"clockwork.explain.scheduler", "operator", "scheduler"},
	{"clockwork.explain.worker", "operator", ""},

	// Between services.
	{"clockwork.scheduler.submit.d1", "frontdoor controller scheduler", "scheduler"},
	{"clockwork.scheduler.submit.d1.7", "", "scheduler"},
	{"clockwork.scheduler.start", "controller", "scheduler"},
	{"clockwork.scheduler.join", "controller", "scheduler"},
	{"clockwork.profiler.start", "controller", "profiler"},
	{"clockwork.profiler.report", "profiler", "controller"},
	{"clockwork.worker.w1.action", "controller scheduler profiler", "worker.w1"},
	{"clockwork.worker.w1.input", "frontdoor controller", "worker.w1"},
	{"clockwork.worker.w3.action", "controller scheduler profiler", ""},
	{"clockwork.worker.*.action", "", ""},
	{"clockwork.frontdoor.d1.dispatch", "scheduler", "frontdoor controller"},
	{"clockwork.frontdoor.d1.output.w1", "worker.w1", "frontdoor controller"},
	{"clockwork.frontdoor.d1.output.w3", "", "frontdoor controller"},
	{"clockwork.frontdoor.d1.output.nobody", "scheduler", "frontdoor controller"},
	{"clockwork.result.w1", "worker.w1", "controller scheduler profiler"},
	{"clockwork.result.w3", "", "controller scheduler profiler"},
	{"clockwork.clock.w1", "worker.w1", "scheduler"},
	{"clockwork.heartbeat.worker.w1", "worker.w1", "controller scheduler profiler operator"},
	{"clockwork.heartbeat.worker.w3", "", "controller scheduler profiler operator"},
	{"clockwork.heartbeat.scheduler.s", "scheduler", "frontdoor controller scheduler operator"},
	{"clockwork.heartbeat.frontdoor.d1", "frontdoor controller", "controller scheduler operator"},
	{"clockwork.heartbeat.profiler.p", "profiler", "controller profiler operator"},
	{"clockwork.health.worker.h", "", "worker.w1 worker.w2"},
	{"clockwork.health.worker.h.worker.w1", "worker.w1", "worker.w1 worker.w2"},
	{"clockwork.health.worker.h.operator.operator", "operator", "worker.w1 worker.w2"},
	{"clockwork.health.worker.h.health.health", "health", "worker.w1 worker.w2"},
	{"clockwork.health.frontdoor.h.controller.controller", "controller", "frontdoor controller"},
	{"clockwork.health.frontdoor.h.frontdoor.frontdoor", "frontdoor", "frontdoor controller"},
	{"clockwork.health.scheduler.h.scheduler.scheduler", "scheduler", "scheduler"},
	{"clockwork.health.profiler.h.profiler.profiler", "profiler", "profiler"},
	{"clockwork.health.profiler.h.health.health", "health", "profiler"},
	{"clockwork.buffer.m", "frontdoor controller", ""},

	// Answers.
	{"_INBOX_client.client.1", "frontdoor controller scheduler", "client"},
	{"_INBOX_client.alice.1", "frontdoor controller scheduler", "client.alice"},
	{"_INBOX_gateway.gateway.1", "frontdoor controller scheduler", "gateway"},
	{"_INBOX_operator.operator.1", "frontdoor controller scheduler", "operator"},
	{"_INBOX_operator.operator.health.1", "frontdoor controller scheduler profiler worker.w1 worker.w2", "operator"},
	{"_INBOX_health.health.1", "controller", "health"},
	{"_INBOX_health.health.health.1", "frontdoor controller scheduler profiler worker.w1 worker.w2", "health"},
	{"_INBOX_frontdoor.frontdoor.1", "", "frontdoor"},
	{"_INBOX_frontdoor.frontdoor.health.1", "frontdoor", "frontdoor"},
	{"_INBOX_controller.controller.1", "controller scheduler", "controller"},
	{"_INBOX_controller.controller.health.1", "controller scheduler frontdoor", "controller"},
	{"_INBOX_scheduler.scheduler.1", "", "scheduler"},
	{"_INBOX_scheduler.scheduler.health.1", "scheduler", "scheduler"},
	{"_INBOX_profiler.profiler.1", "", "profiler"},
	{"_INBOX_profiler.profiler.health.1", "profiler", "profiler"},
	{"_INBOX_worker.w1.1", "scheduler", "worker.w1"},
	{"_INBOX_worker.w1.health.1", "scheduler worker.w1", "worker.w1"},
	{"_INBOX_worker.w3.1", "scheduler", ""},
	{"_INBOX_worker.>", "", ""},
	{"_INBOX_client.>", "", ""},
	{"_INBOX.1", "", ""},
	{"_INBOX.>", "", ""},

	// Leases and state.
	{"$KV.clockwork_lease.controller", "controller", ""},
	{"$KV.clockwork_lease.scheduler", "scheduler", ""},
	{"$KV.clockwork_lease.profiler", "profiler", ""},
	{"$KV.clockwork_worker.w1", "worker.w1", ""},
	{"$KV.clockwork_worker.w3", "", ""},
	{"$KV.clockwork_lease.worker.w1", "", ""},
	{"$KV.clockwork_device.host.cpu-0", "worker.w1 worker.w2", ""},
	{"$KV.clockwork_health.host", "operator health", ""},
	{"$KV.clockwork_state.stage", "controller", ""},
	{"$KV.clockwork_state.model.m", "controller", ""},
	{"$KV.clockwork_state.worker.w1", "controller", ""},
	{"$KV.clockwork_state.profile.d.g", "controller profiler", ""},
	{"$KV.clockwork_state.fence.controller", "controller", ""},
	{"$KV.clockwork_state.fence.profiler", "controller profiler", ""},
	{"$KV.clockwork_state.fence.scheduler", "controller scheduler", ""},
	{"$KV.clockwork_state.>", "", ""},
	{"$KV.another.key", "", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_state.$KV.clockwork_state.stage", "frontdoor controller operator", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_state.$KV.clockwork_state.profile.d.g", "frontdoor controller profiler operator", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_state.$KV.clockwork_state.fence.profiler", "frontdoor controller profiler operator", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_state.$KV.clockwork_state.fence.controller", "frontdoor controller operator", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_state.$KV.clockwork_state.fence.scheduler", "frontdoor controller scheduler operator", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_worker.$KV.clockwork_worker.w1", "worker.w1 operator", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_lease.$KV.clockwork_lease.scheduler", "scheduler operator", ""},
	{"$JS.API.DIRECT.GET.clockwork_buffer", "controller", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_state", "frontdoor controller operator", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_lease", "", ""},

	// Streams, and the API of the broker.
	{"$JS.API.INFO", "operator health", ""},
	{"$JS.API.STREAM.INFO.KV_clockwork_lease", "controller scheduler profiler operator", ""},
	{"$JS.API.STREAM.INFO.KV_clockwork_worker", "worker.w1 worker.w2 operator", ""},
	{"$JS.API.STREAM.INFO.KV_clockwork_health", "operator health", ""},
	{"$JS.API.STREAM.INFO.KV_clockwork_state", "frontdoor controller scheduler profiler operator", ""},
	{"$JS.API.STREAM.INFO.clockwork_buffer", "frontdoor controller operator", ""},
	{"$JS.API.STREAM.CREATE.KV_clockwork_state", "operator", ""},
	{"$JS.API.STREAM.UPDATE.clockwork_buffer", "operator", ""},
	{"$JS.API.STREAM.CREATE.another", "", ""},
	{"$JS.API.STREAM.DELETE.KV_clockwork_state", "", ""},
	{"$JS.API.STREAM.PURGE.KV_clockwork_state", "", ""},
	{"$JS.API.STREAM.PURGE.clockwork_buffer", "", ""},
	{"$JS.API.STREAM.SNAPSHOT.KV_clockwork_state", "", ""},
	{"$JS.API.STREAM.RESTORE.KV_clockwork_state", "", ""},
	{"$JS.API.STREAM.MSG.GET.KV_clockwork_state", "", ""},
	{"$JS.API.STREAM.MSG.DELETE.KV_clockwork_state", "", ""},
	{"$JS.API.STREAM.MSG.DELETE.clockwork_buffer", "controller", ""},
	{"$JS.API.STREAM.NAMES", "", ""},
	{"$JS.API.STREAM.LIST", "", ""},
	{"$JS.API.CONSUMER.CREATE.KV_clockwork_state.c", "", ""},
	{"$JS.API.CONSUMER.CREATE.KV_clockwork_state.c.$KV.clockwork_state.>", "", ""},
	{"$JS.API.CONSUMER.DELETE.KV_clockwork_state.c", "", ""},
	{"$JS.API.CONSUMER.CREATE.clockwork_buffer.c", "", ""},
	{"$JS.API.CONSUMER.MSG.NEXT.clockwork_buffer.c", "", ""},
	{"$JS.API.CONSUMER.CREATE.KV_clockwork_lease.c", "", ""},
	{"$JS.API.CONSUMER.DURABLE.CREATE.KV_clockwork_state.c", "", ""},
	{"$JS.API.ACCOUNT.PURGE.$G", "", ""},
	{"$JS.API.META.LEADER.STEPDOWN", "", ""},
	{"$JS.API.SERVER.REMOVE", "", ""},
	{"$JS.FC.KV_clockwork_state.c.1", "", ""},
	{"$JS.ACK.clockwork_buffer.c.1.1.1.1.1", "", ""},
	{"$SYS.REQ.SERVER.PING", "", ""},
	{"$SYS.REQ.ACCOUNT.PING.CONNZ", "", ""},
	{"$SYS.>", "", ""},
	{"$JS.>", "", ""},
	{"another.subject", "", ""},
	{"clockwork.>", "", ""},
	{"clockwork.result.*", "", "controller scheduler profiler"},
	{">", "", ""},
}

// TestRolesMayDoWhatTheyNeedAndNothingElse tries every subject as every user of
// the configuration written by clockwork keys. A message counts as refused if
// the broker reports so and the spy does not receive it.
func TestRolesMayDoWhatTheyNeedAndNothingElse(t *testing.T) {
	r := makeKeys(t, "--worker", "w1", "--worker", "w2")
	r.run("keys", r.dir, "--client", "alice") // in addition to the client without a name
	s := r.spied()
	written, err := os.ReadFile(filepath.Join(s.dir, "broker/nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if ours, err := os.ReadFile("../deploy/nats.conf"); err != nil || string(ours) != string(written) {
		t.Errorf("the broker does not run with deploy/nats.conf: %v", err)
	}
	may := func(users, user string) bool { return slices.Contains(strings.Fields(users), user) }
	tried, allowed := 0, 0
	for _, user := range []string{"client", "client.alice", "gateway", "frontdoor", "controller", "scheduler", "profiler", "worker.w1", "worker.w2", "operator", "health"} {
		first, second := s.connect(s.server.ClientURL(), user), s.second(s.server.ClientURL(), user)
		for i, row := range rights {
			subject, group, _ := strings.Cut(row.subject, " ")
			local, stored := inStore(subject)
			for _, as := range []struct {
				nc      *nats.Conn
				subject string
				by      spy
				allowed bool
			}{{first, subject, s.hot, !stored}, {first, local, s.hot, !stored}, {second, local, s.store, stored}} {
				if as.nc == nil {
					continue
				}
				if group == "" && !strings.ContainsAny(subject, "*>") {
					body := fmt.Sprintf("%s %d", user, i)
					refused := s.refused(as.nc, func() error { return as.nc.Publish(as.subject, []byte(body)) })
					heard := s.overheard(as.by, subject, body)
					if want := as.allowed && may(row.publish, user); refused == want || heard != want {
						t.Errorf("%s publishes on %s: refused %v, heard %v; allowed should be %v", user, as.subject, refused, heard, want)
					}
					tried++
					if !refused {
						allowed++
					}
				}
				refused := s.refused(as.nc, func() error {
					sub, err := as.nc.QueueSubscribe(as.subject, group, func(*nats.Msg) {})
					if err == nil {
						t.Cleanup(func() { _ = sub.Unsubscribe() })
					}
					return err
				})
				if want := may(row.subscribe, user) && (as.nc == first || strings.HasPrefix(subject, "_INBOX_")); refused == want {
					t.Errorf("%s subscribes to %s: refused %v; allowed should be %v", user, as.subject, refused, want)
				}
				tried++
				if !refused {
					allowed++
				}
			}
		}
	}
	t.Logf("%d tried, %d allowed", tried, allowed)
}

// TestWhoIsNoUserIsLetInNowhere connects without a key, with a key unknown to
// the broker, and with a revoked key.
func TestWhoIsNoUserIsLetInNowhere(t *testing.T) {
	s := startSpied(t, "--worker", "w1")
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

// public returns the public key of a user.
func (r *roles) public(user string) string {
	r.t.Helper()
	public, err := r.pair(user).PublicKey()
	if err != nil {
		r.t.Fatal(err)
	}
	return public
}

// hand returns the signature function of a user.
func (r *roles) hand(user string) nats.SignatureHandler { return r.pair(user).Sign }

func (r *roles) pair(user string) nkeys.KeyPair {
	r.t.Helper()
	body, err := os.ReadFile(r.credentials(user).NKey)
	if err != nil {
		r.t.Fatal(err)
	}
	pair, err := nkeys.ParseDecoratedUserNKey(body)
	if err != nil {
		r.t.Fatal(err)
	}
	return pair
}

// TestUsersOfOneRoleDoNotHearEachOther checks also that a service may answer
// each requester only once.
func TestUsersOfOneRoleDoNotHearEachOther(t *testing.T) {
	s := startSpied(t, "--worker", "w1", "--client", "alice", "--client", "bob")
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
	inbox := worker.NewInbox()
	if err := worker.PublishRequest("clockwork.clock.w1", inbox, nil); err != nil {
		t.Fatal(err)
	}
	m, err := asked.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	for i, allowed := range []bool{true, false} {
		body := fmt.Sprintf("answer %d", i)
		refused := s.refused(scheduler, func() error { return m.Respond([]byte(body)) })
		if heard := s.overheard(s.hot, inbox, body); refused == allowed || heard != allowed {
			t.Errorf("answer %d: refused %v, heard %v", i, refused, heard)
		}
	}
}

// TestAWorkerTakesNobodyElsesName checks the lease of a worker's name, as its
// own code acquires it.
func TestAWorkerTakesNobodyElsesName(t *testing.T) {
	s := startSpied(t, "--worker", "w1", "--worker", "w2")
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

// TestAStackServesWithEveryServiceInItsRole runs mutual TLS, a key per process,
// and streams that only the operator may make. Startup, load, profiling and
// requests work, a worker joins later, and the broker refuses none of it.
func TestAStackServesWithEveryServiceInItsRole(t *testing.T) {
	r := makeKeys(t, "--worker", "w1", "--worker", "w2", "--tls", "127.0.0.1", "--tls", "localhost")
	address, err := chaos.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	url := "tls://" + address
	broker := startProcess(t, "nats", "--config", filepath.Join(r.dir, "broker/nats-tls.conf"), "--listen", address, "--data", t.TempDir())
	services := map[string]*process{}
	start := func(user string, args ...string) *process {
		p := startProcess(t, slices.Concat(args, []string{"--nats", url}, r.flags(user))...)
		services[user] = p
		return p
	}
	worker := func(name string) *process {
		return start("worker."+name, "worker", "--name", name, "--generate-inputs", "--scale", "0.1")
	}
	// In any order: they wait for the broker and for the operator's streams.
	start("controller", "controller", "--front-door=false", "--load-idle", "700ms")
	start("frontdoor", "frontdoor")
	worker("w1")
	start("profiler", "profiler", "--profile-iterations", "3")
	scheduler := start("scheduler", "scheduler")
	as := func(user string, args ...string) string {
		return r.run(slices.Concat(args, []string{"--nats", url}, r.flags(user))...)
	}
	if out := r.awaitRun(slices.Concat([]string{"init", "--nats", url}, r.flags("operator"))); strings.Count(out, "made") != 6 {
		t.Errorf("the first init:\n%s", out)
	}
	if out := as("operator", "init"); strings.Count(out, "found") != 6 {
		t.Errorf("the second init:\n%s", out)
	}

	s := &stack{t: t, news: make(chan struct{}, 1)}
	s.client = r.client(url, "operator")
	stop, err := s.client.Events(s.record)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	s.awaitState("w1", func(st *protocol.StackState) bool { return len(st.Workers) == 1 })
	buffered := make(chan *protocol.Error, 1)
	clients := &stack{t: t, client: r.client(url, "client")}
	s.load("zoo/resnet18_v2", 2)
	go func() { // waits in the startup buffer until the stack is active
		_, refused := clients.infer("resnet18_v2-1", time.Second, patience)
		buffered <- refused
	}()
	s.awaitState("a request in the buffer", func(st *protocol.StackState) bool { return st.Buffered == 1 })
	s.activated()
	if refused := <-buffered; refused != nil {
		t.Errorf("a request that waited for activation: %v", refused)
	}
	if _, refused := clients.infer("resnet18_v2-2", 5*time.Second, 0); refused != nil {
		t.Errorf("a request: %v", refused)
	}
	if out := as("client", "infer", "resnet18_v2-1", "--slo", "5s"); !strings.Contains(out, "answered in") {
		t.Errorf("infer with an input of its own:\n%s", out)
	}
	if _, refused := (&stack{t: t, client: r.client(url, "gateway")}).infer("resnet18_v2-2", 5*time.Second, 0); refused != nil {
		t.Errorf("through a gateway: %v", refused)
	}

	worker("w2")
	s.awaitState("w2 at work", func(st *protocol.StackState) bool { return len(st.Workers) == 2 })
	for user, args := range map[string][]string{
		"controller": {"--service", "controller"}, "scheduler": {"--service", "scheduler"}, "profiler": {"--service", "profiler"},
		"worker.w1": {"--service", "worker", "--name", "w1"}, "operator": {"--service", "worker", "--name", "w2"},
		"health": {"--service", "nats"}, "client": {"--service", "stack"},
	} {
		if out := as(user, append([]string{"healthcheck"}, args...)...); !strings.Contains(out, "is healthy") {
			t.Errorf("healthcheck %v as %s:\n%s", args, user, out)
		}
	}
	if code := scheduler.terminate(); code != 0 { // its lease is released, and another scheduler takes it
		t.Errorf("the scheduler ended with code %d", code)
	}
	epoch := s.activeEpoch()
	start("scheduler", "scheduler")
	s.awaitState("a higher epoch", func(st *protocol.StackState) bool { return st.Epoch > epoch })
	if _, refused := clients.infer("resnet18_v2-1", 5*time.Second, 0); refused != nil {
		t.Errorf("with the next scheduler: %v", refused)
	}
	for user, p := range services {
		if strings.Contains(p.Log(), "permission denied by the broker") {
			t.Errorf("the broker refused something to %s:\n%s", user, p.Log())
		}
	}
	if strings.Contains(broker.Log(), "Violation") {
		t.Errorf("the broker refused something:\n%s", broker.Log())
	}

	r.withoutTLS(address)
	r.replyElsewhere(url)
	attacker := r.connect(url, "client")
	for deadline := time.Now().Add(patience); !strings.Contains(broker.Log(), "Publish Violation"); time.Sleep(20 * time.Millisecond) {
		if err := errors.Join(attacker.Publish("clockwork.load", []byte(`{}`)), attacker.FlushTimeout(patience)); err != nil { // the broker's lines are bounded
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("the broker does not tell of what it refuses:\n%s", broker.Log())
		}
	}
}

// activeEpoch returns the highest epoch that the stack has reported.
func (s *stack) activeEpoch() uint64 {
	s.t.Helper()
	var highest uint64
	s.awaitState("a state", func(st *protocol.StackState) bool {
		for _, w := range st.Workers {
			highest = max(highest, w.Epoch)
		}
		return highest > 0
	})
	return highest
}

// client returns a Clockwork client as a user.
func (r *roles) client(url, user string) *client.Client {
	r.t.Helper()
	options, err := r.credentials(user).Options()
	if err != nil {
		r.t.Fatal(err)
	}
	c, err := client.Connect(url, "", options...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	return c
}

// awaitRun is run with retries, for a broker that is still starting.
func (r *roles) awaitRun(args []string) string {
	r.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		out, err := exec.Command(binary, args...).CombinedOutput()
		if err == nil {
			return string(out)
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("clockwork %v: %v\n%s", args, err, out)
		}
	}
}

// withoutTLS checks that a connection without a valid certificate is rejected
// before the key, and that a client with our authority accepts no other broker.
func (r *roles) withoutTLS(address string) {
	r.t.Helper()
	full := r.credentials("operator")
	stranger := makeKeys(r.t, "--tls", "127.0.0.1")
	for what, c := range map[string]bus.Credentials{
		"no certificate":            {NKey: full.NKey, CA: full.CA},
		"a certificate of others":   {NKey: full.NKey, CA: full.CA, Cert: filepath.Join(stranger.dir, "tls/operator.pem"), Key: filepath.Join(stranger.dir, "tls/operator.key")},
		"another authority":         {NKey: full.NKey, CA: filepath.Join(stranger.dir, "tls/ca.pem"), Cert: full.Cert, Key: full.Key},
		"a certificate but no key":  {CA: full.CA, Cert: full.Cert, Key: full.Key},
		"no authority that we know": {NKey: full.NKey, Cert: full.Cert, Key: full.Key},
	} {
		options, err := c.Options()
		if err != nil {
			r.t.Fatal(err)
		}
		if nc, err := nats.Connect("nats://"+address, options...); err == nil {
			nc.Close()
			r.t.Errorf("%s: let in", what)
		}
	}
	open := startSpied(r.t)
	options, err := full.Options()
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := nats.Connect(open.server.ClientURL(), options...); !errors.Is(err, nats.ErrSecureConnWanted) {
		r.t.Errorf("to a broker without TLS: %v", err)
	}
}

// replyElsewhere checks that a client can neither make a front door send
// messages to a worker nor read the replies to others.
func (r *roles) replyElsewhere(url string) {
	r.t.Helper()
	w1, attacker := r.connect(url, "worker.w1"), r.connect(url, "client")
	heard, err := w1.SubscribeSync("_INBOX_worker.w1.attack")
	if err != nil {
		r.t.Fatal(err)
	}
	if err := w1.FlushTimeout(patience); err != nil {
		r.t.Fatal(err)
	}
	if err := attacker.PublishRequest("clockwork.infer.nobody", "_INBOX_worker.w1.attack", []byte(`{}`)); err != nil {
		r.t.Fatal(err)
	}
	// The only front door answers this request after that one.
	if _, err := attacker.Request("clockwork.infer.nobody", []byte(`{}`), patience); err != nil {
		r.t.Fatal(err)
	}
	if err := w1.FlushTimeout(patience); err != nil {
		r.t.Fatal(err)
	}
	if n, _, err := heard.Pending(); err != nil || n != 0 {
		r.t.Errorf("a worker heard %d answers to a client, %v", n, err)
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
