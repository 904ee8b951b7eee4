package integration

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	bus "clockwork/pkg/adapter/nats"
)

// tapped is a broker in this process with the configuration written by clockwork
// keys, and an additional user who receives all messages.
type tapped struct {
	*roles
	server *server.Server
	hot    tap // of what services and clients say to each other
	store  tap // of what reaches JetStream
}

// tap is an additional user of one account.
type tap struct {
	nc    *nats.Conn
	heard *nats.Subscription
}

func startTapped(t *testing.T, keys ...string) *tapped {
	t.Helper()
	return makeKeys(t, keys...).tapped()
}

func (r *roles) tapped() *tapped {
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
	s := &tapped{roles: r}
	if s.server, err = server.NewServer(options); err != nil {
		t.Fatal(err)
	}
	go s.server.Start()
	if !s.server.ReadyForConnections(patience) {
		t.Fatal("the broker does not start")
	}
	t.Cleanup(func() { bus.StopServer(s.server) })
	tapIn := func(account string) (x tap) {
		x.nc, err = nats.Connect(s.server.ClientURL(), nats.Nkey(as[account]()), nats.SyncQueueLen(1<<20)) // it has to hear all
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(x.nc.Close)
		if x.heard, err = x.nc.SubscribeSync(">"); err == nil {
			err = x.heard.SetPendingLimits(-1, -1)
		}
		if err != nil {
			t.Fatal(err)
		}
		s.flush(x.nc)
		return x
	}
	s.hot, s.store = tapIn("clockwork"), tapIn("clockwork_store")
	return s
}

func (s *tapped) flush(nc *nats.Conn) {
	s.t.Helper()
	if err := nc.FlushTimeout(patience); err != nil {
		s.t.Fatal(err)
	}
}

// refused calls do as a user and reports whether the broker refused it for lack
// of permission: the broker reports that before it answers the flush.
func (s *tapped) refused(nc *nats.Conn, do func() error) bool {
	s.t.Helper()
	before := nc.LastError()
	if err := do(); err != nil {
		s.t.Fatal(err)
	}
	s.flush(nc)
	after := nc.LastError()
	return after != before && errors.Is(after, nats.ErrPermissionViolation)
}

// overheard reports whether a tap received a body on a subject, and discards all
// other messages.
func (s *tapped) overheard(by tap, subject, body string) (heard bool) {
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
