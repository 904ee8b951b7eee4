package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/client"
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

// second connects as a user's second user, who reaches JetStream; nil if there is none.
func (r *roles) second(url, user string) *nats.Conn {
	r.t.Helper()
	if strings.HasPrefix(user, "client") {
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
