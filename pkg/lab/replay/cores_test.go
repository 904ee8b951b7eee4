package replay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/core/measure"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/core/startup"
	"clockwork/pkg/core/work"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/lab/record"
	"clockwork/pkg/lab/recorder"
	"clockwork/pkg/protocol"
)

// recordings are one of each core, which has each of its events at least once; some events are
// empty where they may be.
var recordings = []struct {
	core, events string
	record       func(t testing.TB) []byte
}{
	{"startup", "startup/event.go", func(t testing.TB) []byte {
		return direct(t, func(w *recorder.Direct) { start(t, w.Startup()) })
	}},
	{"measure", "measure/event.go", func(t testing.TB) []byte {
		return direct(t, func(w *recorder.Direct) { profile(t, w.Measure()) })
	}},
	{"frontdoor", "frontdoor/event.go", func(t testing.TB) []byte {
		return direct(t, func(w *recorder.Direct) { serve(t, w.FrontDoor()) })
	}},
	{"work", "work/event.go", func(t testing.TB) []byte {
		return direct(t, func(w *recorder.Direct) { execute(t, w.Work()) })
	}},
	{record.Scheduler, "sched/term_event.go", schedule},
}

// direct is what a Direct records.
func direct(t testing.TB, of func(*recorder.Direct)) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := recorder.NewDirect(&file)
	must(t, err)
	of(w)
	must(t, w.Close())
	return file.Bytes()
}

// disk is a file in memory.
type disk struct{ bytes.Buffer }

func (d *disk) Close() error { return nil }

// schedule gives a term each of its events, as the scheduler's service records it.
func schedule(t testing.TB) []byte {
	var file disk
	to, err := recorder.New("it", &file, nil)
	must(t, err)
	setup := sched.TermSetup{Setup: sched.Setup{Policy: "clockwork", Config: policies.Defaults().Config}, Term: simulatedTerm}
	term := newTerm(t, setup.Policy)
	to.Begin(setup)
	state := workerState("w1")
	request := protocol.Submission{ID: protocol.RequestID{Door: 3, Seq: 1}, Model: "a", Batch: 1, Budget: time.Second}
	for i, e := range []sched.TermEvent{
		&sched.Started{State: protocol.ClockworkState{PageSize: 16, Models: []protocol.ModelSpec{spec}, Workers: []protocol.WorkerState{state}}},
		&sched.WorkerAnnounced{State: state}, &sched.WorkerBeat{Heartbeat: protocol.Heartbeat{ID: "w1", Incarnation: state.Incarnation, ClockEpoch: 1}},
		&sched.WorkerAnswered{WorkerQuestion: sched.WorkerQuestion{ID: "w1", Number: 1}, State: &state}, &sched.SchedulerBeat{}, &sched.HeartbeatDue{},
		&sched.FrontDoorBeat{Heartbeat: protocol.Heartbeat{ID: protocol.DoorName(3), Incarnation: 3, Epoch: 1}},
		&sched.Submitted{Epoch: 1, Submitted: protocol.Submitted{Reply: "_INBOX.x", Submission: request}},
		&sched.Result{Result: protocol.Result{Worker: "w1", Action: 1}}, &sched.AnswersReported{FrontDoor: 3, Epoch: 1, Answered: []uint64{1}},
		&sched.Withdraw{}, &sched.NoResponders{FrontDoor: 3}, &sched.Tick{},
	} {
		now := protocol.Time(i+1) * protocol.Time(100*time.Millisecond)
		to.Step(now, e, term.Step(now, e))
	}
	must(t, to.Close())
	return file.Bytes()
}

var spec = protocol.ModelSpec{Name: "a", Path: "zoo/a", Digest: "d", BatchSizes: []int{1}, Pages: 1,
	Inputs: []protocol.TensorSpec{{Name: "x", Datatype: protocol.FP32, Shape: []int64{-1, 2}}}}

func workerState(id string) protocol.WorkerState {
	return protocol.WorkerState{ID: id, Incarnation: 1<<64 - 1, GPUs: []protocol.GPUState{{Type: "t4", PagesTotal: 9}}, Models: []protocol.ModelSpec{spec}}
}

