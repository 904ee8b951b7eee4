package keys

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func write(t *testing.T, c Config) []string {
	t.Helper()
	if c.Prefix == "" {
		c.Prefix = "clockwork"
	}
	changes, err := Write(c)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, change := range changes {
		paths = append(paths, change.Path)
	}
	return paths
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestKeysAreSecretAndStay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	write(t, Config{Dir: dir, Workers: []string{"w1", "w2"}, Hosts: []string{"localhost"}})
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		secret := e.IsDir() && e.Name() != "broker" || strings.HasSuffix(path, ".nk") || strings.HasSuffix(path, ".key")
		if secret && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode().Perm())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	users := read(t, dir, "broker/users.conf")
	for _, u := range []string{"client", "gateway", "controller", "scheduler", "profiler", "worker.w1", "worker.w2", "operator", "health"} {
		seed := read(t, dir, u+".nk")
		if !strings.Contains(users, "# "+u+"\n") || !strings.Contains(seed, "\nSU") {
			t.Errorf("%s has no user, or no seed", u)
		}
		for line := range strings.Lines(seed) {
			if strings.HasPrefix(line, "SU") && strings.Contains(users, strings.TrimSpace(line)) {
				t.Errorf("the seed of %s stands in users.conf", u)
			}
		}
	}
	if changed := write(t, Config{Dir: dir, Hosts: []string{"localhost"}}); len(changed) != 0 {
		t.Errorf("a second time changes %v", changed)
	}
	if err := os.WriteFile(filepath.Join(dir, "broker/nats.conf"), []byte("# mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	kept := read(t, dir, "worker.w1.nk")
	if changed := write(t, Config{Dir: dir, Workers: []string{"w3"}}); strings.Join(changed, " ") != "worker.w3.nk broker/users.conf tls/worker.w3.key tls/worker.w3.pem" {
		t.Errorf("another worker changes %v", changed)
	}
	if read(t, dir, "worker.w1.nk") != kept || read(t, dir, "broker/nats.conf") != "# mine\n" {
		t.Error("what stood there was changed")
	}
}

func TestAKeyThatIsTakenBackIsNoUsers(t *testing.T) {
	dir := t.TempDir()
	write(t, Config{Dir: dir, Workers: []string{"w1"}})
	if err := os.Remove(filepath.Join(dir, "worker.w1.nk")); err != nil {
		t.Fatal(err)
	}
	write(t, Config{Dir: dir})
	if users := read(t, dir, "broker/users.conf"); strings.Contains(users, "worker") && strings.Contains(users, "# worker") {
		t.Error("a worker is a user yet, or all workers are one now")
	}
	for i := range 2 {
		if err := os.Remove(filepath.Join(dir, "operator.nk")); err != nil {
			t.Fatal(err)
		}
		before := read(t, dir, "broker/users.conf")
		write(t, Config{Dir: dir})
		if after := read(t, dir, "broker/users.conf"); before == after {
			t.Errorf("round %d: the operator's key is the same", i)
		}
	}
}

func TestUsersAreOfOneStack(t *testing.T) {
	dir := t.TempDir()
	write(t, Config{Dir: dir})
	if _, err := Write(Config{Dir: dir, Prefix: "another"}); err == nil || !strings.Contains(err.Error(), "prefix") {
		t.Errorf("another prefix: %v", err)
	}
	other := t.TempDir()
	write(t, Config{Dir: other, Prefix: "team.a"})
	users := read(t, other, "broker/users.conf")
	for _, want := range []string{`"team.a.infer.*"`, `"$KV.team_DOT_a_state.>"`, `"team.a.worker.*.action"`} {
		if !strings.Contains(users, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if strings.Contains(users, "clockwork.") {
		t.Error("the default prefix stands among the users of another")
	}
}

func TestNamesThatAreNoneAreRefused(t *testing.T) {
	for _, c := range []Config{
		{Workers: []string{"w.1"}}, {Workers: []string{"*"}}, {Workers: []string{">"}}, {Workers: []string{"worker"}},
		{Clients: []string{"a b"}}, {Clients: []string{"../x"}}, {Clients: []string{`x" , "`}},
	} {
		c.Dir, c.Prefix = t.TempDir(), "clockwork"
		if _, err := Write(c); err == nil {
			t.Errorf("%+v: written", c)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "root.nk"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(Config{Dir: dir, Prefix: "clockwork"}); err == nil {
		t.Error("a role that there is not")
	}
}

// TestNothingIsAllowedButByLists: no deny list, no user without lists, nobody who
// may publish everything.
func TestNothingIsAllowedButByLists(t *testing.T) {
	dir := t.TempDir()
	write(t, Config{Dir: dir, Clients: []string{"a"}, Hosts: []string{"localhost"}})
	t.Setenv("CLOCKWORK_SERVER_NAME", "nats-1")
	for _, file := range settings {
		o, err := server.ProcessConfigFile(Settings(dir, file))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if second := len(Roles) - 1; len(o.Nkeys) != len(Roles)+second || len(o.Users) != 0 || o.NoAuthUser != "" { // clients have no second user
			t.Errorf("%s: %d users, of %d roles", file, len(o.Nkeys), len(Roles))
		}
		if n := len(o.Accounts); n != 2+len(Roles)-1 {
			t.Errorf("%s: %d accounts", file, n)
		}
		alone := map[string]int{}
		for _, u := range o.Nkeys {
			alone[u.Account.GetName()]++
		}
		for account, users := range alone {
			if users > 1 && account != "clockwork" || account == "clockwork_store" {
				t.Errorf("%s: %d users share %s", file, users, account)
			}
		}
		for _, u := range o.Nkeys {
			p := u.Permissions
			if p == nil || p.Publish == nil || p.Subscribe == nil || len(p.Publish.Allow) == 0 || len(p.Subscribe.Allow) == 0 ||
				len(p.Publish.Deny)+len(p.Subscribe.Deny) > 0 {
				t.Errorf("%s: a user without lists, or with another than of what is allowed", file)
				continue
			}
			for _, subject := range append(p.Publish.Allow, p.Subscribe.Allow...) {
				if strings.HasPrefix(subject, ">") || strings.HasPrefix(subject, "*") || strings.HasPrefix(subject, "$JS.") || strings.HasPrefix(subject, "$KV.") {
					t.Errorf("%s: %s may be used", file, subject)
				}
			}
		}
		if secure := file != "nats.conf"; secure != (o.TLSConfig != nil && o.TLSConfig.ClientAuth == tls.RequireAndVerifyClientCert) {
			t.Errorf("%s: mutual TLS is %v", file, !secure)
		}
		if cluster := file == "nats-cluster-tls.conf"; cluster != (o.Cluster.TLSConfig != nil && o.Cluster.TLSConfig.ClientAuth == tls.RequireAndVerifyClientCert) {
			t.Errorf("%s: mutual TLS between servers is %v", file, !cluster)
		}
	}
}

func TestCertificatesAreMadeAnewBeforeTheyEnd(t *testing.T) {
	dir := t.TempDir()
	c := Config{Dir: dir, Hosts: []string{"localhost", "10.0.0.1"}}
	write(t, c)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "broker/server.pem"), filepath.Join(dir, "broker/server.key"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(read(t, dir, "tls/ca.pem")))
	for _, host := range []string{"localhost", "10.0.0.1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if changed := write(t, Config{Dir: dir, Hosts: append(c.Hosts, "nats")}); strings.Join(changed, " ") != "broker/server.key broker/server.pem" {
		t.Errorf("another host changes %v", changed)
	}
	// One that ends soon, from the same authority.
	w := &writer{config: Config{Dir: dir}}
	a, err := w.authority()
	if err != nil {
		t.Fatal(err)
	}
	short := blank("client", renewBefore-time.Hour)
	short.KeyUsage, short.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if _, _, err := w.issue("tls/client", short, a); err != nil {
		t.Fatal(err)
	}
	if changed := write(t, Config{Dir: dir, Hosts: append(c.Hosts, "nats")}); strings.Join(changed, " ") != "tls/client.key tls/client.pem" {
		t.Errorf("one that ends soon: %v changed", changed)
	}
	other := t.TempDir()
	write(t, Config{Dir: other, Hosts: c.Hosts})
	if err := os.WriteFile(filepath.Join(dir, "tls/client.key"), []byte(read(t, other, "tls/client.key")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(Config{Dir: dir, Prefix: "clockwork", Hosts: c.Hosts}); err == nil || !strings.Contains(err.Error(), "belong together") {
		t.Errorf("a key of another certificate: %v", err)
	}
}
