package integration

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// A burst is what clients with keys of their own send at once, each as many of the largest
// messages as its limit allows: together more than a front door has in flight, and less
// than the broker keeps for a connection.
const (
	burstOf    = 12
	burstItems = 13 // of 602,112 bytes: 7.8 MB of 8 MiB
	burstSLO   = time.Minute
)

var burstClients = []string{"alice", "bob", "carol", "dave", "erin"}

// burstCodes are what a request of a burst may be answered. On a busy machine more time may
// pass than it has.
var burstCodes = []protocol.Code{protocol.OK, protocol.Overloaded, protocol.DeadlineExceeded, protocol.DeadlineUnmeetable}

// burst is a stack of processes with roles and default limits.
type burst struct {
	*roles
	url      string
	broker   *process
	services map[string]*process
	body     []byte
	clients  map[string]*nats.Conn

	mu   sync.Mutex
	most map[string]int64 // bytes of memory
}

// TestABurstOfTheLargestMessages: 60 messages of 8 MB at once, several times, while another
// client goes on, also with a front door and a worker that stand still for a second. Each
// request has one answer, OK or a refusal with its reason; the broker cuts no connection,
// and no process takes more memory than its limits say.
func TestABurstOfTheLargestMessages(t *testing.T) {
	b := startBurst(t)
	stop := b.small()
	stopWatch := b.watchMemory()
	for round, paused := range []string{"", "frontdoor", "worker.w1"} {
		codes := b.round(round, paused)
		t.Logf("round %d, %q stands still: %v", round+1, paused, codes)
		for code := range codes {
			if !slices.Contains(burstCodes, code) {
				t.Errorf("round %d: %d answers are %s", round+1, codes[code], code)
			}
		}
		if codes[protocol.OK] < burstOf {
			t.Errorf("round %d: %v", round+1, codes)
		}
	}
	if sent, codes := stop(); codes[protocol.OK] != sent || sent == 0 {
		t.Errorf("of %d small requests beside them: %v", sent, codes)
	}
	stopWatch()
	b.checkLogs()
	b.checkMemory()
}

func startBurst(t *testing.T) *burst {
	args := []string{"--worker", "w1", "--client", "small"}
	for _, name := range burstClients {
		args = append(args, "--client", name)
	}
	b := &burst{roles: makeKeys(t, args...), services: map[string]*process{}, clients: map[string]*nats.Conn{}, most: map[string]int64{}}
	address, err := chaos.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	b.url = "nats://" + address
	b.broker = startProcess(t, "nats", "--config", filepath.Join(b.dir, "broker/nats.conf"), "--listen", address, "--data", t.TempDir())
	b.services["nats"] = b.broker
	b.awaitRun(slices.Concat([]string{"init", "--nats", b.url}, b.flags("operator")))
	for user, args := range map[string][]string{
		"controller": {"controller", "--front-door=false", "--load-idle", "700ms"}, "frontdoor": {"frontdoor"},
		"scheduler": {"scheduler"}, "profiler": {"profiler", "--profile-iterations", "3"},
		"worker.w1": {"worker", "--name", "w1", "--gpus", "2", "--scale", "0.1"},
	} {
		b.services[user] = startProcess(t, slices.Concat(args, []string{"--nats", b.url}, b.flags(user))...)
	}
	operator := &stack{t: t, client: b.client(b.url, "operator")}
	operator.awaitState("w1", func(st *protocol.StackState) bool { return len(st.Workers) == 1 })
	operator.load("zoo/resnet50_v2", 1)
	operator.load("zoo/null", 1)
	operator.activated()
	for _, name := range burstClients {
		b.clients[name] = b.connect(b.url, "client."+name)
	}
	slo := float64(burstSLO / time.Millisecond)
	b.body = wire.EncodeInfer(&protocol.InferRequest{Parameters: protocol.InferParameters{SLOMS: &slo}, Inputs: []protocol.Tensor{
		{Name: "input", Datatype: protocol.FP32, Shape: []int64{burstItems, 3, 224, 224}, Data: make([]byte, burstItems*3*224*224*4)}}})
	return b
}

// answers counts the answers of one burst.
type answers struct {
	mu    sync.Mutex
	count map[string]int // by reply subject
	codes map[protocol.Code]int
	left  int
	all   chan struct{}
}

func (a *answers) take(m *nats.Msg) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.codes[codeOfAnswer(m)]++
	if a.count[m.Subject]++; a.count[m.Subject] == 1 {
		if a.left--; a.left == 0 {
			close(a.all)
		}
	}
}