// profile measures one model, whose actions end as they should but for some.
func profile(t testing.TB, o measure.Observer) {
	config := measure.Config{Issuer: 1<<63 + 1, Iterations: 2, ActionTimeout: time.Second}
	m, err := measure.New(config)
	if err != nil {
		t.Fatal(err)
	}
	o.Begin(config)
	now := protocol.Time(0)
	var queue []measure.Event
	step := func(e measure.Event) {
		now = now.Add(time.Millisecond)
		out := m.Step(now, e)
		o.Step(now, e, &out)
		for _, a := range out.Actions {
			r := protocol.Result{Action: a.Action.ID, Issuer: a.Action.Issuer, Worker: a.Worker, Kind: a.Action.Kind, Code: protocol.OK,
				Exec: protocol.Phase{Device: time.Duration(1000 + a.Action.ID)}}
			if a.Action.ID%7 == 0 {
				r.Code, r.Message = protocol.NoMemory, "not \"now\"\n"
			}
			queue = append(queue, measure.ActionResult{Result: r})
		}
		for _, s := range out.Store {
			queue = append(queue, measure.ProfileStored{Token: s.Token})
		}
		if out.Read != nil {
			queue = append(queue, measure.ProfilesRead{Job: out.Read.Job})
		}
	}
	for _, e := range []measure.Event{measure.WorkerSeen{ID: "w1", Incarnation: 1}, measure.Tick{}, measure.JobGiven{}, measure.Elected{Term: 3}, measure.Abandon{},
		measure.JobGiven{Job: protocol.ProfileJob{ID: 1, Models: []protocol.ModelSpec{spec}, Workers: []protocol.WorkerState{workerState("w1"), workerState("w2")}}}} {
		step(e)
	}
	for ; len(queue) > 0; queue = queue[1:] {
		step(queue[0])
	}
	if m.Job() != 0 {
		t.Fatal("the job is not done")
	}
	step(measure.WorkerLost{ID: "w1", Incarnation: 1<<64 - 1})
}

// start goes through a startup, with events that come to nothing between.
func start(t testing.TB, o startup.Observer) {
	config := startup.DefaultConfig()
	config.Issuer = 7
	m, err := startup.New(config)
	if err != nil {
		t.Fatal(err)
	}
	o.Begin(config)
	none := 0
	for i, e := range []startup.Event{
		startup.Started{Torn: []string{"x"}}, startup.WorkerSeen{ID: "w1", Incarnation: 1<<64 - 1}, startup.StageConflict{},
		startup.StageStored{Stage: protocol.Querying}, startup.WorkerAnswered{State: workerState("w1")}, startup.StageStored{Stage: protocol.AwaitingModels},
		startup.LoadRequested{Token: 1, Request: protocol.LoadRequest{Path: "zoo/b", Copies: &none}},
		startup.LoadRequested{Token: 2, Request: protocol.LoadRequest{Path: "zoo/b"}}, startup.StageStored{Stage: protocol.Loading},
		startup.ModelsStored{Token: 1}, startup.StoreFailed{Token: 2}, startup.ModelsUnstored{Token: 1}, startup.Tick{},
		startup.LoadResult{Result: protocol.Result{Action: 2, Issuer: 7, Worker: "w1", Kind: protocol.LoadModelFromDisk, Code: protocol.OK,
			Loaded: []protocol.ModelSpec{{Name: "b", Path: "zoo/b", Digest: "e", BatchSizes: []int{1}}}}},
		startup.ServiceBeat{Heartbeat: protocol.Heartbeat{Service: protocol.Scheduler, ID: "1", State: protocol.SchedulerActive}},
		startup.ServiceLost{Heartbeat: protocol.Heartbeat{Service: protocol.Scheduler, ID: "1"}}, startup.JoinConfirmed{ID: "w1", Epoch: 1}, startup.ProfilingDone{Job: 1, Quarantined: []startup.Quarantine{{Digest: "e", Reason: "why"}}},
		startup.WorkerLost{ID: "w1", Incarnation: 1<<64 - 1}, startup.Tick{}, startup.Fenced{},
	} {
		now := protocol.Time(i) * protocol.Time(time.Second)
		out := m.Step(now, e)
		o.Step(now, e, &out)
	}
}

