//go:build compose

package integration

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"clockwork/pkg/client"
	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

// compose is the stack of docker-compose.yml, with a project name and a port of
// its own.
type compose struct {
	*stack
	command []string // docker compose, or docker-compose
	env     []string
	project string
	port    string // of the broker, on this machine
}

// slow bounds one command of compose.
const slow = 10 * time.Minute

// startCompose brings the stack up with two workers and connects to it.
func startCompose(t *testing.T) *compose {
	t.Helper()
	c := newCompose(t)
	c.timed("up", func() {
		c.compose("up", "-d")
		c.connect("nats://127.0.0.1:" + c.port)
		c.awaitWorkers(2)
	})
	return c
}

// newCompose builds the image; at the end of the test it takes down the stack.
func newCompose(t *testing.T, settings ...string) *compose {
	t.Helper()
	address, err := chaos.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	c := &compose{
		stack:   &stack{t: t, news: make(chan struct{}, 1)},
		command: []string{"docker-compose"},
		project: "clockwork-test-" + strconv.Itoa(os.Getpid()) + "-" + strings.ToLower(t.Name()),
	}
	if _, c.port, err = net.SplitHostPort(address); err != nil {
		t.Fatal(err)
	}
	_, http, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	_, grpc, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	if exec.Command("docker", "compose", "version").Run() == nil {
		c.command = []string{"docker", "compose"}
	}
	c.env = append(append(os.Environ(), "COMPOSE_PROJECT_NAME="+c.project, "CLOCKWORK_PORT="+c.port, "CLOCKWORK_HTTP_PORT="+http, "CLOCKWORK_GRPC_PORT="+grpc,
		"CLOCKWORK_IMAGE=clockwork-test", "CLOCKWORK_LOAD_IDLE=2s", "CLOCKWORK_PAGES=16"), settings...)
	c.timed("build", func() { c.compose("build") })
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.compose("logs", "--no-color", "--tail", "60"))
		}
		c.compose("down", "-v", "--timeout", "20")
	})
	return c
}

func (c *compose) timed(what string, do func()) {
	begin := time.Now()
	do()
	c.t.Logf("%-34s %5.1f s", what, time.Since(begin).Seconds())
}

// compose runs a command of compose and returns its output.
func (c *compose) compose(args ...string) string {
	c.t.Helper()
	return c.run(append(slices.Clone(c.command), args...)...)
}

func (c *compose) run(args ...string) string {
	c.t.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

func (c *compose) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), slow)
	defer cancel()
	command := exec.CommandContext(ctx, args[0], args[1:]...)
	command.Dir, command.Env = "..", c.env
	out, err := command.CombinedOutput()
	return string(out), err
}

// connect retries: the broker's container has to start.
func (c *compose) connect(url string) {
	c.t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if c.client, err = client.Connect(url, ""); err == nil {
			c.t.Cleanup(c.client.Close)
			return
		}
	}
	c.t.Fatal(err)
}

func (c *compose) awaitWorkers(n int) {
	c.t.Helper()
	c.awaitState(fmt.Sprintf("%d workers", n), func(s *protocol.StackState) bool { return len(s.Workers) == n })
}

// containers returns the short ids of a service's containers, which are the
// workers' names.
func (c *compose) containers(service string) []string {
	c.t.Helper()
	var ids []string
	for _, id := range strings.Fields(c.compose("ps", "-q", service)) {
		ids = append(ids, id[:12])
	}
	return ids
}

func (c *compose) clockwork(args ...string) string {
	c.t.Helper()
	return c.run(append([]string{binary, "--nats", c.client.Conn().ConnectedUrl()}, args...)...)
}

// awaitHealthy waits until docker reports every container as healthy.
func (c *compose) awaitHealthy() {
	c.t.Helper()
	var text string
	for end := time.Now().Add(2 * patience); time.Now().Before(end); time.Sleep(time.Second) {
		ids := c.running()
		text = c.run(append([]string{"docker", "inspect", "--format", "{{.Name}} {{.State.Health.Status}}"}, ids...)...)
		if strings.Count(text, " healthy\n") == len(ids) {
			return
		}
	}
	c.t.Fatalf("not all containers are healthy:\n%s", text)
}

