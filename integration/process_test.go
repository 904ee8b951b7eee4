package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"clockwork/pkg/client"
	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

// binary is the clockwork binary, built once for all tests of this package.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "clockwork-integration-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "clockwork")
	build := exec.Command("go", "build", "-o", binary, "../cmd/clockwork")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		panic(fmt.Sprintf("build clockwork: %v", err))
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// process is one clockwork process.
type process struct {
	*chaos.Process
	t *testing.T
}

// startProcess starts the binary. It is killed when the test ends.
func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	p, err := chaos.Start(binary, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("--- %v\n%s", args, p.Log())
		}
	})
	return &process{p, t}
}

// freeze stops the process. It does nothing any more when freeze returns.
func (p *process) freeze() {
	p.t.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		p.t.Fatal(err)
	}
	for end := time.Now().Add(patience); !p.Stopped(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatal("the process does not stop")
		}
	}
}

// terminate sends SIGTERM and returns the exit code.
func (p *process) terminate() int {
	p.t.Helper()
	code, err := p.Terminate(patience)
	if err != nil {
		p.t.Fatal(err)
	}
	return code
}

// wait waits for the end of the process and returns the exit code.
func (p *process) wait() int {
	p.t.Helper()
	code, err := p.Wait(patience)
	if err != nil {
		p.t.Fatal(err)
	}
	return code
}

// cluster is the stack as separate processes.
type cluster struct {
	*stack
	url  string
	nats *process
	// controllerArgs and workerArgs are added to the arguments of each controller
	// and worker.
	controllerArgs, workerArgs []string
}

// startCluster starts a broker process, with further arguments, and a client; the test
// starts the services.
func startCluster(t *testing.T, args ...string) *cluster {
	t.Helper()
	address, err := chaos.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{url: "nats://" + address, stack: &stack{t: t, news: make(chan struct{}, 1)},
		controllerArgs: []string{"--load-idle", "700ms"}, workerArgs: []string{"--generate-inputs", "--scale", "0.1"}}
	c.nats = startProcess(t, append([]string{"nats", "--listen", address, "--data", t.TempDir()}, args...)...)
	for deadline := time.Now().Add(patience); ; {
		if c.client, err = client.Connect(c.url, ""); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Cleanup(c.client.Close)
	stop, err := c.client.Events(c.record)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return c
}

func (c *cluster) service(args ...string) *process {
	c.t.Helper()
	return startProcess(c.t, append(args, "--nats", c.url)...)
}

func (c *cluster) controller() *process {
	return c.service(append([]string{"controller"}, c.controllerArgs...)...)
}

func (c *cluster) worker(name string) *process {
	return c.service(append([]string{"worker", "--name", name}, c.workerArgs...)...)
}

// rest starts the services that a test needs but does not control.
func (c *cluster) rest(workers ...string) {
	c.service("profiler", "--profile-iterations", "3")
	c.service("scheduler")
	for _, w := range workers {
		c.worker(w)
	}
}

// stages returns the stages named by events, in order, without repetition.
func (c *cluster) stages() []string {
	var names []string
	for _, e := range c.seen(func(e protocol.Event) bool { return e.Kind == protocol.EventStage }) {
		if len(names) == 0 || names[len(names)-1] != e.Stage {
			names = append(names, e.Stage)
		}
	}
	return names
}
