package emulated

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/backend/zoo"
	"clockwork/pkg/protocol"
)

func open(t testing.TB, change func(*Options)) *Backend {
	t.Helper()
	o := Defaults("w1")
	if change != nil {
		change(&o)
	}
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func load(t testing.TB, b *Backend, path string) backend.Model {
	t.Helper()
	m, err := b.LoadModel(t.Context(), path, backend.LoadOptions{PageSize: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTheZooHoldsThePapersNetworks(t *testing.T) {
	b := open(t, nil)
	names := zoo.Paths()
	if len(names) != 64+3+4 {
		t.Errorf("%d models, want the paper's 64, three on a processor and four of our own", len(names))
	}
	digests := map[string]bool{}
	for _, path := range names {
		s := load(t, b, path).Spec()
		if s.Pages < 1 || s.ItemBytes() < 1 || s.OutputBytes() < 1 || s.MaxBatch() != 16 {
			t.Errorf("%s: %+v", path, s)
		}
		digests[s.Digest] = true
	}
	if len(digests) != len(names) {
		t.Errorf("%d digests of %d models", len(digests), len(names))
	}
	s := load(t, b, "zoo/resnet50_v2").Spec()
	if s.Pages != 7 || s.ItemBytes() != 602112 || s.OutputBytes() != 4000 || !slices.Equal(s.Inputs[0].Shape, []int64{3, 224, 224}) {
		t.Errorf("resnet50_v2: %+v", s)
	}
}

func TestPathsThatNameNoModelHaveTheirCodes(t *testing.T) {
	b := open(t, func(o *Options) { o.Pages = 3 })
	for path, want := range map[string]protocol.Code{
		"resnet50_v2":     protocol.InvalidModelPath,
		"zoo/../secret":   protocol.InvalidModelPath,
		"zoo/nothing":     protocol.ModelNotFound,
		"zoo/":            protocol.ModelNotFound,
		"zoo/resnet50_v2": protocol.ModelTooLarge,
	} {
		_, err := b.LoadModel(t.Context(), path, backend.LoadOptions{PageSize: 16 << 20})
		var fault *protocol.Error
		if !errors.As(err, &fault) || fault.Code != want {
			t.Errorf("%q: %v, want %s", path, err, want)
		}
	}
}

func TestWorkTakesAtLeastItsTime(t *testing.T) {
	b := open(t, nil)
	m := load(t, b, "zoo/resnet50_v2").(*model)
	d := b.Devices()[0]
	begin := time.Now()
	w, err := d.LoadWeights(m, make([]int, 7))
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < m.network.Transfer {
		t.Errorf("the transfer took %v, the GPU needs %v", took, m.network.Transfer)
	}
	r, err := d.Stage(m, 4, []int{3}, [][]byte{nil})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	begin = time.Now()
	if err := r.Execute(w); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < m.network.Execution(4) {
		t.Errorf("batch 4 took %v, the GPU needs %v", took, m.network.Execution(4))
	}
	if _, err := d.LoadWeights(m, make([]int, 6)); err == nil {
		t.Error("weights of seven pages went into six")
	}
}

func TestWaitsEndInTheOrderOfTheirDeadlines(t *testing.T) {
	b := open(t, nil)
	var mu sync.Mutex
	var ended []int
	var waits sync.WaitGroup
	begin := time.Now()
	for _, ms := range []int{90, 30, 60} { // each nearer one must wake the thread
		waits.Go(func() {
			at := begin.Add(time.Duration(ms) * time.Millisecond)
			b.waits.until(at)
			if time.Now().Before(at) {
				t.Errorf("the wait for %d ms ended early", ms)
			}
			mu.Lock()
			defer mu.Unlock()
			ended = append(ended, ms)
		})
	}
	waits.Wait()
	if len(ended) != 3 {
		t.Errorf("ended: %v", ended)
	}
}

func TestOutputsFollowFromInputsAlone(t *testing.T) {
	b := open(t, func(o *Options) { o.Scale = 0; o.GPUs = 2 })
	m := load(t, b, "zoo/null")
	outputs := func(gpu int, items []int, inputs ...[]byte) [][]byte {
		d := b.Devices()[gpu]
		w, err := d.LoadWeights(m, []int{0})
		if err != nil {
			t.Fatal(err)
		}
		r, err := d.Stage(m, 16, items, inputs)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Release()
		if err := r.Execute(w); err != nil {
			t.Fatal(err)
		}
		out, err := r.Outputs()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	x, y := bytes.Repeat([]byte{1}, 256), bytes.Repeat([]byte{2}, 256)
	alone := outputs(0, []int{1}, x)[0]
	together := outputs(1, []int{2, 1}, append(slices.Clone(y), x...), nil)
	if len(alone) != 256 || len(together[0]) != 512 || len(together[1]) != 256 {
		t.Fatalf("sizes %d, %d, %d", len(alone), len(together[0]), len(together[1]))
	}
	if !bytes.Equal(alone, together[0][256:]) {
		t.Error("an item's output depends on its batch-mates or on the GPU")
	}
	if bytes.Equal(together[0][:256], together[0][256:]) {
		t.Error("different inputs have the same output")
	}
}

func TestFaultsComeOnlyWhenAskedForAndFollowTheSeed(t *testing.T) {
	draw := func(f Faults) (durations []time.Duration, failures int) {
		s := newFaultSource(f, 0)
		for range 1000 {
			d, err := s.apply(time.Millisecond)
			if err != nil {
				failures++
				continue
			}
			durations = append(durations, d)
		}
		return durations, failures
	}
	plain, failures := draw(Faults{})
	if failures != 0 || slices.Max(plain) != time.Millisecond || slices.Min(plain) != time.Millisecond {
		t.Error("a GPU without faults misbehaves")
	}
	bad := Faults{Seed: 7, Jitter: 0.1, StallEvery: 50, Stall: time.Second, SlowDown: 2, FailEvery: 20}
	first, failures := draw(bad)
	if failures == 0 || slices.Min(first) < 2*time.Millisecond || slices.Max(first) < time.Second {
		t.Errorf("%d failures, from %v to %v", failures, slices.Min(first), slices.Max(first))
	}
	if again, _ := draw(bad); !slices.Equal(first, again) {
		t.Error("the same seed misbehaves differently")
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Options){
		"no GPU":         func(o *Options) { o.GPUs = 0 },
		"bad type":       func(o *Options) { o.GPUType = "V 100" },
		"no pages":       func(o *Options) { o.Pages = 0 },
		"negative scale": func(o *Options) { o.Scale = -1 },
		"negative fault": func(o *Options) { o.Faults.Jitter = -1 },
	} {
		o := Defaults("w")
		spoil(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// BenchmarkEmulatedExecution reports how late an execution ends, as the lane
// that waits for it sees it; and, by turns, how late a goroutine is that does
// nothing but watch the clock for as long: what the machine's other work adds.
func BenchmarkEmulatedExecution(b *testing.B) {
	e := open(b, nil)
	m := load(b, e, "zoo/resnet50_v2").(*model)
	d := e.Devices()[0]
	w, err := d.LoadWeights(m, make([]int, m.spec.Pages))
	if err != nil {
		b.Fatal(err)
	}
	r, err := d.Stage(m, 1, []int{1}, [][]byte{nil})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Release()
	takes := m.network.Execution(1)
	var late, watching []time.Duration
	for b.Loop() {
		begin := time.Now()
		if err := r.Execute(w); err != nil {
			b.Fatal(err)
		}
		late = append(late, time.Since(begin)-takes)
		for begin = time.Now(); time.Since(begin) < takes; {
		}
		watching = append(watching, time.Since(begin)-takes)
	}
	for name, list := range map[string][]time.Duration{"late": late, "watching": watching} {
		slices.Sort(list)
		for _, percentile := range []int{50, 99} {
			b.ReportMetric(float64(list[len(list)*percentile/100].Nanoseconds())/1e3, fmt.Sprintf("p%d-us-%s", percentile, name))
		}
	}
}

// TestAnExecutorEndsAndBeginsAgain: by a crash, by a hang that is ended, and while idle.
func TestAnExecutorEndsAndBeginsAgain(t *testing.T) {
	o := Defaults("w")
	o.Scale, o.Faults = 0, Faults{CrashInput: "crash", HangInput: "hang"}
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	told := make(chan backend.Notice, 10)
	b.Watch(func(n backend.Notice) { told <- n })
	m, err := b.LoadModel(t.Context(), "zoo/resnet50_v2", backend.LoadOptions{PageSize: o.PageSize})
	if err != nil {
		t.Fatal(err)
	}
	d, spec := b.Devices()[0], m.Spec()
	execute := func(w backend.Weights, input string) error {
		r, err := d.Stage(m, 1, []int{1}, [][]byte{append([]byte(input), make([]byte, spec.ItemBytes())...)})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Release()
		return r.Execute(w)
	}
	for i, input := range []string{"crash", "hang", ""} {
		w, err := d.LoadWeights(m, make([]int, spec.Pages))
		if err != nil {
			t.Fatal(err)
		}
		if err := execute(w, "neither"); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		if input != "" {
			go func() { ended <- execute(w, input) }()
		}
		if input == "hang" {
			for b.devices[0].(*device).executor.doing.Load() == nil {
				time.Sleep(time.Millisecond)
			}
		}
		if input != "crash" {
			d.End("overdue")
		}
		if input != "" {
			wantCode(t, <-ended, protocol.ExecutorLost)
		}
		lost, ready := <-told, <-told
		if lost.Kind != backend.ExecutorLost || lost.Executor != uint32(i) || lost.Overdue != (input != "crash") || (len(lost.Models) == 1) != (input != "") {
			t.Errorf("%q: the notice is %+v", input, lost)
		}
		if ready.Kind != backend.ExecutorReady || ready.Executor != uint32(i+1) {
			t.Errorf("%q: the notice is %+v", input, ready)
		}
		wantCode(t, execute(w, "neither"), protocol.WeightsMissing)
	}
}

func wantCode(t *testing.T, err error, code protocol.Code) {
	t.Helper()
	var refusal *protocol.Error
	if !errors.As(err, &refusal) || refusal.Code != code {
		t.Errorf("error %v, want %s", err, code)
	}
}

// A model of another zoo than the one that it was loaded from is another model.
func TestAnotherDigestIsNotLoaded(t *testing.T) {
	b, err := New(Defaults("w"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	now, err := b.Identify("zoo/resnet50_v2")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.LoadModel(t.Context(), "zoo/resnet50_v2", backend.LoadOptions{PageSize: 16 << 20, Digest: now.Digest}); err != nil {
		t.Error(err)
	}
	var refusal *protocol.Error
	_, err = b.LoadModel(t.Context(), "zoo/resnet50_v2", backend.LoadOptions{PageSize: 16 << 20, Digest: "another"})
	if !errors.As(err, &refusal) || refusal.Code != protocol.ModelChanged {
		t.Errorf("got %v", err)
	}
	if _, err := b.Identify("zoo/none"); !errors.As(err, &refusal) || refusal.Code != protocol.ModelNotFound {
		t.Errorf("got %v", err)
	}
}
