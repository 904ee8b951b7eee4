package emulation

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// script is a World that writes down what it is asked for. Everything takes 10 ms.
type script struct {
	now   protocol.Time
	lines []string
	ends  []*Order
	at    []protocol.Time // of the ends
}

func (s *script) Now() protocol.Time              { return s.now }
func (s *script) Begins(o *Order) time.Duration   { s.note("begin", o); return 10 * time.Millisecond }
func (s *script) WakeIn(time.Duration, *GPU, int) {}
func (s *script) Done(o *Order)                   { s.note(string(o.Code), o) }
func (s *script) Again(o *Order)                  { s.note("again "+string(o.Code), o) }
func (s *script) EndIn(d time.Duration, o *Order) {
	s.ends, s.at = append(s.ends, o), append(s.at, s.now.Add(d))
}
func (s *script) note(what string, o *Order) {
	s.lines = append(s.lines, fmt.Sprintf("%d %s %d", s.now/1e6, what, o.Action.ID))
}

// until lets ends happen up to a time in ms.
func (s *script) until(ms protocol.Time) {
	for i := 0; i < len(s.ends); i++ {
		if s.at[i] <= ms*1e6 {
			o := s.ends[i]
			s.now = max(s.now, s.at[i])
			s.ends, s.at = slices.Delete(s.ends, i, i+1), slices.Delete(s.at, i, i+1)
			o.Worker.End(o)
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

var m = &Model{ModelSpec: protocol.ModelSpec{Name: "m", Pages: 3, BatchSizes: []int{1, 4}}}

func newWorker() (*script, *Worker) {
	s := &script{}
	w := NewWorker("w", 1, s)
	w.AddGPU("v100", 8)
	return s, w
}

func (s *script) action(w *Worker, id protocol.ActionID, kind protocol.Kind) *Order {
	o := &Order{Worker: w, Model: m, Latest: protocol.Never}
	o.Action = protocol.Action{ID: id, Kind: kind, Model: "m", Batch: 1, Incarnation: w.Incarnation, Epoch: 5}
	return o
}

func TestAnActionRunsAndIsAnswered(t *testing.T) {
	s, w := newWorker()
	w.Receive(s.action(w, 1, protocol.LoadWeights))
	s.until(20)
	infer := s.action(w, 2, protocol.Infer)
	infer.Await(2)
	w.Stage(infer, 1) // an input before its action
	w.Receive(infer)
	s.until(25)
	w.Stage(infer, 1) // twice
	s.expect(t, "0 begin 1", "10 OK 1")
	w.Stage(infer, 0)
	s.until(40)
	s.expect(t, "25 begin 2", "35 OK 2")
	if r := infer.Result(); r.Received != 20e6 || r.Begin != 25e6 || r.End != 35e6 || r.Sent != 35e6 || r.Worker != "w" || r.Epoch != 5 {
		t.Errorf("%+v", r)
	}
}

func TestAnActionThatComesTwiceIsDoneOnce(t *testing.T) {
	s, w := newWorker()
	o := s.action(w, 1, protocol.LoadWeights)
	w.Receive(o)
	w.Receive(o) // it has no result yet
	s.until(10)
	w.Receive(o)
	s.expect(t, "0 begin 1", "10 OK 1", "10 again OK 1")
}

func TestAWorkerRefusesWhatItCannotDo(t *testing.T) {
	s, w := newWorker()
	for i, spoil := range []func(o *Order){
		func(o *Order) { o.Action.Incarnation = 9 },
		func(o *Order) { o.Latest = -1 },
		func(o *Order) { o.Action.GPU = 1 },
		func(o *Order) { o.Model = nil },
		func(o *Order) { o.Action.Batch = 2 },
		func(*Order) {}, // its weights are not there
		func(o *Order) { o.Action.Epoch = 4 },
	} {
		o := s.action(w, protocol.ActionID(i), protocol.Infer)
		spoil(o)
		w.Receive(o)
	}
	s.expect(t, "0 STALE_INCARNATION 0", "0 TOO_LATE 1", "0 INVALID_GPU 2", "0 UNKNOWN_MODEL 3", "0 INVALID_BATCH 4",
		"0 WEIGHTS_MISSING 5", "0 STALE_EPOCH 6")
}

func TestANewLifeRemembersNothing(t *testing.T) {
	s, w := newWorker()
	load := s.action(w, 1, protocol.LoadWeights)
	w.Receive(load)
	s.until(5)
	w.Restart(2)
	if w.Orders() != 0 || w.GPUs[0].Pages.Used() != 0 {
		t.Errorf("%d orders and %d pages after a restart", w.Orders(), w.GPUs[0].Pages.Used())
	}
	s.until(20)
	w.Receive(load) // a copy of its message
	s.expect(t, "0 begin 1", "20 STALE_INCARNATION 1")
}

func TestWhatWasBeingCopiedIsThereAfterADrop(t *testing.T) {
	s, w := newWorker()
	w.Receive(s.action(w, 1, protocol.LoadWeights))
	w.Drop()
	s.until(20)
	s.expect(t, "0 begin 1")
	if got := w.State().GPUs[0]; got.PagesUsed != 3 || len(got.Models) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestASlowGPUTakesLongerAndAHungOneEndsNothing(t *testing.T) {
	s, w := newWorker()
	g := w.GPUs[0]
	g.Slow = 3
	w.Receive(s.action(w, 1, protocol.LoadWeights))
	s.until(29)
	g.Slow = 1
	s.expect(t, "0 begin 1")
	g.Hung = 50e6
	w.Receive(s.action(w, 2, protocol.Infer)) // not there yet
	s.until(60)
	s.expect(t, "29 WEIGHTS_MISSING 2", "50 OK 1")
}

func TestAClearedGPUIsEmptyUnlessItWorks(t *testing.T) {
	s, w := newWorker()
	g := w.GPUs[0]
	w.Receive(s.action(w, 1, protocol.LoadWeights))
	if code := g.Clear(); code != protocol.WeightsInUse {
		t.Errorf("%s while it loads", code)
	}
	s.until(20)
	if code := g.Clear(); code != protocol.OK || g.Pages.Used() != 0 {
		t.Errorf("%s, %d pages used", code, g.Pages.Used())
	}
}
