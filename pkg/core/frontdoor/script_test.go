package frontdoor

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/core/quota"
	"clockwork/pkg/protocol"
	play "clockwork/pkg/testkit/script"
)

// TestScripts plays testdata/*.txt. A line is an instant and an event, as script.event
// reads them; what the front door gave out stands below.
func TestScripts(t *testing.T) {
	play.Play(t, "testdata/*.txt", func(t *testing.T) func(string) string {
		s := newScript(t)
		return func(line string) string { return s.step(strings.Fields(line)) }
	})
}

// testConfig is small enough for a script to reach every bound.
func testConfig() Config {
	c := Defaults()
	c.ID, c.Subjects, c.DefaultSLO = 7, protocol.Subjects{Prefix: "clockwork"}, 100*time.Millisecond
	c.MaxInFlight, c.MaxInFlightBytes, c.MaxInFlightOutputs, c.MaxPayload = 4, 64, 64, 32
	alice := quota.Unlimited
	alice.Requests = 1
	c.Limits = quota.Rules{Tenants: map[string]quota.Limit{"alice": alice}, Others: quota.Unlimited, Anonymous: quota.Unlimited, OtherModels: quota.Unlimited}
	c.SlowSlots, c.LargeSlots, c.StoreSlots, c.LargeBody, c.LargeInput = 4, 3, 4, 1000, 8
	c.BufferTimeout, c.Claims, c.EarlyBytes = 10*time.Second, 2, 4*2*(earlyCost+8)
	return c
}

// spec is a model with one input and one output of 8 bytes an item.
func spec(name string) protocol.ModelSpec {
	tensor := []protocol.TensorSpec{{Name: "x", Datatype: protocol.FP32, Shape: []int64{2}}}
	return protocol.ModelSpec{Name: name, Inputs: tensor, Outputs: tensor, BatchSizes: []int{1, 2, 4}}
}

type script struct {
	t        *testing.T
	m        *Machine
	admitted []*Request
	breaks   uint64 // of the connection
}

func newScript(t *testing.T) *script { return &script{t: t, m: New(testConfig())} }

func (s *script) step(fields []string) string {
	at, err := time.ParseDuration(fields[0])
	if err != nil {
		s.t.Fatal(err)
	}
	if fields[1] == "serving" {
		v := s.m.Snapshot()
		return fmt.Sprintf("epoch %d, %d GPUs take work\n", v.Epoch, v.Capacity.GPUs)
	}
	if fields[1] == "counts" {
		v := s.m.Snapshot()
		return fmt.Sprintf("received %d, answered %d, late %d, left %d, in flight %d, waiting %d\n", v.Received, v.Answered, v.Late, v.Left, v.InFlight, v.Waiting)
	}
	now := protocol.Time(at)
	var b strings.Builder
	s.show(&b, now, s.m.Step(now, s.event(args(fields[1:]))))
	return b.String()
}

// args are the words of an event; key=value words are looked up by get.
type args []string

func (a args) get(key, fallback string) string {
	for _, word := range a {
		if v, ok := strings.CutPrefix(word, key+"="); ok {
			return v
		}
	}
	return fallback
}

func (a args) has(word string) bool {
	for _, w := range a {
		if w == word {
			return true
		}
	}
	return false
}

