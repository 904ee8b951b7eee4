package worker

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"clockwork/pkg/adapter/backend"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
)

// What a worker decides is tested where it is decided (pkg/core/work/testdata). These
// tests watch that it is carried out: on a broker, with a clock and with devices.

func discardLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestAllSixActions(t *testing.T) {
	r := startRig(t, newBench(2), nil)
	loaded := r.want(protocol.OK, loadModel("small", "a", "b")).Loaded
	if len(loaded) != 2 || loaded[0].Name != "a" || loaded[1].Name != "b" || loaded[0].Pages != 1 {
		t.Errorf("loaded %+v", loaded)
	}
	load := loadWeights("a")
	load.GPU = 1
	if got := r.want(protocol.OK, load); got.Exec.Device <= 0 || got.Begin < got.Received || got.End < got.Begin || got.Sent < got.End {
		t.Errorf("times of a load: %+v", got)
	}
	r.sendInput(1, []byte("abcd"))
	infer := inferOf("a", 1, 1)
	infer.GPU = 1
	if got := r.want(protocol.OK, infer); got.Exec.Begin == 0 || got.Exec.End < got.Exec.Begin || got.Output.End < got.Output.Begin {
		t.Errorf("phases of an Infer: %+v", got)
	}
	if out := r.output(); string(out.Data) != "abcd" || out.ID.Seq != 1 || out.Items != 1 || out.Batch != 1 {
		t.Errorf("output %+v", out)
	}
	state := r.state()
	if len(state.GPUs) != 2 || state.GPUs[1].PagesUsed != 1 || !slices.Equal(state.GPUs[1].Models, []string{"a"}) || state.GPUs[0].PagesUsed != 0 || len(state.Models) != 2 || state.ID != "w1" || state.Incarnation == 0 {
		t.Errorf("state %+v", state)
	}
	evict := evictWeights("a")
	evict.GPU = 1
	r.want(protocol.OK, evict)
	r.want(protocol.OK, protocol.Action{Kind: protocol.ClearCache, GPU: -1, Models: []string{"a", "b", "never-there"}})
	if state := r.state(); len(state.Models) != 0 || state.GPUs[1].PagesUsed != 0 {
		t.Errorf("after ClearCache: %+v", state)
	}
}

// TestG2WindowsAreKept by the clock: an action that cannot begin by its latest is
// answered then, though the one before it still runs; one does not begin early.
func TestG2WindowsAreKept(t *testing.T) {
	b := newBench(1)
	r := startRig(t, b, nil)
	r.load("small", "a")
	r.want(protocol.OK, loadWeights("a"))
	b.gate.shut()
	running := r.begin(measure("a"))
	b.gate.awaitOne(t)
	tight := measure("a")
	tight.Latest = later(20 * time.Millisecond)
	if got := r.do(tight); got.Code != protocol.TooLate || got.Begin != 0 {
		t.Errorf("got %+v", got)
	}
	b.gate.open()
	if got := r.await(running); got.Code != protocol.OK {
		t.Errorf("got %+v", got)
	}
	early := measure("a")
	early.Earliest = later(30 * time.Millisecond)
	if got := r.do(early); got.Code != protocol.OK || got.Begin < early.Earliest {
		t.Errorf("began %v before its earliest", early.Earliest.Sub(got.Begin))
	}
}

func TestAnInputMayComeBeforeOrAfterItsAction(t *testing.T) {
	r := startRig(t, newBench(1), nil)
	r.load("small", "a")
	r.want(protocol.OK, loadWeights("a"))
	r.sendInput(1, []byte("1111"))
	result := r.begin(inferOf("a", 2, 1, 2))
	r.state() // the action has arrived now
	r.sendInput(2, []byte("2222"))
	if got := r.await(result); got.Code != protocol.OK {
		t.Fatalf("got %s: %s", got.Code, got.Message)
	}
	got := []string{string(r.output().Data), string(r.output().Data)}
	if slices.Sort(got); !slices.Equal(got, []string{"1111", "2222"}) {
		t.Errorf("outputs %q", got)
	}
}

func TestFailuresOfTheDeviceAreResults(t *testing.T) {
	b := newBench(1)
	r := startRig(t, b, nil)
	r.load("small", "a")
	b.fail("load", errors.New("the bus is on fire"))
	r.want(protocol.BackendError, loadWeights("a"))
	if state := r.state(); state.GPUs[0].PagesUsed != 0 {
		t.Error("a failed load leaked pages")
	}
	b.fail("load", nil)
	r.want(protocol.OK, loadWeights("a"))
	for _, what := range []string{"stage", "execute", "outputs"} {
		b.fail(what, errors.New("broken"))
		r.sendInput(1, []byte("1111"))
		r.want(protocol.BackendError, inferOf("a", 1, 1))
		b.fail(what, nil)
	}
	r.want(protocol.ModelNotFound, loadModel("nothing", "n"))
	b.fail("evict", errors.New("stuck"))
	r.want(protocol.BackendError, evictWeights("a"))
	r.want(protocol.BackendError, protocol.Action{Kind: protocol.ClearCache, GPU: -1})
	if state := r.state(); state.GPUs[0].PagesUsed != 1 {
		t.Error("a failed eviction gave its pages away")
	}
	b.fail("evict", nil)
	r.sendInput(2, []byte("2222"))
	r.want(protocol.OK, inferOf("a", 1, 2))
}

