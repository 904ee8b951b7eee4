package integration

import (
	"context"
	"flag"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var clientsIn = flag.String("clients", "", "run the clients of integration/clients, which are installed in this virtual environment (make clients)")

// TestTheClientsThatPeopleHave runs Triton's own client, from its package, against a gateway
// and all services behind it.
func TestTheClientsThatPeopleHave(t *testing.T) {
	if *clientsIn == "" {
		t.Skip("needs Python packages; make clients installs and runs them")
	}
	s := startStack(t, quick())
	url, _ := s.startGateway()
	s.load("zoo/resnet18_v2", 1)
	s.activated()
	awaitHTTP(t, url+"/v2/models/resnet18_v2/ready")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	defer http.DefaultClient.CloseIdleConnections()
	command := exec.CommandContext(ctx, filepath.Join(*clientsIn, "bin", "python"), "clients/triton_http.py", strings.TrimPrefix(url, "http://"), "resnet18_v2")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := strings.Count(string(out), "ok: "); n < 60 {
		t.Errorf("%d checks: the test does not see them\n%s", n, out)
	}
	t.Logf("%s", out)
}
