package worker

import (
	"strings"
	"testing"
	"time"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/backend/emulated"
	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/logtext"
	"clockwork/pkg/watch"
)

// awaitLine waits for a line of the log that has all parts.
func awaitLine(t *testing.T, log *logtext.Buffer, parts ...string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for line := range strings.Lines(log.String()) {
			missing := 0
			for _, p := range parts {
				if !strings.Contains(line, p) {
					missing++
				}
			}
			if missing == 0 {
				return
			}
		}
	}
	t.Fatalf("no line with %q in %s", parts, log)
}

// faulty is an emulated GPU that crashes on inputs that begin with "crash", and hangs on
// those with "hang".
func faulty(t *testing.T) *emulated.Backend {
	t.Helper()
	o := emulated.Defaults("w1")
	o.Scale, o.Faults = 0.01, emulated.Faults{CrashInput: "crash", HangInput: "hang"}
	b, err := emulated.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const poisoned = "zoo/resnet18_v2"

func itemBytes(loaded protocol.Result) int64 { return loaded.Loaded[0].ItemBytes() }

// inferWith sends an input that begins with text, and an Infer of it that is expected to
// take a millisecond.
func (r *rig) inferWith(seq uint64, bytes int64, text string) protocol.Result {
	r.t.Helper()
	r.sendInput(seq, append([]byte(text), make([]byte, bytes-int64(len(text)))...))
	a := inferOf("m", 1, seq)
	a.Expected = time.Millisecond
	return r.do(a)
}

// A crash and a hang cost one execution each; then the GPU serves again, by itself.
func TestAnExecutorThatCrashesOrHangsIsReplaced(t *testing.T) {
	log, hub := &logtext.Buffer{}, &watch.Hub{}
	r := startLoggedRig(t, faulty(t), log, func(c *Config) {
		c.Overdue = work.Overdue{Factor: 1, Floor: 300 * time.Millisecond, Unmeasured: time.Hour}
		c.Telemetry = hub
	})
	size := itemBytes(r.want(protocol.OK, loadModel(poisoned, "m")))
	for i, text := range []string{"crash", "hang", "crash"} {
		r.awaitLoad("m")
		if got := r.inferWith(uint64(2*i), size, text); got.Code != protocol.ExecutorLost {
			t.Errorf("%s: got %+v", text, got)
		}
		r.awaitLoad("m")
		if got := r.inferWith(uint64(2*i+1), size, "sound"); got.Code != protocol.OK {
			t.Errorf("after %s: got %+v", text, got)
		}
		r.want(protocol.OK, evictWeights("m"))
	}
	awaitLine(t, log, "level=WARN", "gpu=0", "executing="+poisoned, "crashes")
	awaitLine(t, log, "level=WARN", "gpu=0", "executing="+poisoned, "overdue=true", "executing m for more than 301ms, with 1ms expected")
	for _, g := range hub.Gauges() {
		if g.Worker != nil && (g.Worker.GPUs[0].ExecutorsEnded != 2 || g.Worker.GPUs[0].ExecutorsOverdue != 1) {
			t.Errorf("counted: %+v", g.Worker.GPUs[0])
		}
	}
}

// awaitLoad loads weights, once the GPU's executor takes them.
func (r *rig) awaitLoad(model string) {
	r.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		got := r.do(loadWeights(model))
		if got.Code == protocol.OK || got.Code == protocol.AlreadyLoaded {
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("load of %s: %+v", model, got)
		}
	}
}

// Weights that the next executor loaded for an order of the one before are not kept: the
// core counts them as lost, and gives their pages away.
func TestALoadThatOutlivesItsExecutorIsTakenBack(t *testing.T) {
	b := newBench(1)
	t.Cleanup(b.loads.open)
	r := startRig(t, b, nil)
	r.load("large", "a")
	b.loads.shut()
	loading := r.begin(loadWeights("a"))
	b.loads.awaitOne(t)
	b.watcher(backend.Notice{Kind: backend.ExecutorLost, Text: "killed"})
	b.watcher(backend.Notice{Kind: backend.ExecutorReady, Executor: 1})
	b.loads.open()
	if got := r.await(loading); got.Code != protocol.ExecutorLost {
		t.Errorf("got %+v", got)
	}
	r.want(protocol.OK, loadWeights("a")) // in the same pages
	r.want(protocol.OK, measure("a"))
}

// An executor that ends while its GPU has nothing to do takes the weights with it.
func TestAnIdleExecutorThatEndsTakesTheWeights(t *testing.T) {
	b := newBench(1)
	r := startRig(t, b, nil)
	r.load("large", "a")
	r.want(protocol.OK, loadWeights("a"))
	b.devices[0].(*benchDevice).forget()
	b.watcher(backend.Notice{Kind: backend.ExecutorLost, Text: "killed"})
	if state := r.state(); state.GPUs[0].PagesUsed != 0 {
		t.Errorf("state %+v", state.GPUs[0])
	}
	b.watcher(backend.Notice{Kind: backend.ExecutorReady, Executor: 1})
	r.want(protocol.WeightsMissing, measure("a"))
	r.want(protocol.OK, loadWeights("a"))
}

// An executor that does not begin is ended, again and again, and who looks is told.
func TestAnExecutorThatDoesNotBeginIsEnded(t *testing.T) {
	b, log := newBench(1), &logtext.Buffer{}
	r := startLoggedRig(t, b, log, func(c *Config) { c.RestartWithin = 50 * time.Millisecond })
	b.watcher(backend.Notice{Kind: backend.ExecutorLost, Text: "killed"})
	for range 2 {
		if why := <-b.ended; why != "the start: it was not ready after 50ms" {
			t.Fatalf("ended is %q", why)
		}
	}
	b.watcher(backend.Notice{Kind: backend.ExecutorLost, Executor: 1, Text: "it did not start"})
	if why := <-b.ended; why != "the start: it was not ready after 100ms" {
		t.Fatalf("ended is %q", why)
	}
	if state := r.state(); !strings.Contains(state.GPUs[0].Stalled, "of the next ones 1 did not begin") {
		t.Errorf("state %+v", state.GPUs[0])
	}
	awaitLine(t, log, "level=WARN", "an executor does not become ready", "gpu=0", "after=50ms")
	b.watcher(backend.Notice{Kind: backend.ExecutorReady, Executor: 2})
	if state := r.state(); state.GPUs[0].Stalled != "" {
		t.Errorf("state %+v", state.GPUs[0])
	}
}

// A worker that stops does not wait for what never ends.
func TestAWorkerThatStopsEndsWhatHangs(t *testing.T) {
	r := startRig(t, faulty(t), func(c *Config) {
		c.Overdue, c.Finish = work.Overdue{}, 500*time.Millisecond
	})
	size := itemBytes(r.want(protocol.OK, loadModel(poisoned, "m")))
	r.want(protocol.OK, loadWeights("m"))
	r.sendInput(1, append([]byte("hang"), make([]byte, size-4)...))
	hung := r.begin(inferOf("m", 1, 1))
	r.state() // the action has arrived
	r.stop()
	if got := r.await(hung); got.Code != protocol.ExecutorLost {
		t.Errorf("got %+v", got)
	}
}
