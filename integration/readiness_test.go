package integration

import (
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

// readyz is a process' /readyz.
type readyz struct {
	t   *testing.T
	url string
}

// says returns the probe's status and text; 0 if nobody answers.
func (p *readyz) says() (int, string) {
	r, err := http.Get(p.url)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

// await waits until the probe has this status and its text contains words.
func (p *readyz) await(status int, words string) {
	p.t.Helper()
	var got int
	var text string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if got, text = p.says(); got == status && strings.Contains(text, words) {
			return
		}
	}
	p.t.Fatalf("/readyz is %d, %q; want %d, %q", got, text, status, words)
}

// frontDoorWithProbe starts a front door of its own process.
func (c *cluster) frontDoorWithProbe(args ...string) (*process, *readyz) {
	c.t.Helper()
	address, err := chaos.FreeAddress()
	if err != nil {
		c.t.Fatal(err)
	}
	door := c.service(append([]string{"frontdoor", "--metrics", address}, args...)...)
	return door, &readyz{c.t, "http://" + address + "/readyz"}
}

// healthy reports whether `clockwork healthcheck` finds the stack healthy, and what it says.
func (c *cluster) healthy() (bool, string) {
	out, err := exec.Command(binary, "healthcheck", "--nats", c.url).CombinedOutput()
	return err == nil, string(out)
}

// Ready means that a request which is sent now can be served: with no worker, or with
// workers that are all out of service, front doors are not ready and the stack is not
// healthy.
func TestReadyMeansThatRequestsAreServed(t *testing.T) {
	c := startCluster(t)
	c.controllerArgs = append(c.controllerArgs, "--front-door=false")
	c.controller()
	_, ready := c.frontDoorWithProbe()
	ready.await(http.StatusServiceUnavailable, "the stage is QUERYING")
	if well, says := c.healthy(); well || !strings.Contains(says, "no worker") {
		t.Errorf("without a worker: %s", says)
	}
	c.rest()
	w := c.worker("w1")
	c.awaitState("a worker", func(s *protocol.StackState) bool { return len(s.Workers) == 1 })
	c.load("zoo/resnet18_v2", 1)
	c.awaitStage(protocol.Active)
	ready.await(http.StatusOK, "ready")
	if well, says := c.healthy(); !well {
		t.Errorf("with a worker: %s", says)
	}

	if code := w.terminate(); code != 0 {
		t.Errorf("worker ended with %d", code)
	}
	ready.await(http.StatusServiceUnavailable, "no served model is held by a GPU in service")
	c.awaitState("no worker", func(s *protocol.StackState) bool { return len(s.Workers) == 0 && s.GPUsServing == 0 })
	if well, says := c.healthy(); well {
		t.Errorf("after the worker left: %s", says)
	}

	w = c.worker("w1")
	ready.await(http.StatusOK, "ready")
	w.freeze()
	ready.await(http.StatusServiceUnavailable, "no served model is held by a GPU in service")
	if err := w.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	ready.await(http.StatusOK, "ready")
}

// Without any one kind of service a stack is not healthy before it is ACTIVE, and is healthy
// when the last of them comes. In ACTIVE it is healthy as long as requests are served.
func TestAStackWithoutOneKindOfServiceIsNotHealthy(t *testing.T) {
	c := startCluster(t)
	c.controllerArgs = append(c.controllerArgs, "--front-door=false")
	controller := c.controller()
	start := map[protocol.ServiceKind]func() *process{
		protocol.Worker:    func() *process { return c.worker("w1") },
		protocol.Profiler:  func() *process { return c.service("profiler", "--profile-iterations", "3") },
		protocol.Scheduler: func() *process { return c.service("scheduler") },
		protocol.FrontDoor: func() *process { return c.service("frontdoor") },
	}
	of := map[protocol.ServiceKind]*process{}
	for kind := range start {
		of[kind] = start[kind]()
	}
	healthy := func(when, words string) {
		t.Helper()
		var well bool
		var says string
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if well, says = c.healthy(); well == (words == "") && strings.Contains(says, words) {
				if state := c.says("state"); words != "" && !strings.Contains(state, words) {
					t.Errorf("%s state does not say %q: %s", when, words, state)
				}
				return
			}
		}
		t.Fatalf("%s: %v, %s; want %q", when, well, says, words)
	}
	for kind := range start {
		healthy("with all", "")
		of[kind].terminate()
		healthy("without "+string(kind), protocol.AbsentText([]protocol.ServiceKind{kind}))
		of[kind] = start[kind]()
	}
	healthy("with all again", "")
	c.load("zoo/resnet18_v2", 1)
	c.awaitStage(protocol.Active)
	for kind, says := range map[protocol.ServiceKind]string{
		protocol.Worker: "no served model is held by a GPU in service", protocol.Profiler: "",
		protocol.Scheduler: "no scheduler is active", protocol.FrontDoor: "no front door is connected",
	} {
		healthy("in ACTIVE with all", "")
		of[kind].terminate()
		healthy("in ACTIVE without "+string(kind), says)
		of[kind] = start[kind]()
	}
	healthy("in ACTIVE with all again", "")
	of[protocol.FrontDoor].terminate()
	c.awaitLog(controller, "no front door is connected")
}

// After SIGTERM a front door is not ready any more and goes on to serve, so that load
// balancers lose no request; a second signal ends it at once.
func TestReadinessEndsBeforeService(t *testing.T) {
	c := startCluster(t)
	c.controllerArgs = append(c.controllerArgs, "--front-door=false")
	c.controller()
	c.rest("w1")
	door, ready := c.frontDoorWithProbe("--shutdown-delay", "10m")
	c.awaitState("a worker", func(s *protocol.StackState) bool { return len(s.Workers) == 1 })
	c.load("zoo/resnet18_v2", 1)
	c.awaitStage(protocol.Active)
	ready.await(http.StatusOK, "ready")

	if err := door.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ready.await(http.StatusServiceUnavailable, "the process stops")
	if _, refusal := c.infer("resnet18_v2", patience, patience); refusal != nil {
		t.Errorf("while it is not ready: %v", refusal)
	}
	if err := door.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := door.wait(); code == 0 {
		t.Error("a second signal looks like a graceful end")
	}
}