// codeOfAnswer is the code of an answer; one without a sentence is none.
func codeOfAnswer(m *nats.Msg) protocol.Code {
	if status := m.Header.Get("Status"); status != "" {
		return protocol.Code("the broker's " + status)
	}
	_, refusal := wire.DecodeResponse(m.Data)
	switch {
	case refusal == nil:
		return protocol.OK
	case refusal.Message == "":
		return protocol.Code(refusal.Code + " without a sentence")
	}
	return refusal.Code
}

// round sends a burst of each client at once, and returns the answers' codes.
func (b *burst) round(round int, paused string) map[protocol.Code]int {
	b.t.Helper()
	a := &answers{count: map[string]int{}, codes: map[protocol.Code]int{}, left: burstOf * len(burstClients), all: make(chan struct{})}
	if paused != "" {
		defer b.pause(b.services[paused], time.Second)()
	}
	var sending sync.WaitGroup
	for _, name := range burstClients {
		nc := b.clients[name]
		inbox := nc.NewInbox()
		sub, err := nc.Subscribe(inbox+".*", a.take)
		if err != nil {
			b.t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		subject := "clockwork.infer.resnet50_v2." + name
		sending.Go(func() {
			for i := range burstOf {
				if err := nc.PublishRequest(subject, inbox+"."+strconv.Itoa(i), b.body); err != nil {
					b.t.Error(err)
				}
			}
		})
	}
	sending.Wait()
	select {
	case <-a.all:
	case <-time.After(burstSLO + patience):
		a.mu.Lock()
		defer a.mu.Unlock()
		b.t.Fatalf("round %d: %d requests have no answer; the others: %v", round+1, a.left, a.codes)
	}
	time.Sleep(100 * time.Millisecond) // a second answer would come now
	a.mu.Lock()
	defer a.mu.Unlock()
	for subject, n := range a.count {
		if n != 1 {
			b.t.Errorf("round %d: %d answers on %s", round+1, n, subject)
		}
	}
	return maps.Clone(a.codes)
}

// pause stops a process for a while; the returned function waits until it goes on.
func (b *burst) pause(p *process, while time.Duration) (wait func()) {
	b.t.Helper()
	p.freeze()
	done := make(chan struct{})
	go func() {
		defer close(done)
		time.Sleep(while)
		if !p.Stopped() {
			b.t.Error("the process did not stand still")
		}
		if err := p.Signal(syscall.SIGCONT); err != nil {
			b.t.Error(err)
		}
	}()
	return func() { <-done }
}

// small sends one small request after the other until it is stopped; the returned function
// says how many it sent, and what the answers were.
func (b *burst) small() (stop func() (int, map[protocol.Code]int)) {
	c := &stack{t: b.t, client: b.client(b.url, "client.small")}
	slo := float64(burstSLO / time.Millisecond)
	request := &protocol.InferRequest{Parameters: protocol.InferParameters{SLOMS: &slo},
		Inputs: []protocol.Tensor{{Name: "input", Datatype: protocol.FP32, Shape: []int64{1, 64}, Data: make([]byte, 256)}}}
	end, done := make(chan struct{}), make(chan struct{})
	sent, codes := 0, map[protocol.Code]int{}
	go func() {
		defer close(done)
		for {
			select {
			case <-end:
				return
			case <-time.After(20 * time.Millisecond):
			}
			code := protocol.OK
			if _, refusal := c.client.Infer(b.t.Context(), "null", request, patience); refusal != nil {
				code = refusal.Code
			}
			sent++
			codes[code]++
		}
	}()
	return func() (int, map[protocol.Code]int) { close(end); <-done; return sent, codes }
}

// watchMemory notes the most memory that each process has.
func (b *burst) watchMemory() (stop func()) {
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			for name, p := range b.services {
				if n, err := p.Resident(); err == nil {
					b.mu.Lock()
					b.most[name] = max(b.most[name], n)
					b.mu.Unlock()
				}
			}
			select {
			case <-end:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() { close(end); <-done }
}

// mostMemory is what a process may take: what the broker keeps for a connection and what a
// front door has in flight are 1 GiB, which the collector may let grow to twice that.
const mostMemory = 3 << 30

func (b *burst) checkMemory() {
	for name, n := range b.most {
		if b.t.Logf("%s: %d MiB", name, n>>20); n > mostMemory {
			b.t.Errorf("%s takes %d MiB", name, n>>20)
		}
	}
}

// checkLogs: the broker cut nobody, and no service lost the broker or a message. On a busy
// machine the broker may say that a connection takes its messages slowly.
func (b *burst) checkLogs() {
	for name, p := range b.services {
		log := p.Log()
		for _, what := range []string{"MaxPending", "lost the broker", "reached the broker again", "not sent", "broker reports"} {
			if strings.Contains(log, what) {
				b.t.Errorf("%s says %q", name, what)
			}
		}
	}
}