// running returns the ids of all running containers.
func (c *compose) running() []string {
	c.t.Helper()
	return strings.Fields(c.run("docker", "ps", "-q", "--filter", "label=com.docker.compose.project="+c.project))
}

// endings counts the containers that ended since an instant, by exit code.
func (c *compose) endings(since time.Time) map[string]int {
	c.t.Helper()
	ended := map[string]int{}
	stamp := func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
	out := c.run("docker", "events", "--since", stamp(since), "--until", stamp(time.Now().Add(time.Second)),
		"--filter", "label=com.docker.compose.project="+c.project, "--filter", "event=die",
		"--format", `{{index .Actor.Attributes "com.docker.compose.service"}} {{.Actor.Attributes.exitCode}}`)
	for line := range strings.Lines(out) {
		service, code := strings.Fields(line)[0], strings.Fields(line)[1]
		if code != "0" { // who it was
			code += " of " + service
		}
		ended["exit code "+code]++
	}
	return ended
}

// load sends requests to the models until stopped, and counts the codes and the
// workers of the replies.
type load struct {
	c    *compose
	end  chan struct{}
	work sync.WaitGroup

	mu         sync.Mutex
	sent       int
	codes      map[protocol.Code]int
	by         map[string]int
	unanswered int
	slowest    time.Duration
	begin      time.Time
	faults     []string // the first few that were not OK
}

// heavy is a model of 12 pages: the test's GPUs hold one copy each, so four
// copies need four GPUs.
const heavy = "resnest101"

func (c *compose) send(slo time.Duration, senders int) *load {
	l := &load{c: c, end: make(chan struct{}), codes: map[protocol.Code]int{}, by: map[string]int{}, begin: time.Now()}
	for i := range senders {
		l.work.Go(func() {
			for {
				select {
				case <-l.end:
					return
				default:
					l.one(fmt.Sprintf("%s-%d", heavy, 1+i%4), slo)
				}
			}
		})
	}
	return l
}

func (l *load) one(model string, slo time.Duration) {
	begin := time.Now()
	response, refused := l.c.infer(model, slo, 5*time.Second)
	took := time.Since(begin)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	l.slowest = max(l.slowest, took)
	if refused != nil && len(l.faults) < 10 {
		l.faults = append(l.faults, fmt.Sprintf("%.1f s: %s: %s", time.Since(l.begin).Seconds(), refused.Code, refused.Message))
	}
	switch {
	case refused == nil:
		l.codes[protocol.OK]++
		l.by[response.Parameters.Worker]++
	case strings.HasPrefix(refused.Message, "no answer"):
		l.unanswered++
	default:
		l.codes[refused.Code]++
	}
}

// flows waits until n more requests were answered OK.
func (l *load) flows(n int) {
	l.c.t.Helper()
	ok := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.codes[protocol.OK]
	}
	until := ok() + n
	for end := time.Now().Add(patience); ok() < until; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			l.c.t.Fatalf("%d of %d requests were answered OK", ok(), l.sent)
		}
	}
}

// ranOn reports whether each of these workers has answered a request.
func (l *load) ranOn(workers []string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !slices.ContainsFunc(workers, func(w string) bool { return l.by[w] == 0 })
}

// stop ends the load, prints its counts and checks that no request was lost:
// each was answered, with OK or a missed deadline.
func (l *load) stop(what string) {
	l.c.t.Helper()
	close(l.end)
	l.work.Wait()
	l.c.t.Logf("%-34s sent %d = %v + unanswered %d; slowest %d ms", what, l.sent, l.codes, l.unanswered, l.slowest.Milliseconds())
	answered := 0
	for _, n := range l.codes {
		answered += n
	}
	missed := l.codes[protocol.DeadlineExceeded]
	if l.sent != answered+l.unanswered || l.unanswered > 0 || l.codes[protocol.OK]+missed != l.sent || missed > l.sent/mostMissed {
		l.c.t.Errorf("%s: requests were lost; the first:\n%s", what, strings.Join(l.faults, "\n"))
	}
}

// mostMissed: one in this many requests may miss its deadline, because a machine
// that builds images and starts containers at the same time does not keep the
// workers' windows.
const mostMissed = 100