// TestARecordingOfAnyCoreIsDecidedAgain holds that each core can be recorded as its service does,
// that each of its events can be, and that the replay notices a decision that is another.
func TestARecordingOfAnyCoreIsDecidedAgain(t *testing.T) {
	if len(recordings) != len(record.Cores) {
		t.Errorf("%d cores can be recorded, %d are here", len(record.Cores), len(recordings))
	}
	for _, of := range recordings {
		t.Run(of.core, func(t *testing.T) {
			file := of.record(t)
			v := verified(t, file)
			if !v.Same() || v.Cut || v.Hash == 0 || v.Events < 10 || len(v.Machines) != 1 || v.Machines[0].Core != of.core {
				t.Errorf("%+v, %+v", v, v.Differs)
			}
			body, err := os.ReadFile("../../core/" + of.events)
			must(t, err)
			names := eventNames(t, file)
			declared := regexp.MustCompile(`(?m)^func \(\*?(\w+)\) (?:event|termEvent)\(\)`).FindAllStringSubmatch(string(body), -1)
			for _, e := range declared {
				if !slices.Contains(names, e[1]) {
					t.Errorf("no %s was recorded", e[1])
				}
			}
			if len(declared) < 8 {
				t.Errorf("%d events are declared in %s", len(declared), of.events)
			}
			if other := verified(t, withAnotherHash(t, file)); other.Same() || other.Differs == nil || other.Differs.Core != of.core {
				t.Errorf("another decision is not noticed: %+v", other)
			}
		})
	}
}

// eventNames are the types of the events of a recording.
func eventNames(t testing.TB, file []byte) (names []string) {
	t.Helper()
	for _, item := range items(t, file) {
		names = append(names, item.EventName())
	}
	return names
}

// items are the steps of a recording.
func items(t testing.TB, file []byte) (steps []record.Item) {
	t.Helper()
	r, err := record.NewReader(bytes.NewReader(file))
	must(t, err)
	for {
		item, err := r.Next()
		if err != nil {
			return steps
		}
		if item.Kind == record.Step {
			steps = append(steps, *item)
		}
	}
}

const headerBytes = len("clockwork-recording 3\n")

// reblocked is a recording whose blocks went through change, which may return another payload.
func reblocked(t testing.TB, file []byte, change func(n int, payload []byte) []byte) []byte {
	t.Helper()
	out := bytes.Clone(file[:headerBytes])
	for n, rest := 0, file[headerBytes:]; len(rest) > 0; n++ {
		size, k := binary.Uvarint(rest)
		payload := change(n, bytes.Clone(rest[k:k+int(size)]))
		out = append(binary.AppendUvarint(out, uint64(len(payload))), payload...)
		out = binary.LittleEndian.AppendUint32(out, crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli)))
		rest = rest[k+int(size)+crc32.Size:]
	}
	return out
}

// withAnotherHash is a recording whose last mark has another hash.
func withAnotherHash(t testing.TB, file []byte) []byte {
	blocks := 0
	reblocked(t, file, func(_ int, p []byte) []byte { blocks++; return p })
	return reblocked(t, file, func(n int, p []byte) []byte {
		if end := blocks - 1; n == end && len(p) > 1 { // the end record stands behind the mark
			p[len(p)-2] ^= 1
		} else if n == end-1 && len(p) > 1 {
			p[len(p)-1] ^= 1
		}
		return p
	})
}

