package journal

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/core/measure"
	"clockwork/pkg/core/startup"
	"clockwork/pkg/protocol"
)

// written is a journal of a profiler, of a controller's two terms, of a front door and
// of a worker, which have one of each event; some events are empty where they may be.
func written(t testing.TB) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file)
	if err != nil {
		t.Fatal(err)
	}
	profile(t, w.Measure())
	startups := w.Startup()
	for range 2 {
		start(t, startups)
	}
	serve(t, w.FrontDoor())
	execute(t, w.Work())
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

var spec = protocol.ModelSpec{Name: "a", Path: "zoo/a", Digest: "d", BatchSizes: []int{1}, Pages: 1,
	Inputs: []protocol.TensorSpec{{Name: "x", Datatype: protocol.FP32, Shape: []int64{-1, 2}}}}

func worker(id string) protocol.WorkerState {
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
		measure.JobGiven{Job: protocol.ProfileJob{ID: 1, Models: []protocol.ModelSpec{spec}, Workers: []protocol.WorkerState{worker("w1"), worker("w2")}}}} {
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
		startup.StageStored{Stage: protocol.Querying}, startup.WorkerAnswered{State: worker("w1")}, startup.StageStored{Stage: protocol.AwaitingModels},
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

func cores(v *Verdict) (names []string) {
	for _, m := range v.Machines {
		names = append(names, m.Core)
	}
	return names
}

func TestAJournalIsDecidedAgain(t *testing.T) {
	file := written(t)
	v, err := Verify(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if !v.Same() || v.Cut || v.Hash == 0 || !slices.Equal(cores(v), []string{"measure", "startup", "startup", "frontdoor", "work"}) {
		t.Errorf("%+v, %+v", v, v.Differs)
	}
	if want := bytes.Count(file, []byte(`"event"`)); v.Events != want || want < 50 {
		t.Errorf("%d events of %d", v.Events, want)
	}
}

// Each event of a core is known, else its journals could not be read.
func TestEveryEventIsKnown(t *testing.T) {
	file := string(written(t))
	for _, core := range Cores {
		body, err := os.ReadFile("../../core/" + core.Name + "/event.go")
		if err != nil {
			t.Fatal(err)
		}
		all := regexp.MustCompile(`(?m)^func \(\*?(\w+)\) event\(\)`).FindAllStringSubmatch(string(body), -1)
		if len(all) == 0 || len(all) != len(core.events) {
			t.Errorf("core %s has %d events, %d are known", core.Name, len(all), len(core.events))
		}
		for _, e := range all {
			if core.events[e[1]] == nil {
				t.Errorf("core %s: %s is not known", core.Name, e[1])
			}
			if !strings.Contains(file, fmt.Sprintf(`"event":%q`, e[1])) {
				t.Errorf("core %s: this test writes no %s", core.Name, e[1])
			}
		}
	}
}

// spoiled is the journal with something else in the last line of an event, and the
// number of that line.
func spoiled(t *testing.T, event, was, is string) (file string, at int) {
	t.Helper()
	lines := strings.SplitAfter(string(written(t)), "\n")
	for i, l := range lines {
		if strings.Contains(l, fmt.Sprintf(`"event":%q`, event)) && strings.Contains(l, was) {
			at = i
		}
	}
	if at == 0 {
		t.Fatalf("no line of %s has %s", event, was)
	}
	lines[at] = strings.Replace(lines[at], was, is, 1)
	return strings.Join(lines, ""), at + 1
}

func TestOtherDecisionsAreFound(t *testing.T) {
	for _, c := range []struct {
		machine     int
		core, event string
		was, is     string
	}{
		{1, "measure", "ProfileStored", `"now":`, `"now":1`},
		{4, "frontdoor", "Inbound", `"Tenant":"alice"`, `"Tenant":"Alice"`},
		{4, "frontdoor", "Decoded", `"Payload":8`, `"Payload":7`},
		{4, "frontdoor", "OutputArrived", `"Data":8`, `"Data":9`},
		{5, "work", "Received", `"GPU":-1`, `"GPU":1`},
		{5, "work", "Executed", `"Fetched":false`, `"Fetched":true`},
	} {
		file, at := spoiled(t, c.event, c.was, c.is)
		v, err := Verify(strings.NewReader(file))
		if err != nil || v.Same() || v.Differs.Line != at || v.Differs.Event != c.event || v.Differs.Core != c.core || v.Differs.Machine != c.machine {
			t.Errorf("%+v at %d: %v, %+v", c, at, err, v.Differs)
		}
	}
}

// An event names what its core has given out and was not told of yet, and nothing else.
func TestAnEventAboutNothingIsAnError(t *testing.T) {
	for _, c := range []struct{ event, was, is, says string }{
		{"Decoded", `"about":4`, `"about":77`, "Decoded is about number 77, which is not out to decode"},
		{"Decoded", `"about":4`, `"about":1`, "number 1, which is not out to decode"}, // heard of before
		{"Decoded", `"about":4,`, ``, "number 0, which is not out to decode"},
		{"Decoded", `"about":4`, `"about":-1`, "line "},
		{"Stored", `"about":1`, `"about":18446744073709551615`, "not out to store"},
		{"Undecoded", `"event":"Undecoded"`, `"event":"Stored"`, "not out to store"},
		{"Executed", `"event":"Executed"`, `"event":"Fetched"`, "not out to fetch"},
		{"Transferred", `"event":"Transferred"`, `"event":"ModelRead"`, "not out to read"},
		{"Decoded", `"Payload":8`, `"Payload":1e18`, "a payload of"},
		{"Tick", `"machine":5`, `"machine":6`, "an event of machine 6; 5 have begun"},
		{"Tick", `"machine":5`, `"machine":-1`, "an event of machine -1"},
	} {
		file, at := spoiled(t, c.event, c.was, c.is)
		_, err := Verify(strings.NewReader(file))
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), fmt.Sprintf("line %d", at)) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Machines that work beside each other are told apart: each has the hash that it has
// alone.
func TestMachinesBesideEachOtherAreDecidedAgain(t *testing.T) {
	verdict := func(begin func(w *Writer)) *Verdict {
		var file bytes.Buffer
		w, err := NewWriter(&file)
		if err != nil {
			t.Fatal(err)
		}
		begin(w)
		v, err := Verify(bytes.NewReader(file.Bytes()))
		if err != nil || !v.Same() {
			t.Fatalf("%v, %+v", err, v)
		}
		return v
	}
	one := func(h *host) { h.load("a") }
	two := func(h *host) { h.done(4, 0, nil) }
	first := verdict(func(w *Writer) { h := newHost(w.Work()); one(h); two(h) })
	second := verdict(func(w *Writer) { h := newHost(w.Work()); h.infer(0, 1) })
	both := verdict(func(w *Writer) {
		a, d, b := newHost(w.Work()), newDoor(t, w.FrontDoor()), newHost(w.Work())
		one(a)
		d.send("a", "")
		b.infer(0, 1)
		two(a)
	})
	if got := both.Machines; len(got) != 3 || got[0] != first.Machines[0] || got[2] != second.Machines[0] || both.Events != 4 || both.Hash == 0 {
		t.Errorf("beside each other %+v, alone %+v and %+v", got, first.Machines, second.Machines)
	}
}

// A file that was cut off anywhere is good up to its last whole line.
func TestAJournalMayBeCutOff(t *testing.T) {
	file := written(t)
	for _, n := range []int{len(header), len(header) + 10, len(file) / 2, len(file) - 2} {
		v, err := Verify(bytes.NewReader(file[:n]))
		if err != nil || !v.Same() || !v.Cut || v.Lines != bytes.Count(file[:n], []byte("\n")) {
			t.Errorf("cut at %d: %v, %+v", n, err, v)
		}
	}
}

// A config may ask for what no worker has, and a core may not take what no driver gives.
func TestAWildJournalIsAnError(t *testing.T) {
	for config, says := range map[string]string{
		`{"GPUs":[{"Pages":-1}]}`:                             "fewer than none",
		`{"GPUs":[{"Pages":9000000000}]}`:                     "more than 16777216 pages",
		`{"GPUs":[{"Pages":9000000},{"Pages":9000000}]}`:      "more than 16777216 pages",
		`{"GPUs":[` + strings.Repeat("{},", maxGPUs) + `{}]}`: "4097 GPUs",
		`{"GPUs":[],"ConcurrentLoads":"many"}`:                "read config",
	} {
		_, err := Verify(strings.NewReader(header + `{"machine":1,"begin":"work","config":` + config + "}\n"))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60s: %v, want %q", config, err, says)
		}
	}
	file, at := spoiled(t, "OutputArrived", `"Output":{`, `"Output":null,"Other":{`)
	if _, err := Verify(strings.NewReader(file)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("line %d: OutputArrived cannot be replayed: the core panics", at)) {
		t.Error(err)
	}
}

// FuzzVerify looks for a file that Verify does not come back from.
func FuzzVerify(f *testing.F) {
	for _, record := range []func(w *Writer){
		func(w *Writer) { serve(f, w.FrontDoor()) },
		func(w *Writer) { execute(f, w.Work()) },
		func(w *Writer) { start(f, w.Startup()) },
	} {
		var file bytes.Buffer
		w, err := NewWriter(&file)
		if err != nil {
			f.Fatal(err)
		}
		record(w)
		f.Add(file.Bytes())
	}
	f.Fuzz(func(_ *testing.T, file []byte) { _, _ = Verify(bytes.NewReader(file)) })
}

func TestWhatIsNoJournalIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "does not begin with",
		"clockwork-recording 1\n":          "does not begin with",
		header + "{\n":                     "line 2",
		"clockwork-journal 1\n":            `does not begin with "clockwork-journal 2"`,
		header + `{"event":"Tick"}` + "\n": "an event of machine 0; 0 have begun",
		header + `{"machine":1,"begin":"x"}` + "\n":                             `no core "x"`,
		header + `{"machine":1,"begin":"measure"}` + "\n":                       "line 2",
		header + `{"machine":2,"begin":"work","config":{}}` + "\n":              "machine 2 begins after 0 others",
		header + `{"machine":1,"begin":"measure","config":{"Issuer":0}}` + "\n": "the issuer is 0",
		header + `{"machine":1,"begin":"measure","config":{"Issuer":1,"Iterations":1,"ActionTimeout":1}}` + "\n" + `{"machine":1,"event":"X"}` + "\n": `no event "X"`,
		header + `{"closed":true}` + "\n" + `{"closed":true}` + "\n":                                                                                  "after its end",
	} {
		if _, err := Verify(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
