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

// written is a journal of a profiler and of a controller's two terms, which have
// one of each event; some events are empty where they may be.
func written(t *testing.T) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file)
	if err != nil {
		t.Fatal(err)
	}
	profile(t, w.Measure())
	for range 2 {
		start(t, w.Startup())
	}
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
func profile(t *testing.T, o measure.Observer) {
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
	for _, e := range []measure.Event{measure.WorkerSeen{ID: "w1", Incarnation: 1}, measure.Tick{}, measure.JobGiven{}, measure.Abandon{},
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
func start(t *testing.T, o startup.Observer) {
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
		startup.ProfilerSeen{Incarnation: 3}, startup.SchedulerSeen{Active: true}, startup.ProfilingDone{Job: 1, Quarantined: []startup.Quarantine{{Digest: "e", Reason: "why"}}},
		startup.WorkerLost{ID: "w1", Incarnation: 1<<64 - 1}, startup.Tick{},
	} {
		now := protocol.Time(i) * protocol.Time(time.Second)
		out := m.Step(now, e)
		o.Step(now, e, &out)
	}
}

func TestAJournalIsDecidedAgain(t *testing.T) {
	file := written(t)
	v, err := Verify(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if !v.Same() || v.Cut || v.Hash == 0 || !slices.Equal(v.Cores, []string{"measure", "startup", "startup"}) {
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
		all := regexp.MustCompile(`(?m)^func \((\w+)\) event\(\)`).FindAllStringSubmatch(string(body), -1)
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

func TestOtherDecisionsAreFound(t *testing.T) {
	lines := strings.SplitAfter(string(written(t)), "\n")
	at := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, `"event":"ProfileStored"`) })
	lines[at] = strings.Replace(lines[at], `"now":`, `"now":1`, 1)
	v, err := Verify(strings.NewReader(strings.Join(lines, "")))
	if err != nil || v.Same() || v.Differs.Line != at+1 || v.Differs.Event != "ProfileStored" || v.Differs.Core != "measure" {
		t.Errorf("%v, %+v", err, v)
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

func TestWhatIsNoJournalIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "does not begin with",
		"clockwork-recording 1\n":             "does not begin with",
		header + "{\n":                        "line 2",
		header + `{"event":"Tick"}` + "\n":    "before its core",
		header + `{"begin":"x"}` + "\n":       `no core "x"`,
		header + `{"begin":"measure"}` + "\n": "line 2",
		header + `{"begin":"measure","config":{"Issuer":0}}` + "\n":                                                           "the issuer is 0",
		header + `{"begin":"measure","config":{"Issuer":1,"Iterations":1,"ActionTimeout":1}}` + "\n" + `{"event":"X"}` + "\n": `no event "X"`,
		header + `{"closed":true}` + "\n" + `{"closed":true}` + "\n":                                                          "after its end",
	} {
		if _, err := Verify(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