func (s *script) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *script) span(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// event reads an event:
//
//	in MODEL[.TENANT] [reply=SUBJECT] [bytes=N] [slow] [direct]; gone REQUEST  its client is
//	decoded|undecoded|stored N ...   the N-th message that was admitted:
//	  decoded N [slo=100ms] [payload=8] [batch=1] [generated]; undecoded N CODE; stored N [CODE]
//	stage STAGE; model NAME; dropped NAME
//	beat|lost SCHEDULER active|standby EPOCH
//	to REQUEST WORKER [cold] [crashes=N]; refuse REQUEST [CODE]; ok|yours|taken REQUEST
//	  [door=N] [epoch=N]: that of the scheduler, by default the last one in charge
//	output WORKER REQUEST [bytes=8] [door=N]
//	unsent REQUEST DEADLINE [bytes=0] [waited=0s]  its OK is not sent; the SLO is 100 ms
//	inputsent                        the large input is sent
//	down; broke                      the broker is not reached; a connection to it broke
//	seen NUMBER MODEL [stored=0] [age=0s] [budget=0s] [bytes=0] [reply=SUBJECT]
//	claimed NUMBER mine|gone|unknown [fault=CODE] [stored=0]
//	bufferlost; bufferreleased; stop; tick
//	counts                           shows the accounts
func (s *script) event(a args) Event {
	id := func(i int) protocol.RequestID {
		return protocol.RequestID{Door: uint64(s.number(a.get("door", "7"))), Seq: uint64(s.number(a[i]))}
	}
	word := func(kind protocol.DispatchKind) *Dispatched {
		return &Dispatched{protocol.Dispatch{ID: id(1), Kind: kind, Epoch: uint64(s.number(a.get("epoch", fmt.Sprint(s.m.LastEpoch()))))}}
	}
	switch a[0] {
	case "in":
		model, tenant, _ := strings.Cut(a[1], ".")
		if a.has("direct") {
			return &Inbound{Model: model, Bytes: 100, Direct: true}
		}
		return &Inbound{Model: model, Tenant: tenant, Reply: a.get("reply", "_INBOX.x"), Bytes: s.number(a.get("bytes", "100")), Slow: a.has("slow")}
	case "gone":
		return &ClientGone{id(1)}
	case "decoded":
		d := s.read(a)
		d.Request = s.admitted[s.number(a[1])-1]
		return &d
	case "undecoded":
		return &Undecoded{s.admitted[s.number(a[1])-1], protocol.Refusal(protocol.Code(a[2]))}
	case "stored":
		e := &Stored{Request: s.admitted[s.number(a[1])-1]}
		if len(a) > 2 {
			e.Fault = protocol.Refusal(protocol.Code(a[2]))
		}
		return e
	case "stage":
		for stage := protocol.Querying; stage <= protocol.Active; stage++ {
			if stage.String() == a[1] {
				return &StageSeen{stage}
			}
		}
	case "model":
		return &ModelSeen{spec(a[1])}
	case "dropped":
		return &ModelDropped{a[1]}
	case "beat", "lost":
		h := protocol.Heartbeat{ID: a[1], State: protocol.Standby, Epoch: uint64(s.number(a[3])), Incarnation: 1}
		if a[2] == "active" {
			h.State = protocol.SchedulerActive
		}
		h.Capacity.GPUs = s.number(a.get("gpus", "0"))
		if a[0] == "beat" {
			return &SchedulerBeat{h}
		}
		return &SchedulerLost{h}
	case "to":
		e := word(protocol.ToWorker)
		e.Worker, e.Cold, e.Crashes = a[2], a.has("cold"), uint8(s.number(a.get("crashes", "0")))
		return e
	case "refuse":
		e := word(protocol.Refuse)
		if len(a) > 2 {
			e.Refusal = protocol.Refusal(protocol.Code(a[2]))
		}
		return e
	case "ok":
		return word(protocol.Answer)
	case "yours":
		return word(protocol.Yours)
	case "taken":
		return word(protocol.Taken)
	case "output":
		return &OutputArrived{a[1], &protocol.Output{ID: id(2), Batch: 1, Items: 1, Data: make([]byte, s.number(a.get("bytes", "8")))}}
	case "unsent":
		deadline := protocol.Time(s.span(a[2]))
		return &Unsent{ID: id(1), Arrived: deadline.Add(-100 * time.Millisecond), Deadline: deadline,
			Waited: s.span(a.get("waited", "0s")), Bytes: int64(s.number(a.get("bytes", "0"))), Limit: 1000}
	case "inputsent":
		return &InputSent{}
	case "down":
		return &Connection{Breaks: s.breaks}
	case "broke":
		s.breaks++
		return &Connection{Up: true, Breaks: s.breaks}
	case "seen":
		return &BufferSeen{BufferedID: s.buffered(a), Model: a[2], Reply: a.get("reply", "_INBOX.x"), Age: s.span(a.get("age", "0s")), Budget: s.span(a.get("budget", "0s")), Bytes: s.number(a.get("bytes", "0"))}
	case "claimed":
		e := &Claimed{BufferedID: s.buffered(a), Mine: a.has("mine"), Unknown: a.has("unknown"), Read: s.read(a), Bytes: 100}
		if code := a.get("fault", ""); code != "" {
			e.Fault = protocol.Refusal(protocol.Code(code))
		}
		return e
	case "bufferlost":
		return &BufferLost{}
	case "bufferreleased":
		return &BufferReleased{}
	case "stop":
		return &Stop{}
	case "tick":
		return &Tick{}
	}
	s.t.Fatalf("no such event: %v", a)
	return nil
}

func (s *script) buffered(a args) BufferedID {
	return BufferedID{Seq: uint64(s.number(a[1])), Stored: int64(s.number(a.get("stored", "0")))}
}

func (s *script) read(a args) Decoded {
	d := Decoded{SLO: s.span(a.get("slo", "100ms")), Batch: s.number(a.get("batch", "1")), Generated: a.has("generated")}
	if !d.Generated {
		d.Payload = make([]byte, s.number(a.get("payload", "8")))
	}
	return d
}

var ignored = map[Ignored]string{NoReply: "nobody waits", NoClientsInbox: "not a client's inbox", OthersInbox: "another client's inbox"}

// show writes what a step gave out.
func (s *script) show(b *strings.Builder, now protocol.Time, out *Output) {
	line := func(format string, of ...any) { fmt.Fprintf(b, format+"\n", of...) }
	if out.Ignored != NotIgnored {
		line("ignored: %s", ignored[out.Ignored])
	}
	if out.Admitted != nil {
		s.admitted = append(s.admitted, out.Admitted)
		line("admitted %d", len(s.admitted))
	}
	if out.Refusal != nil {
		line("refused %v", out.Refusal)
	}
	if out.Store != nil {
		line("store %s", out.Store.Name)
	}
	for _, r := range out.Submit {
		of := r.Submission(now)
		blame := ""
		if of.Crashes > 0 {
			blame = fmt.Sprintf(", %d crashes", of.Crashes)
		}
		line("submit %d, %v left%s", r.ID.Seq, of.Budget, blame)
	}
	for _, r := range out.Withdraw {
		line("withdraw %d", r.ID.Seq)
	}
	for _, q := range out.Ask {
		line("ask epoch %d about %d", q.Epoch, q.Request.ID.Seq)
	}
	for _, in := range out.Inputs {
		line("input of %d to %s", in.Request.ID.Seq, in.Worker)
	}
	if in := out.LargeInput; in != nil {
		line("large input of %d to %s", in.Request.ID.Seq, in.Worker)
	}
	for _, f := range out.Foreign {
		line("foreign output of %d, by %s", f.Request.ID.Seq, f.Worker)
	}
	for _, e := range out.Ended {
		s.ended(line, &e)
	}
	for _, c := range out.Claim {
		line("claim %d", c.Seq)
	}
	if out.Wake != protocol.Never {
		line("wake %v", time.Duration(out.Wake))
	}
}

func (s *script) ended(line func(string, ...any), e *Ended) {
	which := fmt.Sprint("request ", e.Request.ID.Seq)
	if e.Request.ID.Seq == 0 {
		which = fmt.Sprint("buffered ", e.Request.Buffered)
	}
	if e.Claim {
		line("claim %d at the scheduler", e.Request.ID.Seq)
	}
	switch {
	case e.Refusal != nil:
		line("%s: %v", which, e.Refusal)
	default:
		line("%s: OK after %v, by %q, cold %v", which, e.At.Sub(e.Request.Arrived), e.Request.Worker, e.Request.Cold)
	}
}