func TestGeneratedInputsWhereAllowed(t *testing.T) {
	r := startRig(t, newBench(1), func(c *Config) { c.GenerateInputs = true })
	r.load("small", "a")
	r.want(protocol.OK, loadWeights("a"))
	generated := inferOf("a", 1, 1)
	generated.Requests[0].Generated = true
	r.want(protocol.OK, generated)
	r.output()
}

// TestStoppingFinishesWhatItHas and takes nothing more; its heartbeats say both.
func TestStoppingFinishesWhatItHas(t *testing.T) {
	b := newBench(1)
	r := startRig(t, b, nil)
	r.load("small", "a")
	r.want(protocol.OK, loadWeights("a"))
	beats := make(chan protocol.Heartbeat, 1000)
	live, err := r.bus.WatchHeartbeats(protocol.Worker, func(h protocol.Heartbeat) { beats <- h }, func(protocol.Heartbeat) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(live.Stop)
	b.gate.shut()
	running := r.begin(measure("a"))
	b.gate.awaitOne(t)
	waiting := r.begin(measure("a"))
	r.state()
	go r.stop()
	for h := range beats {
		if h.State == protocol.Stopping {
			if h.InFlight != 2 {
				t.Errorf("%d in flight, want 2", h.InFlight)
			}
			break
		}
	}
	r.want(protocol.ShuttingDown, measure("a"))
	b.gate.open()
	for what, result := range map[string]<-chan protocol.Result{"what ran": running, "what waited": waiting} {
		if got := r.await(result); got.Code != protocol.OK {
			t.Errorf("%s: %s", what, got.Code)
		}
	}
	for h := range beats {
		if h.InFlight == 0 {
			break // a scheduler lets it go now
		}
	}
	if err := <-r.ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

// TestStoppingDoesNotWaitForEver: what takes too long to begin is answered with
// SHUTTING_DOWN, and what runs may end.
func TestStoppingDoesNotWaitForEver(t *testing.T) {
	b := newBench(1)
	r := startRig(t, b, func(c *Config) { c.Finish = 50 * time.Millisecond })
	r.load("small", "a")
	r.want(protocol.OK, loadWeights("a"))
	b.gate.shut()
	running := r.begin(measure("a"))
	b.gate.awaitOne(t)
	waiting := r.begin(measure("a"))
	r.state()
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	if got := r.await(waiting); got.Code != protocol.ShuttingDown {
		t.Errorf("what waited: %s", got.Code)
	}
	b.gate.open()
	if got := r.await(running); got.Code != protocol.OK {
		t.Errorf("what ran: %s", got.Code)
	}
	<-stopped
	if err := <-r.ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

// shortWait is a NameWait for workers that are to be refused.
const shortWait = 300 * time.Millisecond

func TestASecondWorkerOfALivingNameIsRefused(t *testing.T) {
	r := startRig(t, newBench(1), nil)
	config := DefaultConfig("w1", func([]string) (backend.Backend, error) { return newBench(1), nil })
	config.NameWait = shortWait
	_, ended := r.run(config)
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it ended without an error")
		}
	case <-time.After(patience):
		t.Fatal("it was not refused")
	}
	r.load("small", "a") // the first one lives on
}

// TestHostileMessages: nothing that arrives ends the worker.
func TestHostileMessages(t *testing.T) {
	r := startRig(t, newBench(1), nil)
	for _, body := range [][]byte{
		nil, {}, {1}, {1, 0xdd, 0xff, 0xff, 0xff, 0xff}, {0xdd, 0xff, 0xff, 0xff, 0xff},
		slices.Repeat([]byte{0x91}, 1<<20), []byte("{}"), {1, 0xc1},
	} {
		for _, subject := range []string{r.bus.Subjects.Action("w1"), r.bus.Subjects.Input("w1")} {
			if err := r.bus.Payload.Publish(subject, body); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := r.bus.Payload.Flush(); err != nil {
		t.Fatal(err)
	}
	r.load("small", "a")
	r.want(protocol.OK, loadWeights("a"))
}

func TestConfigIsChecked(t *testing.T) {
	open := func([]string) (backend.Backend, error) { return newBench(1), nil }
	for _, change := range []func(*Config){
		func(c *Config) { c.Name = "No.Name" },
		func(c *Config) { c.Open = nil },
		func(c *Config) { c.Ahead = 0 },
		func(c *Config) { c.MaxQueued = 0 },
	} {
		c := DefaultConfig("w1", open)
		change(&c)
		if _, err := New(c, bus.Config{}); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

// Loads that hang hold the readers until their issuer has given them up, and no longer.
func TestLoadsThatHangEndWithTheirTime(t *testing.T) {
	r := startRig(t, newBench(1), nil)
	var hang []<-chan protocol.Result
	for _, name := range []string{"a", "b"} {
		load := loadModel("endless", name)
		load.Load.Within = 50 * time.Millisecond
		hang = append(hang, r.begin(load))
	}
	r.want(protocol.OK, loadModel("small", "c"))
	for _, load := range hang {
		if got := r.await(load); got.Code != protocol.TooLate {
			t.Errorf("got %+v", got)
		}
	}
}
