package virtual

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
)

// script is a World that writes down what it is asked for. Everything takes 10 ms.
type script struct {
	now   protocol.Time
	lines []string
	ends  []end
	wakes []uint64 // turns
	// laters is what is to happen after some time: the script says when.
	laters []func()
}

type end struct {
	at  protocol.Time
	run *Run
}

func (s *script) Now() protocol.Time { return s.now }

// After is at once, but for what is to take time.
func (s *script) After(d time.Duration, do func()) {
	if d == 0 {
		do()
		return
	}
	s.laters = append(s.laters, do)
}
func (s *script) Delivers(o *work.Order) { s.note("outputs of", o.Action.ID) }

func (s *script) WakeIn(_ time.Duration, _ *Worker, turn uint64) { s.wakes = append(s.wakes, turn) }

func (s *script) Begins(o *work.Order, _ *GPU) time.Duration {
	s.note("begin", o.Action.ID)
	return 10 * time.Millisecond
}

func (s *script) Reads(load *protocol.LoadSpec) (protocol.ModelSpec, time.Duration, *protocol.Error) {
	tensor := []protocol.TensorSpec{{Name: "x", Datatype: protocol.FP32, Shape: []int64{2}}}
	return protocol.ModelSpec{Path: load.Path, Digest: load.Path, Inputs: tensor, Outputs: tensor, BatchSizes: []int{1, 2}, Pages: 3}, 0, nil
}

func (s *script) EndIn(d time.Duration, r *Run) { s.ends = append(s.ends, end{s.now.Add(d), r}) }

func (s *script) Answers(r *protocol.Result, o *work.Order) {
	what := string(r.Code)
	if o == nil {
		what = "again " + what
	}
	s.note(what, r.Action)
}

func (s *script) note(what string, id protocol.ActionID) {
	s.lines = append(s.lines, fmt.Sprintf("%d %s %d", s.now/1e6, what, id))
}

// until lets runs end up to a time in ms.
func (s *script) until(ms protocol.Time) {
	for i := 0; i < len(s.ends); i++ {
		if e := s.ends[i]; e.at <= ms*1e6 {
			s.now = max(s.now, e.at)
			s.ends = slices.Delete(s.ends, i, i+1)
			e.run.GPU.Worker.End(e.run)
			i = -1
		}
	}
	s.now = ms * 1e6
}

func (s *script) expect(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(s.lines, want) {
		t.Errorf("got  %q\nwant %q", s.lines, want)
	}
	s.lines = nil
}

func newWorker(set ...func(*work.Config)) (*script, *Worker) {
	s := &script{}
	c := work.Defaults()
	for _, f := range set {
		f(&c)
	}
	c.Name, c.Incarnation, c.GPUs = "w", 1, []work.GPU{{Type: "v100", Pages: 8, PageSize: 1}}
	w := New(c, s)
	w.HoldInMemory("p/m", "m")
	return s, w
}

func action(w *Worker, id protocol.ActionID, kind protocol.Kind) protocol.Action {
	return protocol.Action{ID: id, Kind: kind, Model: "m", Batch: 1, Incarnation: w.Incarnation(), Epoch: 5, Latest: protocol.Never}
}

// TestAWakeUpThatWasReplacedDoesNothing: otherwise each makes another one, and there are
// more of them with every action.
func TestAWakeUpThatWasReplacedDoesNothing(t *testing.T) {
	s, w := newWorker()
	for id, ms := range []protocol.Time{30, 20, 10} { // each is to be woken for earlier than the last
		a := action(w, protocol.ActionID(id+1), protocol.LoadWeights)
		a.Earliest, a.Latest = ms*1e6, ms*1e6+1e6
		w.Receive(a)
	}
	if !slices.Equal(s.wakes, []uint64{s.wakes[0], s.wakes[0] + 1, s.wakes[0] + 2}) {
		t.Fatalf("turns are %v, want three", s.wakes)
	}
	s.now = 10e6
	w.Wake(s.wakes[2])
	s.expect(t, "10 begin 3")
	made := len(s.wakes)
	s.now = 20e6
	w.Wake(s.wakes[0])
	w.Wake(s.wakes[1])
	if len(s.wakes) != made {
		t.Errorf("replaced wake-ups made others: %v", s.wakes)
	}
}

func TestAnActionRunsOnceItsInputsAreThere(t *testing.T) {
	s, w := newWorker()
	w.HoldOnGPU(0, "m")
	a := action(w, 1, protocol.Infer)
	a.Batch = 2
	for seq := range uint64(2) {
		a.Requests = append(a.Requests, protocol.RequestRef{ID: protocol.RequestID{Seq: seq}, Batch: 1})
	}
	w.Input(a.Requests[1].ID, 8) // before its action
	w.Receive(a)
	w.Input(a.Requests[1].ID, 8) // twice
	s.until(5)
	s.expect(t)
	w.Input(a.Requests[0].ID, 8)
	s.until(15)
	w.Receive(a)
	s.expect(t, "5 begin 1", "15 OK 1", "15 outputs of 1", "15 again OK 1")
}

