package integration

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

// A hostile client sends small messages that demand much memory, large
// meaningless ones, and nearly valid ones, on every subject that it may publish
// to. make test sends each of these once; make hostile sends them at full speed
// for half a minute, alongside a good client, and measures.

var hostileRun = flag.Bool("hostile", false, "send bombs at full speed for 30 s beside a good client, and measure (make hostile)")

const (
	hostileCalm   = 10 * time.Second
	hostileAttack = 30 * time.Second
	hostileSLO    = 100 * time.Millisecond
	hostileRate   = 100 // of the good client, in requests per second
	hostileConns  = 4
	// hostileLoss bounds how much the good client's share in its SLO may fall where there are
	// cores to spare: as many as coresToSpare. fewCoresLoss bounds it elsewhere.
	hostileLoss, fewCoresLoss = 0.01, 0.05
	coresToSpare              = 8
	// calmShare is the good client's share in its SLO, at least, while nobody attacks.
	calmShare = 0.5
	// hostileMemory bounds the memory of each process of the stack, in bytes.
	hostileMemory = 512 << 20
	// alienID is the id of no service of the stack.
	alienID = "nobody"
)

// bomb is one message, without its subject.
type bomb struct {
	name string
	nats.Msg
}

// hostileBombs returns the messages of a hostile client; the reply subjects of
// some are not its own.
func hostileBombs(inbox string) []bomb {
	rng := rand.New(rand.NewPCG(7, 7))
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	bodies := map[string][]byte{
		"nothing":                {},
		"a byte of no type":      {0xc1},
		"a list of 2^32":         {0xdd, 0xff, 0xff, 0xff, 0xff},
		"a map of 2^32":          {0xdf, 0xff, 0xff, 0xff, 0xff},
		"4 GiB of bytes":         {0xc6, 0xff, 0xff, 0xff, 0xff},
		"2 GiB of text":          {0xdb, 0x7f, 0xff, 0xff, 0xff},
		"inputs of 2^32":         {0x81, 0xa6, 'i', 'n', 'p', 'u', 't', 's', 0xdd, 0xff, 0xff, 0xff, 0xff},
		"lists in lists":         bytes.Repeat([]byte{0x91}, 100_000),
		"maps in maps":           bytes.Repeat([]byte{0x81}, 100_000),
		"65,537 zeros":           append([]byte{0xdd, 0, 1, 0, 1}, make([]byte, 65537)...),
		"JSON lists in lists":    []byte(`{"inputs":` + strings.Repeat("[", 100_000)),
		"JSON maps in maps":      []byte(strings.Repeat(`{"a":`, 100_000)),
		"a number too large":     []byte(`{"inputs":[{"data":[1e999]}]}`),
		"a number of 5,000":      []byte(`{"inputs":[{"name":"x","shape":[1],"datatype":"FP64","data":[` + strings.Repeat("9", 5000) + `]}]}`),
		"a shape that wraps":     []byte(`{"inputs":[{"name":"x","shape":[4294967296,4294967296],"datatype":"FP32","data":[1]}]}`),
		"a shape of another":     []byte(`{"inputs":[{"name":"data","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`),
		"a deadline of NaN":      {0x81, 0xaa, 'p', 'a', 'r', 'a', 'm', 'e', 't', 'e', 'r', 's', 0x81, 0xa6, 's', 'l', 'o', '_', 'm', 's', 0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1},
		"a deadline of infinity": {0x81, 0xaa, 'p', 'a', 'r', 'a', 'm', 'e', 't', 'e', 'r', 's', 0x81, 0xa6, 's', 'l', 'o', '_', 'm', 's', 0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0},
		"a deadline in the past": []byte(`{"parameters":{"slo_ms":-1e308}}`),
		"a million copies":       []byte(`{"path":"../../etc/passwd","copies":1000000}`),
		"noise":                  noise(64),
		"4 KiB of noise":         noise(4 << 10),
		"1 MiB of noise":         noise(1<<20 - 64),
	}
	var list []bomb
	names := make([]string, 0, len(bodies))
	for name := range bodies {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		// Between services, a message begins with the version of its format.
		internal := slices.Concat([]byte{1}, bodies[name])
		list = append(list, bomb{name, nats.Msg{Reply: inbox, Data: bodies[name]}}, bomb{name + ", between services", nats.Msg{Reply: inbox, Data: internal[:min(len(internal), 1<<20)]}})
	}
	for _, reply := range []string{"", "clockwork.infer.nobody", "clockwork.load", "$JS.API.INFO", "_INBOX_worker.w1.1", strings.Repeat("r", 2000)} {
		list = append(list, bomb{"a reply to " + reply[:min(len(reply), 30)], nats.Msg{Reply: reply, Data: []byte(`{}`)}})
	}
	long := nats.Header{"Content-Type": {strings.Repeat("x", 1000<<10)}}
	many := nats.Header{}
	for i := range 10_000 {
		many.Add(fmt.Sprintf("H-%d", i), "1")
	}
	return append(list, bomb{"a header of a megabyte", nats.Msg{Reply: inbox, Header: long}}, bomb{"10,000 headers", nats.Msg{Reply: inbox, Header: many}},
		bomb{"a trace of noise", nats.Msg{Reply: inbox, Header: nats.Header{"traceparent": {string(noise(300))}}, Data: []byte(`{}`)}})
}