// spoiled is a recording of a Direct with something of the same length in the last event of a
// type that has it: each event has a block of its own there, after one for each begin.
func spoiled(t *testing.T, file []byte, event, was, is string) []byte {
	t.Helper()
	if len(was) != len(is) {
		t.Fatalf("%q is not as long as %q", is, was)
	}
	names, at := eventNames(t, file), -1
	look := func(do func([]byte) []byte) []byte {
		return reblocked(t, file, func(n int, p []byte) []byte {
			if n >= 1 && n <= len(names) && names[n-1] == event && bytes.Contains(p, []byte(was)) {
				if do == nil {
					at = n
				} else if n == at {
					return do(p)
				}
			}
			return p
		})
	}
	if look(nil); at < 0 {
		t.Fatalf("no %s has %s", event, was)
	}
	return look(func(p []byte) []byte { return bytes.Replace(p, []byte(was), []byte(is), 1) })
}

func recordingOf(t testing.TB, core string) []byte {
	t.Helper()
	for _, of := range recordings {
		if of.core == core {
			return of.record(t)
		}
	}
	t.Fatalf("no recording of %s", core)
	return nil
}

func TestOtherEventsAreFound(t *testing.T) {
	for _, c := range []struct{ core, event, was, is string }{
		{"measure", "ActionResult", `"Device":1002`, `"Device":9002`},
		{"frontdoor", "Inbound", `"Tenant":"alice"`, `"Tenant":"Alice"`},
		{"frontdoor", "Decoded", `"Payload":8`, `"Payload":7`},
		{"frontdoor", "OutputArrived", `"Data":8`, `"Data":9`},
		{"work", "Received", `"GPU":-1`, `"GPU":-2`},
		{"work", "Executed", `"Fetched":false`, `"Fetched":true `},
	} {
		v := verified(t, spoiled(t, recordingOf(t, c.core), c.event, c.was, c.is))
		if v.Same() || v.Differs.Event != c.event || v.Differs.Core != c.core || v.Differs.After != v.Differs.Before || v.Differs.Machine != 1 {
			t.Errorf("%+v: %+v", c, v.Differs)
		}
	}
}

// An event names what its core has given out and was not told of yet, and nothing else.
func TestAnEventAboutNothingIsAnError(t *testing.T) {
	of := &frontdoor.Request{Number: 77}
	for _, c := range []struct {
		core   string
		config any
		event  any
		says   string
	}{
		{"frontdoor", frontdoor.Defaults(), &frontdoor.Decoded{Request: of}, "Decoded is about number 77, which is not out to decode"},
		{"frontdoor", frontdoor.Defaults(), &frontdoor.Undecoded{Request: &frontdoor.Request{}}, "number 0, which is not out to decode"},
		{"frontdoor", frontdoor.Defaults(), &frontdoor.Stored{Request: &frontdoor.Request{Number: 1<<64 - 1}}, "not out to store"},
		{"work", work.Defaults(), &work.Fetched{Order: &work.Order{Number: 4}}, "not out to fetch"},
		{"work", work.Defaults(), &work.ModelRead{Order: &work.Order{Number: 4}}, "not out to read"},
	} {
		if _, err := verify(handmade(t, c.core, c.config, c.event)); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "event 1 of machine 1") {
			t.Errorf("%T of %s: %v, want %q", c.event, c.core, err, c.says)
		}
	}
}

// handmade is a recording that nobody has made by running a core.
func handmade(t testing.TB, core string, config any, events ...any) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := record.NewWriter(&file)
	must(t, err)
	must(t, w.Begin(core, config))
	for _, e := range events {
		must(t, w.StepHashed(0, e, 0))
	}
	must(t, w.Close())
	return file.Bytes()
}

func verify(file []byte) (*Verdict, error) {
	r, err := record.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	return Verify(r)
}

// An event that is about a thing is an error where there is none, whatever stood there.
func TestAnErrandEndsOnce(t *testing.T) {
	_, err := verify(spoiledAbout(t))
	if err == nil || !strings.Contains(err.Error(), "which is not out to") {
		t.Errorf("%v", err)
	}
}

// spoiledAbout has the same order executed twice.
func spoiledAbout(t *testing.T) []byte {
	file := recordingOf(t, "work")
	var last []byte
	names := eventNames(t, file)
	return reblocked(t, file, func(n int, p []byte) []byte {
		if n < 1 || n > len(names) || names[n-1] != "Executed" {
			return p
		}
		if last == nil {
			last = bytes.Clone(p)
			return p
		}
		return last
	})
}

