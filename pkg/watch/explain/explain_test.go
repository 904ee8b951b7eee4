package explain

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/script"
)

// TestScripts plays by hand to a core, once for each cause, and compares what
// is explained of request 1:1. Times are in ms:
//
//	model <name> <load> <exec of 1>      takes one page; batches take 0.5 more an item
//	<t> join <worker> <pages> [resident...]      one GPU, all models in host memory
//	<t> submit <number> <model> <budget> [elapsed]
//	<t> result <n-th action> <code> [<begin> <end> [<a message's way>]]
//	<t> tick | lost <worker> | door
//	explain                              prints the explanation; the last line
//
// where door says that the front door of all requests is lost.
func TestScripts(t *testing.T) {
	script.Play(t, "testdata/*.txt", func(t *testing.T) func(string) string {
		var commands strings.Builder
		return func(line string) string {
			if line == "explain" {
				return told(play(t, "clockwork", commands.String()))
			}
			fmt.Fprintln(&commands, line)
			return ""
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stage plays a script to a core, and shows it to an Explainer.
type stage struct {
	t       *testing.T
	policy  string
	state   protocol.ClockworkState
	core    sched.Core
	to      *Explainer
	actions []sched.Addressed
}

// told is how a person reads explanations.
func told(list []*Explanation) string {
	var b strings.Builder
	for _, e := range list {
		fmt.Fprintln(&b, e)
	}
	return b.String()
}

// play explains request 1:1 of a script.
func play(t *testing.T, policy, commands string) []*Explanation {
	x := New([]protocol.RequestID{{Door: 1, Seq: 1}})
	s := &stage{t: t, policy: policy, to: x}
	for line := range strings.Lines(commands) {
		if f := strings.Fields(line); len(f) > 0 && f[0] != "#" {
			s.run(f)
		}
	}
	sum := x.Summary()
	if sum.Requests != sum.Done+sum.Failed+sum.Open+sum.Forgotten {
		t.Errorf("the summary does not add up: %+v", sum)
	}
	for _, e := range x.Wanted() {
		for i := 1; i < len(e.Timeline); i++ {
			if e.Timeline[i].At < e.Timeline[i-1].At {
				t.Errorf("told out of order: %s", e)
			}
		}
	}
	return x.Wanted()
}

func (s *stage) millis(text string) time.Duration {
	d, err := time.ParseDuration(text + "ms")
	must(s.t, err)
	return d
}

func (s *stage) run(f []string) {
	if f[0] == "model" {
		s.model(f[1], s.millis(f[2]), s.millis(f[3]))
		return
	}
	if s.core == nil {
		var err error
		s.core, err = sched.New(s.policy, sched.Defaults())
		must(s.t, err)
		s.to.Begin(sched.Setup{Policy: s.policy, Config: sched.Defaults()})
		s.step(0, &sched.Activate{Epoch: 1, Issuer: 7, State: s.state})
	}
	now := protocol.Time(s.millis(f[0]))
	number := func(i int) int {
		n, err := strconv.Atoi(f[i])
		must(s.t, err)
		return n
	}
	switch f[1] {
	case "join":
		g := protocol.GPUState{Type: "v", PagesTotal: number(3), PagesUsed: len(f) - 4, Models: f[4:]}
		s.step(now, &sched.WorkerJoined{State: protocol.WorkerState{ID: f[2], Incarnation: 1, GPUs: []protocol.GPUState{g}, Models: s.state.Models}})
	case "submit":
		e := &sched.Submit{Submission: protocol.Submission{ID: protocol.RequestID{Door: 1, Seq: uint64(number(2))}, Model: f[3], Batch: 1, Budget: s.millis(f[4])}}
		if len(f) > 5 {
			e.Elapsed = s.millis(f[5])
		}
		s.step(now, e)
	case "result":
		if n := number(2); n > len(s.actions) {
			s.t.Fatalf("%v: only %d actions were sent", f, len(s.actions))
		}
		a := s.actions[number(2)-1]
		r := protocol.Result{
			Action: a.Action.ID, Issuer: 7, Epoch: 1, Incarnation: 1, Worker: a.Worker, Kind: a.Action.Kind,
			Code: protocol.Code(f[3]), Model: a.Action.Model, Batch: a.Action.Batch,
		}
		if len(f) > 4 {
			r.Begin, r.End = protocol.Time(s.millis(f[4])), protocol.Time(s.millis(f[5]))
		}
		if len(f) > 6 {
			r.Received, r.Sent = a.Action.Earliest.Add(s.millis(f[6])), now.Add(-s.millis(f[6]))
		}
		s.step(now, &sched.Result{Result: r})
	case "lost":
		s.step(now, &sched.WorkerLost{ID: f[2], Incarnation: 1})
	case "door":
		s.step(now, &sched.DoorLost{Door: 1})
	case "tick":
		s.step(now, &sched.Tick{})
	default:
		s.t.Fatalf("%v: what is that?", f)
	}
}

func (s *stage) step(now protocol.Time, e sched.Event) {
	out := s.core.Step(now, e)
	s.to.Step(now, e, &out)
	for _, a := range out.Actions {
		a.Action.Requests = nil
		s.actions = append(s.actions, a)
	}
}

func (s *stage) model(name string, load, exec time.Duration) {
	spec := protocol.ModelSpec{Name: name, Digest: name, Backend: "b", BackendVersion: "1", BatchSizes: []int{1, 2, 4, 8}, AnyBatch: true, WeightsBytes: 1, Pages: 1}
	measured := func(d time.Duration) protocol.Measurement {
		return protocol.Measurement{Samples: 1, Min: d, P50: d, P99: d, Max: d}
	}
	p := protocol.Profile{Digest: name, Backend: "b", BackendVersion: "1", GPUType: "v", LoadWeights: measured(load)}
	for _, b := range spec.BatchSizes {
		p.Infer = append(p.Infer, protocol.BatchMeasurement{Batch: b, Measurement: measured(exec + time.Duration(b-1)*500*time.Microsecond)})
	}
	s.state.Models, s.state.Profiles = append(s.state.Models, spec), append(s.state.Profiles, p)
}
