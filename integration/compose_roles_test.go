//go:build compose

package integration

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// containerUser is the user id of the containers, which must own the keys.
const containerUser = 65532

// TestComposeWithRoles runs the stack of deploy/docker-compose.secure.yml, with
// keys made by clockwork keys. A client is served, and refused everything
// outside its role.
func TestComposeWithRoles(t *testing.T) {
	begin := time.Now()
	r := makeKeys(t, "--at", "/keys", "--tls", "localhost,127.0.0.1,nats,nats-1,nats-2,nats-3")
	if err := filepath.WalkDir(r.dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, containerUser, containerUser))
	}); err != nil {
		t.Fatalf("give the keys to the containers' user, which takes root: %v", err)
	}
	c := newCompose(t, "COMPOSE_FILE=docker-compose.yml:deploy/docker-compose.secure.yml", "CLOCKWORK_KEYS="+r.dir)
	c.timed("up, with roles", func() { c.compose("up", "-d", "--scale", "worker=1", "--scale", "scheduler=1") })
	url := "tls://127.0.0.1:" + c.port
	c.timed("init, by the operator", func() { r.awaitRun(slices.Concat([]string{"init", "--nats", url}, r.flags("operator"))) })
	c.client = r.client(url, "operator")
	c.awaitWorkers(1)
	c.load("zoo/resnet18_v2", 2)
	c.timed("activation", func() { c.activated() })

	clients := &stack{t: t, client: r.client(url, "client")}
	if _, refused := clients.infer("resnet18_v2-1", 5*time.Second, patience); refused != nil {
		t.Errorf("a client's request: %v", refused)
	}
	nc := r.connect(url, "client")
	for _, subject := range []string{"clockwork.load", "clockwork.scheduler.start", "clockwork.worker.w1.action", "$JS.API.STREAM.DELETE.KV_clockwork_state"} {
		before := nc.LastError()
		if err := errors.Join(nc.Publish(subject, []byte("{}")), nc.FlushTimeout(patience)); err != nil {
			t.Fatal(err)
		}
		if after := nc.LastError(); after == before || !errors.Is(after, nats.ErrPermissionViolation) || !strings.Contains(after.Error(), subject) {
			t.Errorf("a client publishes on %s: the broker says %v", subject, after)
		}
	}
	if _, err := nats.Connect(url, nats.RootCAs(r.credentials("client").CA), nats.NoReconnect()); err == nil {
		t.Error("who has neither key nor certificate is let in")
	}
	t.Logf("%-34s %5.1f s", "all of it, with roles", time.Since(begin).Seconds())
}