func TestANewIncarnationRemembersNothing(t *testing.T) {
	s, w := newWorker()
	load := action(w, 1, protocol.LoadWeights)
	w.Receive(load)
	s.until(5)
	w.Restart(2)
	if used, _ := w.Core.Pages(0); used != 0 || w.Core.InFlight() != 0 {
		t.Errorf("%d pages and %d actions after a restart", used, w.Core.InFlight())
	}
	s.until(20)
	w.Receive(load) // a copy of its message
	s.expect(t, "0 begin 1", "20 STALE_INCARNATION 1")
}

func TestASlowGPUTakesLongerAndAHungOneEndsNothing(t *testing.T) {
	s, w := newWorker()
	g := w.GPUs[0]
	g.Slow = 3
	w.Receive(action(w, 1, protocol.LoadWeights))
	s.until(29)
	s.expect(t, "0 begin 1")
	g.Hung = 50e6
	w.Receive(action(w, 2, protocol.Infer)) // its weights are not there yet
	s.until(60)
	s.expect(t, "29 WEIGHTS_MISSING 2", "50 OK 1")
}

func TestAClearedGPUIsEmptyUnlessItWorks(t *testing.T) {
	s, w := newWorker()
	w.HoldOnGPU(0, "m")
	w.Receive(action(w, 1, protocol.Infer))
	w.Receive(action(w, 2, protocol.ClearCache))
	s.until(20)
	w.Receive(action(w, 3, protocol.ClearCache))
	s.expect(t, "0 begin 1", "0 WEIGHTS_IN_USE 2", "10 OK 1", "20 OK 3")
	if used, _ := w.Core.Pages(0); used != 0 {
		t.Errorf("%d pages used", used)
	}
}

// TestALostExecutorTakesAllWithIt: what runs ends with the process, and what comes next
// waits for the next one.
func TestALostExecutorTakesAllWithIt(t *testing.T) {
	s, w := newWorker()
	w.HoldInMemory("p/n", "n")
	g := w.GPUs[0]
	g.Restarts = func() time.Duration { return 20 * time.Millisecond }
	w.HoldOnGPU(0, "m")
	w.Receive(action(w, 1, protocol.Infer))
	load := action(w, 2, protocol.LoadWeights)
	load.Model = "n"
	w.Receive(load)
	s.until(5)
	g.LoseExecutor(protocol.Refusal(protocol.ExecutorKilled))
	s.expect(t, "0 begin 1", "0 begin 2", "5 EXECUTOR_KILLED 1", "5 EXECUTOR_KILLED 2")
	if beats := w.Core.Heartbeat().GPUs; len(beats) != 1 || !beats[0].Restarting || beats[0].Executor != 1 {
		t.Errorf("the heartbeat says %+v", beats)
	}
	w.Receive(action(w, 3, protocol.LoadWeights))
	s.until(24)
	s.expect(t, "5 begin 3")
	s.laters[0]()
	s.until(40)
	s.expect(t, "35 OK 3")
	if beats := w.Core.Heartbeat().GPUs; beats[0].Restarting {
		t.Errorf("the heartbeat says %+v", beats)
	}
}

// TestWhatHangsEndsWithItsExecutor: the core says when. An executor may not end.
func TestWhatHangsEndsWithItsExecutor(t *testing.T) {
	for _, stuck := range []bool{false, true} {
		s, w := newWorker(func(c *work.Config) {
			c.Overdue = work.Overdue{Floor: 50 * time.Millisecond, Unmeasured: 50 * time.Millisecond}
		})
		w.GPUs[0].Hung, w.GPUs[0].Stuck = 1e9, stuck
		w.Receive(action(w, 1, protocol.LoadWeights))
		s.until(50)
		w.Wake(s.wakes[len(s.wakes)-1])
		s.until(2000)
		s.expect(t, "0 begin 1", map[bool]string{false: "50 EXECUTOR_LOST 1", true: "1010 OK 1"}[stuck])
	}
}

func TestALoadFailsAsTheGPUSays(t *testing.T) {
	s, w := newWorker()
	w.GPUs[0].Fails = func(*work.Order) *protocol.Error { return protocol.Refusal(protocol.BackendError) }
	w.Receive(action(w, 1, protocol.LoadWeights))
	s.until(20)
	s.expect(t, "0 begin 1", "10 BACKEND_ERROR 1")
	if used, _ := w.Core.Pages(0); used != 0 {
		t.Errorf("%d pages used", used)
	}
}