// TestComposeScalesUnderLoad starts the stack, scales workers and front doors
// out and in under load, stops the active scheduler, and takes the stack down.
// No request is lost.
func TestComposeScalesUnderLoad(t *testing.T) {
	begin := time.Now()
	c := startCompose(t)
	c.clockwork("load", "zoo/"+heavy, "--copies", "4")
	c.timed("activation", func() { c.activated() })
	if out := c.compose("run", "--rm", "cli", "state"); !strings.Contains(out, "ACTIVE") {
		t.Errorf("cli state said:\n%s", out)
	}
	c.healthOfOthers()

	l := c.send(900*time.Millisecond, 16) // detecting a silent worker takes longer
	l.flows(200)
	c.timed("scale to 4 workers, 3 front doors", func() {
		c.compose("up", "-d", "--no-recreate", "--scale", "worker=4", "--scale", "frontdoor=3")
	})
	c.timed("4 workers joined", func() { c.awaitWorkers(4) })
	four := c.containers("worker")
	c.timed("requests ran on all of them", func() {
		for end := time.Now().Add(patience); !l.ranOn(four); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("requests ran on %v, not on all of %v", l.by, four)
			}
		}
	})
	if doors := c.containers("frontdoor"); len(doors) != 3 {
		t.Errorf("front doors are %v, want 3", doors)
	}
	c.timed("all containers healthy", c.awaitHealthy)
	since := time.Now()
	c.timed("scale to 2 workers, 1 front door", func() {
		c.compose("up", "-d", "--no-recreate", "--scale", "worker=2", "--scale", "frontdoor=1")
	})
	c.awaitWorkers(2)
	l.flows(200)
	l.stop("2 to 4 to 2 workers")
	c.ended(since, 4) // two workers, two front doors

	c.takeOver()

	since = time.Now()
	running := c.running()
	c.timed("stop", func() { c.compose("stop", "--timeout", "20") })
	c.ended(since, len(running))
	if t.Failed() {
		t.Log(c.compose("logs", "--no-color", "--tail", "60")) // down removes them
	}
	c.timed("down -v", func() { c.compose("down", "-v", "--timeout", "20") })
	if left := c.run("docker", "ps", "-aq", "--filter", "label=com.docker.compose.project="+c.project) +
		c.run("docker", "volume", "ls", "-q", "--filter", "label=com.docker.compose.project="+c.project); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	t.Logf("%-34s %5.1f s", "all of it", time.Since(begin).Seconds())
}

// healthOfOthers checks that a health check covers only the services of its own
// host, and names the reason.
func (c *compose) healthOfOthers() {
	c.t.Helper()
	worker := c.containers("worker")[0]
	out, err := c.try("docker", "exec", worker, "/clockwork", "healthcheck", "--service", "profiler", "--timeout", "1s")
	if err == nil || strings.Count(out, "\n") != 1 || !strings.Contains(out, "profiler is not healthy: none on "+worker) {
		c.t.Errorf("the health of a profiler in a worker's container: %v, %q", err, out)
	}
	if out = c.run("docker", "exec", worker, "/clockwork", "healthcheck", "--service", "worker"); !strings.HasPrefix(out, "worker is healthy: ") {
		c.t.Errorf("a worker's health: %q", out)
	}
}

// ended checks that n containers ended since an instant, each with code 0.
func (c *compose) ended(since time.Time, n int) {
	c.t.Helper()
	ended := c.endings(since)
	c.t.Logf("%-34s %v", "containers that ended", ended)
	if !maps.Equal(ended, map[string]int{"exit code 0": n}) {
		c.t.Errorf("%v ended, want %d with code 0", ended, n)
	}
}

// takeOver stops the active scheduler under load.
func (c *compose) takeOver() {
	c.t.Helper()
	l := c.send(10*time.Second, 8)
	l.flows(50)
	epoch := c.activated().Epoch
	for _, id := range c.containers("scheduler") {
		if strings.Contains(c.run("docker", "exec", id, "/clockwork", "healthcheck", "--service", "scheduler"), "active") {
			begin := time.Now()
			c.run("docker", "stop", id)
			c.awaitState("a higher epoch", func(s *protocol.StackState) bool { return s.Epoch > epoch })
			c.t.Logf("%-34s %5.1f s", "the other scheduler is active", time.Since(begin).Seconds())
			l.flows(100)
			l.stop("stop of the active scheduler")
			return
		}
	}
	c.t.Fatal("no scheduler is active")
}