// clientSubjects returns the subjects that a client may publish to by its role, and some that
// it may not; client is its name, "" for none.
func clientSubjects(model, client string) []string {
	s := protocol.Subjects{Prefix: protocol.DefaultPrefix}
	return []string{s.InferBy(model, client), s.InferBy("nobody", client), s.InferBy(strings.Repeat("m", 1000), client), s.Infer("a.b.c"),
		protocol.By(s.Ls(), client), protocol.By(s.State(), client)}
}

// allSubjects returns all subjects of pkg/protocol, for existing and for missing
// instances.
func allSubjects(model string, workers []string, doors []uint64) []string {
	s := protocol.Subjects{Prefix: protocol.DefaultPrefix}
	list := append(clientSubjects(model, ""), s.Load(), s.Event("stage"), s.Event(alienID), s.SchedulerStart(), s.SchedulerJoin(),
		s.ProfilerStart(), s.ProfilerReport(), s.Buffer(model), s.Buffer(alienID))
	for _, worker := range append(workers, alienID) {
		list = append(list, s.Action(worker), s.Input(worker), s.Result(worker), s.Clock(worker), s.Health(protocol.Worker, worker), s.Health(protocol.FrontDoor, worker))
		for _, kind := range []protocol.ServiceKind{protocol.Worker, protocol.Scheduler, protocol.FrontDoor, protocol.Profiler} {
			list = append(list, s.Heartbeat(kind, worker))
		}
	}
	for _, door := range append(doors, 12345) {
		list = append(list, s.Submit(door), s.Dispatch(door), s.OutputOf(door, workers[0]), s.Heartbeat(protocol.FrontDoor, protocol.DoorName(door)))
	}
	return list
}

// siege is a stack under attack by a hostile client.
type siege struct {
	t        *testing.T
	url      string
	names    []string // of the processes
	watched  []*chaos.Process
	subjects []string
	hostile  []nats.Option // the hostile client's connection options
	good     []nats.Option
	client   string // the good client's name
	models   []string
	serves   func() *protocol.Error // sends one request; nil if it was served
}

// TestAHostileClientOfAnOpenBroker: on an open broker every client may publish
// everywhere, but cannot bring a process down with unreadable messages.
func TestAHostileClientOfAnOpenBroker(t *testing.T) {
	m := newSoak(t)
	s := &siege{t: t, url: m.stack.URL, models: m.models()}
	for _, service := range m.stack.Services {
		s.names, s.watched = append(s.names, service.Name), append(s.watched, service.Process)
	}
	s.subjects = allSubjects(s.models[0], []string{"worker-1", "worker-2", bus.HostName()}, doorsOf(t, m.stack.Client.Conn()))
	s.serves = (&stack{t: t, client: m.stack.Client}).serves(s.models[0])
	s.run()
}

