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

// TestRefusals has every code that a worker may answer with, but those that
// need something under way; they have tests of their own.
func TestRefusals(t *testing.T) {
	r := startRig(t, newBench(1), func(c *Config) { c.Ahead = time.Hour })
	r.load("small", "a")
	r.load("large", "l1", "l2")
	r.want(protocol.OK, loadWeights("l1"))
	gpu := func(a protocol.Action, n int) protocol.Action { a.GPU = n; return a }
	window := func(earliest, latest protocol.Time) protocol.Action {
		a := measure("l1")
		a.Earliest, a.Latest = earliest, latest
		return a
	}
	generated := inferOf("l1", 1, 9)
	generated.Requests[0].Generated = true
	twice := inferOf("l1", 2, 5, 5)
	noItems := inferOf("l1", 1, 5)
	noItems.Requests[0].Batch = 0
	other := measure("l1")
	other.Incarnation = 12345
	size3 := measure("l1")
	size3.Batch = 3
	for _, c := range []struct {
		what   string
		action protocol.Action
		code   protocol.Code
	}{
		{"unknown kind", protocol.Action{Kind: 99}, protocol.InvalidAction},
		{"unknown model", measure("nobody"), protocol.UnknownModel},
		{"no such GPU", gpu(measure("l1"), 1), protocol.InvalidGPU},
		{"negative GPU", gpu(loadWeights("a"), -1), protocol.InvalidGPU},
		{"batch size that is not compiled", size3, protocol.InvalidBatch},
		{"more items than the batch", inferOf("l1", 1, 1, 2), protocol.InvalidBatch},
		{"a member without items", noItems, protocol.InvalidBatch},
		{"a request twice", twice, protocol.InvalidAction},
		{"generated inputs", generated, protocol.InvalidInput},
		{"weights missing", measure("a"), protocol.WeightsMissing},
		{"evict what is not there", evictWeights("a"), protocol.WeightsMissing},
		{"already loaded", loadWeights("l1"), protocol.AlreadyLoaded},
		{"no pages left", loadWeights("l2"), protocol.NoMemory},
		{"latest before earliest", window(later(2*time.Second), later(time.Second)), protocol.InvalidAction},
		{"too late", window(0, later(-time.Second)), protocol.TooLate},
		{"too early", window(later(2*time.Hour), protocol.Never), protocol.TooEarly},
		{"another life", other, protocol.StaleIncarnation},
		{"no such path", loadModel("nothing", "n"), protocol.ModelNotFound},
		{"no names", loadModel("small"), protocol.InvalidAction},
		{"bad name", loadModel("small", "a.b"), protocol.InvalidAction},
		{"a name twice", loadModel("small", "n", "n"), protocol.InvalidAction},
		{"a name of another model", loadModel("large", "a"), protocol.InvalidAction},
		{"clear an unknown GPU", protocol.Action{Kind: protocol.ClearCache, GPU: 7}, protocol.InvalidGPU},
		{"remove models of one GPU", protocol.Action{Kind: protocol.ClearCache, GPU: 0, Models: []string{"a"}}, protocol.InvalidAction},
	} {
		t.Run(c.what, func(t *testing.T) {
			got := r.do(c.action)
			if got.Code != c.code || got.Message == "" {
				t.Errorf("got %s %q, want %s with a message", got.Code, got.Message, c.code)
			}
		})
	}
	if state := r.state(); len(state.Models) != 3 || state.GPUs[0].PagesUsed != 3 {
		t.Errorf("refusals changed the state: %+v", state)
	}
}

// TestG2WindowsAreKept: an action that cannot begin by its latest is answered
// then, though the one before it still runs; one does not begin early.
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

// TestAMissingInputHarmsNobodyElse: the Infer whose input does not come is
// answered at its latest, and later ones run meanwhile.
func TestAMissingInputHarmsNobodyElse(t *testing.T) {
	r := startRig(t, newBench(1), nil)
	r.load("small", "a")
	r.want(protocol.OK, loadWeights("a"))
	lacking := inferOf("a", 1, 1)
	lacking.Latest = later(300 * time.Millisecond)
	missing := r.begin(lacking)
	r.sendInput(2, []byte("2222"))
	if got := r.do(inferOf("a", 1, 2)); got.Code != protocol.OK {
		t.Errorf("behind it: %s", got.Code)
	}
	if got := r.await(missing); got.Code != protocol.InputMissing {
		t.Errorf("got %s", got.Code)
	}
	r.sendInput(3, []byte("too long"))
	r.want(protocol.InvalidInput, inferOf("a", 1, 3))
}

// TestG6NothingInUseIsEvicted, and the pages are given back once it is not.
func TestG6NothingInUseIsEvicted(t *testing.T) {
	b := newBench(1)
	r := startRig(t, b, nil)
	r.load("small", "a")
	r.want(protocol.OK, loadWeights("a"))
	b.gate.shut()
	running := r.begin(measure("a"))
	b.gate.awaitOne(t)
	r.want(protocol.WeightsInUse, evictWeights("a"))
	if got := r.want(protocol.WeightsInUse, protocol.Action{Kind: protocol.ClearCache, GPU: -1}); got.Exec != (protocol.Phase{}) || got.End != 0 {
		t.Errorf("a ClearCache that never began: %+v, end %v", got.Exec, got.End)
	}
	r.want(protocol.WeightsInUse, protocol.Action{Kind: protocol.ClearCache, GPU: -1, Models: []string{"a"}})
	b.gate.open()
	r.await(running)
	r.want(protocol.OK, evictWeights("a"))
	if state := r.state(); state.GPUs[0].PagesUsed != 0 {
		t.Errorf("state %+v", state)
	}
}

