package integration

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"clockwork/pkg/client"
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
	t    *testing.T
	cmd  *exec.Cmd
	log  logBuffer
	done chan struct{}
	err  error // of the end, once done is closed
}

// logBuffer keeps what a process printed, for the test's failure.
type logBuffer struct {
	mu   sync.Mutex
	text []byte
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	return len(b), nil
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// startProcess starts the binary. It is killed when the test ends.
func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.Env = []string{"HOME=" + os.Getenv("HOME"), "PATH=" + os.Getenv("PATH")}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("--- %v\n%s", args, p.log.String())
		}
	})
	return p
}

// kill ends a process without warning and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// terminate asks a process to end and returns its exit code.
func (p *process) terminate() int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	return p.wait()
}

// wait waits for the end and returns the exit code.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%v does not end", p.cmd.Args)
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// cluster is the stack as separate processes.
type cluster struct {
	*stack
	url string
	// controllerArgs and workerArgs are added to each of these.
	controllerArgs, workerArgs []string
}

// startCluster starts a broker process and a client; the services are up to
// the test.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	address := freeAddress(t)
	c := &cluster{url: "nats://" + address, stack: &stack{t: t, news: make(chan struct{}, 1)},
		controllerArgs: []string{"--load-idle", "700ms"}, workerArgs: []string{"--generate-inputs", "--scale", "0.1"}}
	startProcess(t, "nats", "--listen", address, "--data", t.TempDir())
	var err error
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

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
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

// rest starts what the tests below need but do not touch.
func (c *cluster) rest(workers ...string) {
	c.service("profiler", "--profile-iterations", "3")
	c.service("scheduler")
	for _, w := range workers {
		c.worker(w)
	}
}

// stages returns the stages that events named, in order, without repetition.
func (c *cluster) stages() []string {
	var names []string
	for _, e := range c.seen(func(e protocol.Event) bool { return e.Kind == protocol.EventStage }) {
		if len(names) == 0 || names[len(names)-1] != e.Stage {
			names = append(names, e.Stage)
		}
	}
	return names
}