// Machines that work beside each other are told apart: each has the hash that it has
// alone.
func TestMachinesBesideEachOtherAreDecidedAgain(t *testing.T) {
	verdict := func(begin func(w *recorder.Direct)) *Verdict {
		v := verified(t, direct(t, begin))
		if !v.Same() {
			t.Fatalf("%+v", v)
		}
		return v
	}
	one := func(h *host) { h.load("a") }
	two := func(h *host) { h.done(4, 0, nil) }
	first := verdict(func(w *recorder.Direct) { h := newHost(w.Work()); one(h); two(h) })
	second := verdict(func(w *recorder.Direct) { h := newHost(w.Work()); h.infer(0, 1) })
	both := verdict(func(w *recorder.Direct) {
		a, d, b := newHost(w.Work()), newDoor(t, w.FrontDoor()), newHost(w.Work())
		one(a)
		d.send("a", "")
		b.infer(0, 1)
		two(a)
	})
	if got := both.Machines; len(got) != 3 || got[0] != first.Machines[0] || got[2] != second.Machines[0] || both.Events != 4 || both.Proven != 4 || both.Hash == 0 {
		t.Errorf("beside each other %+v, alone %+v and %+v", got, first.Machines, second.Machines)
	}
}

// What a Direct was given is in the file at once: cut off anywhere, it is good up to there.
func TestADirectRecordingMayBeCutOff(t *testing.T) {
	file := recordingOf(t, "frontdoor")
	events := uint64(0)
	for n := 200; n < len(file); n += 397 {
		v, err := verify(file[:n])
		if errors.Is(err, ErrNoCore) {
			continue
		}
		if err != nil || !v.Same() || !v.Cut || v.Events < events {
			t.Fatalf("cut at %d: %v, %+v", n, err, v)
		}
		events = v.Events
	}
	if events < 15 {
		t.Errorf("only %d events before the end", events)
	}
}

// A config may ask for what no worker has, and a core may not take what no driver gives.
func TestAWildRecordingIsAnError(t *testing.T) {
	gpus := func(pages ...int) work.Config {
		c := work.Defaults()
		for _, n := range pages {
			c.GPUs = append(c.GPUs, work.GPU{Pages: n})
		}
		return c
	}
	for says, file := range map[string][]byte{
		"fewer than none":          handmade(t, "work", gpus(-1)),
		"more than 16777216 pages": handmade(t, "work", gpus(9000000000)),
		"have more than 16777216":  handmade(t, "work", gpus(9000000, 9000000)),
		"4097 GPUs":                handmade(t, "work", gpus(make([]int, 4097)...)),
		"read config":              handmade(t, "work", map[string]string{"ConcurrentLoads": "many"}),
		"the issuer is 0":          handmade(t, "measure", measure.Config{}),
		"none is called":           handmade(t, record.Scheduler, record.Setup{Policy: "luck", Config: policies.Defaults()}),
		"cannot be replayed":       handmade(t, "frontdoor", frontdoor.Defaults(), &frontdoor.OutputArrived{}),
	} {
		if _, err := verify(file); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

// FuzzCores gives each core but the scheduler's, which FuzzVerify has, what a recording claims
// after its begin: whatever that is, Verify comes back.
func FuzzCores(f *testing.F) {
	var begun [][]byte
	for _, of := range recordings {
		if of.core == record.Scheduler {
			continue
		}
		file, first, claims := of.record(f), []byte(nil), []byte(nil)
		reblocked(f, file, func(n int, p []byte) []byte {
			if n == 0 {
				first = p
			} else {
				claims = append(claims, p...)
			}
			return p
		})
		f.Add(claims, uint8(len(begun)))
		begun = append(begun, slices.Concat(file[:headerBytes], block(first)))
	}
	f.Fuzz(func(t *testing.T, claims []byte, core uint8) {
		if v, _ := verify(slices.Concat(begun[int(core)%len(begun)], block(claims))); v == nil || len(v.Machines) == 0 {
			t.Fatal("no verdict")
		}
	})
}