// TestAHostileClientWithAKey attacks with the key of one client, beside that of another:
// requests to models and reads of the state.
func TestAHostileClientWithAKey(t *testing.T) {
	r := makeKeys(t, "--worker", "w1", "--client", "alice", "--client", "mallory")
	address, err := chaos.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	s := &siege{t: t, url: "nats://" + address}
	start := func(user string, args ...string) {
		p := startProcess(t, slices.Concat(args, []string{"--nats", s.url}, r.flags(user))...)
		s.names, s.watched = append(s.names, args[0]), append(s.watched, p.Process)
	}
	broker := startProcess(t, "nats", "--config", filepath.Join(r.dir, "broker/nats.conf"), "--listen", address, "--data", t.TempDir())
	s.names, s.watched = append(s.names, "nats"), append(s.watched, broker.Process)
	r.awaitRun(slices.Concat([]string{"init", "--nats", s.url}, r.flags("operator")))
	start("controller", "controller", "--load-idle", "700ms")
	start("profiler", "profiler", "--profile-iterations", "3")
	start("scheduler", "scheduler")
	start("worker.w1", "worker", "--name", "w1", "--generate-inputs")
	operator := &stack{t: t, client: r.client(s.url, "operator")}
	operator.awaitState("w1", func(st *protocol.StackState) bool { return len(st.Workers) == 1 })
	operator.load("zoo/resnet18_v2", 2)
	operator.activated()
	s.models = []string{"resnet18_v2-1", "resnet18_v2-2"}
	s.subjects, s.client = clientSubjects(s.models[0], "mallory"), "alice"
	s.serves = operator.serves(s.models[0])
	if s.hostile, err = r.credentials("client.mallory").Options(); err == nil {
		s.good, err = r.credentials("client.alice").Options()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.run()
}

// serves returns a function that sends one request.
func (s *stack) serves(model string) func() *protocol.Error {
	return func() *protocol.Error {
		_, refusal := s.infer(model, 5*time.Second, 0)
		return refusal
	}
}

// doorsOf returns the front doors of a stack, by their heartbeats.
func doorsOf(t *testing.T, nc *nats.Conn) (doors []uint64) {
	t.Helper()
	subjects := protocol.Subjects{Prefix: protocol.DefaultPrefix}
	sub, err := nc.SubscribeSync(subjects.Heartbeat(protocol.FrontDoor, "*"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	for range 8 { // each sends several heartbeats
		m, err := sub.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		door, err := protocol.ParseDoor(subjects.Token(m.Subject, 2))
		if err != nil {
			t.Fatalf("%s names no front door: %v", m.Subject, err)
		}
		if !slices.Contains(doors, door) {
			doors = append(doors, door)
		}
	}
	return doors
}

func (s *siege) run() {
	if !*hostileRun {
		s.once()
		s.unharmed()
		return
	}
	s.measure()
	s.unharmed()
}

// unharmed checks that every process is alive and that a request is served.
func (s *siege) unharmed() {
	s.t.Helper()
	var refusal *protocol.Error
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		if refusal = s.serves(); refusal == nil {
			break
		}
		if time.Now().After(end) {
			s.t.Errorf("nothing is served afterwards: %v", refusal)
			break
		}
	}
	for i, p := range s.watched {
		select {
		case <-p.Done():
			s.t.Errorf("%s has ended:\n%s", s.names[i], p.Log())
		default:
		}
		if strings.Contains(p.Log(), "panic") {
			s.t.Errorf("%s says panic:\n%s", s.names[i], p.Log())
		}
	}
}

// once sends every bomb on every subject.
func (s *siege) once() {
	nc := s.connect()
	list := hostileBombs(nc.NewInbox())
	for _, subject := range s.subjects {
		for i := range list {
			if err := list[i].send(nc, subject); err != nil {
				s.t.Fatalf("%s on %.60s: %v", list[i].name, subject, err)
			}
		}
	}
	if err := nc.FlushTimeout(patience); err != nil {
		s.t.Fatal(err)
	}
	s.t.Logf("%d bombs on each of %d subjects", len(list), len(s.subjects))
}

func (b *bomb) send(nc *nats.Conn, subject string) error {
	return nc.PublishMsg(&nats.Msg{Subject: subject, Reply: b.Reply, Header: b.Header, Data: b.Data})
}

func (s *siege) connect() *nats.Conn {
	s.t.Helper()
	quiet := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}) // the broker refuses some replies
	nc, err := nats.Connect(s.url, append([]nats.Option{quiet, nats.MaxReconnects(-1)}, s.hostile...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	return nc
}

// measure floods the stack alongside a good client.
func (s *siege) measure() {
	traffic, err := chaos.StartTraffic(s.url, chaos.Load{Models: s.models, Client: s.client, Rate: hostileRate, SLO: hostileSLO}, s.good...)
	if err != nil {
		s.t.Fatal(err)
	}
	time.Sleep(hostileCalm)
	before := s.resident()
	began := time.Since(traffic.Began)
	sent, stop := s.flood()
	peak := slices.Clone(before)
	for end := time.Now().Add(hostileAttack); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		for i, bytes := range s.resident() {
			peak[i] = max(peak[i], bytes)
		}
	}
	stop()
	ended := time.Since(traffic.Began)
	outcomes := traffic.Stop(2 * time.Second)
	calm, attacked := shareIn(outcomes, 0, began), shareIn(outcomes, began, ended)
	s.t.Logf("hostile: %d connections, %.0f bombs/s on %d subjects, GOMAXPROCS %d", hostileConns, float64(sent.Load())/(ended-began).Seconds(), len(s.subjects), runtime.GOMAXPROCS(0))
	s.t.Logf("good client, %d requests/s, SLO %v: in SLO %.2f %% before, %.2f %% under attack", hostileRate, hostileSLO, 100*calm, 100*attacked)
	codes := map[protocol.Code]int{}
	for _, o := range outcomes {
		if o.At >= began && o.At < ended {
			codes[cmp.Or(o.Code, "no answer")]++
		}
	}
	s.t.Logf("under attack: %v", codes)
	for i, name := range s.names {
		s.t.Logf("%-14s %6.1f MiB before, %6.1f MiB at most under attack", name, mib(before[i]), mib(peak[i]))
		if peak[i] > hostileMemory {
			s.t.Errorf("%s holds more than %d MiB", name, hostileMemory>>20)
		}
	}
	most := hostileLoss
	if runtime.GOMAXPROCS(0) < coresToSpare {
		most = fewCoresLoss
	}
	if calm < calmShare {
		s.t.Errorf("the good client is not served without an attack either: %.2f %% in SLO", 100*calm)
	}
	if calm-attacked > most {
		s.t.Errorf("the good client lost %.2f points of its share, more than %.0f", 100*(calm-attacked), 100*most)
	}
}

// flood sends bombs from several connections at full speed; every other
// connection reads the replies.
func (s *siege) flood() (sent *atomic.Int64, stop func()) {
	sent = new(atomic.Int64)
	end := make(chan struct{})
	var work sync.WaitGroup
	for c := range hostileConns {
		nc := s.connect()
		inbox := nc.NewInbox()
		if c%2 == 0 {
			if _, err := nc.Subscribe(inbox, func(*nats.Msg) {}); err != nil {
				s.t.Fatal(err)
			}
		}
		list := hostileBombs(inbox)
		work.Go(func() {
			for i := c; ; i++ {
				select {
				case <-end:
					return
				default:
				}
				if list[(i/len(s.subjects))%len(list)].send(nc, s.subjects[i%len(s.subjects)]) == nil {
					sent.Add(1)
				} else {
					time.Sleep(time.Millisecond) // the broker closed the connection; it reconnects soon
				}
			}
		})
	}
	return sent, func() { close(end); work.Wait() }
}

func (s *siege) resident() []int64 {
	s.t.Helper()
	all := make([]int64, len(s.watched))
	for i, p := range s.watched {
		bytes, err := p.Resident()
		if err != nil {
			s.t.Fatalf("%s: %v", s.names[i], err)
		}
		all[i] = bytes
	}
	return all
}

// shareIn returns the share of requests due in an interval that were served in
// their SLO.
func shareIn(outcomes []chaos.Outcome, from, to time.Duration) float64 {
	due, served := 0, 0
	for _, o := range outcomes {
		if o.At < from || o.At >= to {
			continue
		}
		due++
		if o.Replies > 0 && o.Code == protocol.OK && o.Answered <= o.At+hostileSLO {
			served++
		}
	}
	return float64(served) / float64(max(due, 1))
}