// TestWeightsThatChangedWhileItWaitedFailAnInfer: it was staged for weights
// that were replaced before it could begin.
func TestWeightsThatChangedWhileItWaitedFailAnInfer(t *testing.T) {
	b := newBench(1)
	r := startRig(t, b, nil)
	r.load("small", "a", "b")
	r.want(protocol.OK, loadWeights("a"))
	r.want(protocol.OK, loadWeights("b"))
	b.gate.shut()
	running := r.begin(measure("b"))
	b.gate.awaitOne(t)
	waiting := r.begin(measure("a"))
	r.state()
	r.want(protocol.OK, evictWeights("a"))
	r.want(protocol.OK, loadWeights("a"))
	b.gate.open()
	r.await(running)
	if got := r.await(waiting); got.Code != protocol.WeightsChanged {
		t.Errorf("got %s", got.Code)
	}
}

// TestG7AnOlderEpochIsRefused, also one without an epoch that wants a GPU.
func TestG7AnOlderEpochIsRefused(t *testing.T) {
	r := startRig(t, newBench(1), nil)
	r.load("small", "a")
	of := func(a protocol.Action, epoch uint64) protocol.Action { a.Epoch = epoch; return a }
	r.want(protocol.OK, of(loadWeights("a"), 5))
	if got := r.want(protocol.StaleEpoch, of(measure("a"), 4)); got.Epoch != 5 {
		t.Errorf("the refusal names epoch %d", got.Epoch)
	}
	r.want(protocol.StaleEpoch, measure("a"))
	r.want(protocol.OK, of(measure("a"), 5))
	r.want(protocol.OK, loadModel("small", "b")) // the controller has no epoch
	r.want(protocol.OK, of(measure("a"), 6))
}

// TestG8AnActionThatArrivesTwiceIsExecutedOnce and answered the same.
func TestG8AnActionThatArrivesTwiceIsExecutedOnce(t *testing.T) {
	r := startRig(t, newBench(1), nil)
	r.load("small", "a")
	action := loadWeights("a")
	action.ID = 9999
	first, second := r.do(action), r.do(action)
	if first.Code != protocol.OK || second.Code != protocol.OK || first.End != second.End {
		t.Errorf("first %+v, second %+v", first, second)
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
	b.fail("evict", errors.New("stuck"))
	r.want(protocol.BackendError, evictWeights("a"))
	if state := r.state(); state.GPUs[0].PagesUsed != 1 {
		t.Error("a failed eviction gave its pages away")
	}
	b.fail("evict", nil)
	r.sendInput(2, []byte("2222"))
	r.want(protocol.OK, inferOf("a", 1, 2))
}

func TestCopiesShareOneModel(t *testing.T) {
	b := newBench(1)
	r := startRig(t, b, nil)
	r.load("small", "a-1", "a-2")
	r.load("small", "a-3")                     // the same digest
	r.load("small", "a-1", "a-2", "a-3", "a4") // most of them are there
	if b.mu.Lock(); b.open != 1 {
		t.Errorf("%d models are open, want one for all copies", b.open)
	}
	b.mu.Unlock()
	r.want(protocol.OK, protocol.Action{Kind: protocol.ClearCache, GPU: -1, Models: []string{"a-1", "a-2"}})
	r.want(protocol.OK, loadWeights("a-3"))
	r.want(protocol.OK, measure("a-3"))
}

// TestClearCacheWithoutModelsDropsWeightsOnly, of one GPU or of all.
func TestClearCacheWithoutModelsDropsWeightsOnly(t *testing.T) {
	r := startRig(t, newBench(2), nil)
	r.load("small", "a", "b")
	on := func(a protocol.Action, gpu int) protocol.Action { a.GPU = gpu; return a }
	r.want(protocol.OK, on(loadWeights("a"), 0))
	r.want(protocol.OK, on(loadWeights("a"), 1))
	r.want(protocol.OK, on(loadWeights("b"), 1))
	r.want(protocol.OK, protocol.Action{Kind: protocol.ClearCache, GPU: 1})
	if s := r.state(); s.GPUs[0].PagesUsed != 1 || s.GPUs[1].PagesUsed != 0 || len(s.Models) != 2 {
		t.Errorf("state %+v", s)
	}
	r.want(protocol.OK, protocol.Action{Kind: protocol.ClearCache, GPU: -1})
	if s := r.state(); s.GPUs[0].PagesUsed != 0 || len(s.Models) != 2 {
		t.Errorf("state %+v", s)
	}
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

func TestASecondWorkerOfALivingNameIsRefused(t *testing.T) {
	r := startRig(t, newBench(1), nil)
	_, ended := r.run(DefaultConfig("w1", func([]string) (backend.Backend, error) { return newBench(1), nil }))
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

// TestInputsAreBounded: those without room are dropped and their actions
// answered; room comes back.
func TestInputsAreBounded(t *testing.T) {
	r := startRig(t, newBench(1), func(c *Config) { c.MaxInputs, c.InputWait = 2, 50*time.Millisecond })
	r.load("small", "a")
	r.want(protocol.OK, loadWeights("a"))
	for seq := range uint64(3) {
		r.sendInput(seq, []byte("0000"))
	}
	dropped := inferOf("a", 1, 2)
	dropped.Latest = later(500 * time.Millisecond) // by then the others are forgotten
	r.want(protocol.InputMissing, dropped)
	r.sendInput(2, []byte("2222"))
	r.want(protocol.OK, inferOf("a", 1, 2))
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
