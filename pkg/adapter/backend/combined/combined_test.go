package combined

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/backend/emulated"
	"clockwork/pkg/protocol"
)

// fake is a real backend that records what it is asked.
type fake struct {
	pages   int
	calls   []string
	closed  bool
	failed  error
	watcher func(backend.Notice)
}

func (f *fake) Name() string    { return "onnx" }
func (f *fake) Version() string { return "1.2.3" }
func (f *fake) Close() error    { f.closed = true; return nil }

func (f *fake) Watch(watcher func(backend.Notice)) { f.watcher = watcher }

func (f *fake) Devices() []backend.Device {
	return []backend.Device{&fakeDevice{f}}
}

func (f *fake) Identify(path string) (protocol.ModelSpec, error) {
	return protocol.ModelSpec{Path: path, Version: 7}, f.failed
}

func (f *fake) LoadModel(_ context.Context, path string, _ backend.LoadOptions) (backend.Model, error) {
	f.calls = append(f.calls, "load "+path)
	if f.failed != nil {
		return nil, f.failed
	}
	return &fakeModel{path}, nil
}

type fakeModel struct{ path string }

func (m *fakeModel) Spec() protocol.ModelSpec {
	return protocol.ModelSpec{Path: m.path, Backend: "onnx"}
}
func (m *fakeModel) Profiles() []protocol.Profile { return nil }
func (m *fakeModel) Close() error                 { return nil }

type fakeDevice struct{ f *fake }

func (d *fakeDevice) Info() backend.DeviceInfo {
	return backend.DeviceInfo{UUID: "real-0", Type: "cpu", Pages: d.f.pages, PageSize: 1 << 20}
}

func (d *fakeDevice) LoadWeights(m backend.Model, _ []int) (backend.Weights, error) {
	d.f.calls = append(d.f.calls, "weights "+m.(*fakeModel).path) // its own type, or it panics
	return nil, nil
}

func (d *fakeDevice) Stage(m backend.Model, _ int, _ []int, _ [][]byte) (backend.Run, error) {
	d.f.calls = append(d.f.calls, "stage "+m.(*fakeModel).path)
	return nil, nil
}

func (d *fakeDevice) EndStart(why string) { d.f.calls = append(d.f.calls, "end the start "+why) }

func (d *fakeDevice) End(why string) {
	d.f.calls = append(d.f.calls, "end "+why)
	d.f.watcher(backend.Notice{Kind: backend.ExecutorLost, Executor: 7, Text: "ended", Overdue: true})
}

func pair(t *testing.T) (*Backend, *fake) {
	t.Helper()
	o := emulated.Defaults("w")
	o.Pages, o.PageSize, o.Scale = 100, 1<<20, 0
	e, err := emulated.New(o)
	if err != nil {
		t.Fatal(err)
	}
	real := &fake{pages: 100}
	b, err := New(real, e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil || !real.closed {
			t.Errorf("close: %v, real side closed: %v", err, real.closed)
		}
	})
	return b, real
}

func load(t *testing.T, b *Backend, path string) backend.Model {
	t.Helper()
	m, err := b.LoadModel(context.Background(), path, backend.LoadOptions{PageSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestItLooksLikeTheRealBackend(t *testing.T) {
	b, real := pair(t)
	if b.Name() != "onnx" || b.Version() != "1.2.3" {
		t.Errorf("it is called %s %s", b.Name(), b.Version())
	}
	want, got := real.Devices()[0].Info(), b.Devices()[0].Info()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestTwoExecutorsEndAsOne: whichever ends, the real one's end is told once, with the
// real one's number.
func TestTwoExecutorsEndAsOne(t *testing.T) {
	b, real := pair(t)
	told := make(chan backend.Notice, 10)
	b.Watch(func(n backend.Notice) { told <- n })
	real.watcher(backend.Notice{Kind: backend.ExecutorLost, Executor: 6, Models: []string{"ocr_rec"}, Text: "SIGFPE"})
	b.Devices()[0].End("it hangs")
	want := []backend.Notice{
		{Kind: backend.ExecutorLost, Executor: 6, Models: []string{"ocr_rec"}, Text: "SIGFPE"},
		{Kind: backend.ExecutorLost, Executor: 7, Text: "it hangs", Overdue: true},
	}
	if diff := cmp.Diff(want, []backend.Notice{<-told, <-told}); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"end it hangs"}, real.calls); diff != "" {
		t.Error(diff)
	}
}

func TestEachModelRunsOnItsOwnSide(t *testing.T) {
	b, real := pair(t)
	gpu := b.Devices()[0]
	read, drawn := load(t, b, "ocr_rec"), load(t, b, "zoo/resnet50_v2")
	if got := drawn.Spec().Backend; got != "emulated" {
		t.Errorf("zoo/resnet50_v2 is a model of %s", got)
	}
	frames := make([]int, drawn.Spec().Pages)
	weights, err := gpu.LoadWeights(drawn, frames)
	if err != nil {
		t.Fatal(err)
	}
	run, err := gpu.Stage(drawn, 1, []int{1}, [][]byte{nil})
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Execute(weights); err != nil {
		t.Error(err)
	}
	if _, err := gpu.LoadWeights(read, nil); err != nil {
		t.Error(err)
	}
	if _, err := gpu.Stage(read, 1, nil, nil); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"load ocr_rec", "weights ocr_rec", "stage ocr_rec"}, real.calls); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsAtAPathIsAskedOfItsBackend(t *testing.T) {
	b, _ := pair(t)
	real, err := b.Identify("ocr_rec")
	if err != nil || real.Version != 7 {
		t.Errorf("%+v, %v", real, err)
	}
	emulated, err := b.Identify("zoo/resnet50_v2")
	if err != nil || emulated.Version != 0 || emulated.Digest == "" {
		t.Errorf("%+v, %v", emulated, err)
	}
}

func TestErrorsOfALoadPassUnchanged(t *testing.T) {
	b, real := pair(t)
	real.failed = protocol.Errorf(protocol.ModelNotFound, "there is none")
	if _, err := b.LoadModel(context.Background(), "none", backend.LoadOptions{}); !errors.Is(err, real.failed) {
		t.Errorf("got %v", err)
	}
	var refusal *protocol.Error
	_, err := b.LoadModel(context.Background(), "zoo/none", backend.LoadOptions{PageSize: 1 << 20})
	if !errors.As(err, &refusal) || refusal.Code != protocol.ModelNotFound {
		t.Errorf("got %v", err)
	}
}

func TestForeignModelsAreRefused(t *testing.T) {
	b, _ := pair(t)
	if _, err := b.Devices()[0].LoadWeights(&fakeModel{"bare"}, nil); err == nil {
		t.Error("loaded the weights of a model that it did not load")
	}
	if _, err := b.Devices()[0].Stage(&fakeModel{"bare"}, 1, nil, nil); err == nil {
		t.Error("staged a model that it did not load")
	}
}

func TestUnequalSidesAreRefused(t *testing.T) {
	o := emulated.Defaults("w")
	o.Pages, o.PageSize = 100, 1<<20
	for name, change := range map[string]func(*emulated.Options){
		"another count": func(o *emulated.Options) { o.GPUs = 2 },
		"other pages":   func(o *emulated.Options) { o.Pages = 99 },
		"another size":  func(o *emulated.Options) { o.PageSize = 2 << 20 },
	} {
		changed := o
		change(&changed)
		e, err := emulated.New(changed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(&fake{pages: 100}, e); err == nil {
			t.Errorf("%s: combined", name)
		}
		_ = e.Close()
	}
}
