//go:build linux && !static

package onnx

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/protocol"
)

const in, out = 48, 64

// affineBackend has one model "affine" of y = x*w + b, with an open batch.
func affineBackend(t testing.TB, change ...func(*Options)) (*Backend, *model) {
	t.Helper()
	root := t.TempDir()
	writeModel(t, root, "affine", affine(0, in, out), "max_batch: 8\n")
	b := withModels(t, root, change...)
	return b, load(t, b, "affine")
}

func TestLiftedModelComputesWhatThePlainOneDoes(t *testing.T) {
	b, m := affineBackend(t)
	spec := m.Spec()
	if len(m.image.weights) == 0 || spec.WeightsBytes < in*out*4 || spec.Pages != 1 || !spec.AnyBatch || !slices.Equal(spec.BatchSizes, []int{1, 2, 4, 8}) {
		t.Fatalf("spec: %+v, %d weights", spec, len(m.image.weights))
	}
	if got := spec.Inputs[0].String() + spec.Outputs[0].String(); got != "x FP32[48]y FP32[64]" {
		t.Fatalf("tensors: %s", got)
	}
	plain := plainModel(t, filepath.Join(b.options.ModelRoot, "affine/1/model.onnx"), m)
	d := b.Devices()[0]
	w := loadWeights(t, d, m, 0)
	defer evict(t, w)
	for batch := 1; batch <= 8; batch++ {
		x := randomFloats(uint64(batch), batch*in)
		want := bytesFloat(runPlain(t, plain, batch, floatBytes(x)))
		got := bytesFloat(infer(t, d, m, w, batch, []int{batch}, [][]byte{floatBytes(x)})[0])
		wantClose(t, "lifted against plain", got, want, 4e-6)
		wantClose(t, "lifted against the formula", got, affineExpected(x, in, out), 1e-4)
	}
}

func TestWeightsComeAndGo(t *testing.T) {
	b, m := affineBackend(t)
	d := b.Devices()[1]
	input := [][]byte{floatBytes(randomFloats(3, in))}
	w := loadWeights(t, d, m, 7)
	first := infer(t, d, m, w, 1, []int{1}, input)
	evict(t, w)
	wantCode(t, w.Evict(), protocol.WeightsMissing)
	r, err := d.Stage(m, 1, []int{1}, input)
	must(t, err)
	wantCode(t, r.Execute(w), protocol.WeightsMissing)
	if _, err := r.Outputs(); err == nil {
		t.Error("a batch that was not executed has outputs")
	}
	r.Release()
	for range 20 { // any page will do, and nothing is used up
		w = loadWeights(t, d, m, 399)
		if got := infer(t, d, m, w, 1, []int{1}, input); !bytes.Equal(got[0], first[0]) {
			t.Fatal("after a reload the output is another")
		}
		evict(t, w)
	}
}

// Weights that leave must not be found by the model that gets their pages.
func TestModelsKeepApart(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a", "b"} {
		writeModel(t, root, name, affine(0, 512, 512), "max_batch: 1\n") // 1 MiB: many pages
	}
	b := withModels(t, root)
	ma, mb := load(t, b, "a"), load(t, b, "b")
	d := b.Devices()[0]
	input := [][]byte{floatBytes(randomFloats(3, 512))}
	wa := loadWeights(t, d, ma, 0)
	want := infer(t, d, ma, wa, 1, []int{1}, input)[0]
	// b gets pages on both sides of a's, in reverse.
	frames := make([]int, mb.Spec().Pages)
	for i := range frames {
		frames[i] = 399 - 2*i
	}
	wb, err := d.LoadWeights(mb, frames)
	must(t, err)
	for range 3 {
		if !bytes.Equal(infer(t, d, ma, wa, 1, []int{1}, input)[0], want) || !bytes.Equal(infer(t, d, mb, wb, 1, []int{1}, input)[0], want) {
			t.Fatal("one model's weights changed the other's output")
		}
	}
	evict(t, wa)
	if !bytes.Equal(infer(t, d, mb, wb, 1, []int{1}, input)[0], want) {
		t.Fatal("the eviction of one model changed the other's output")
	}
	second := loadWeights(t, d, ma, 0) // two copies of one model on one device
	third := loadWeights(t, d, ma, ma.Spec().Pages)
	evict(t, second)
	if !bytes.Equal(infer(t, d, ma, third, 1, []int{1}, input)[0], want) {
		t.Fatal("the eviction of one copy changed the other's output")
	}
	evict(t, third)
	evict(t, wb)
}

func TestWeightsInUseStay(t *testing.T) {
	b, m := affineBackend(t)
	d := b.Devices()[0]
	w := loadWeights(t, d, m, 0)
	w.(*weights).mu.RLock() // as an execution holds it
	wantCode(t, w.Evict(), protocol.WeightsInUse)
	wantCode(t, m.Close(), protocol.WeightsInUse)
	w.(*weights).mu.RUnlock()
	evict(t, w)
}

func TestPagesThatAreWrongAreRefused(t *testing.T) {
	b, m := affineBackend(t)
	d := b.Devices()[0]
	held := loadWeights(t, d, m, 5)
	for name, frames := range map[string][]int{
		"none": {}, "too many": {1, 2}, "negative": {-1}, "beyond the end": {400}, "in use": {5},
	} {
		if w, err := d.LoadWeights(m, frames); err == nil {
			evict(t, w)
			t.Errorf("%s: taken", name)
		} else {
			wantCode(t, err, protocol.InvalidAction)
		}
	}
	writeModel(t, b.options.ModelRoot, "large", affine(0, 256, 256), "")
	large := load(t, b, "large")
	for name, frames := range map[string][]int{"twice the same": {1, 2, 2, 3, 4}, "one in use": {1, 2, 3, 4, 5}} {
		if _, err := d.LoadWeights(large, frames[:large.Spec().Pages]); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	evict(t, held)
	w := loadWeights(t, d, large, 1) // the refusals left nothing taken
	evict(t, w)
}

// The arena's frames hold nothing but zeros until weights come, and no frame
// is backed twice: after an eviction the bytes are the image's.
func TestOneCopyOfTheWeightsPerDevice(t *testing.T) {
	_, m := affineBackend(t)
	e := engineWith(t, m)
	if refusal := e.load(&loadTask{Weights: 1, Model: m.id, Frames: []int{3}}); refusal != nil {
		t.Fatal(refusal)
	}
	view, block := e.weights[1].mapping.memory.bytes(), e.models[m.id].block()
	if !bytes.Equal(view[:len(block)], block) {
		t.Fatal("the view does not hold the weights")
	}
	view[0] ^= 0xff // what the view holds is the frame itself
	changed := view[0]
	if refusal := e.evict(&evictTask{1}); refusal != nil {
		t.Fatal(refusal)
	}
	if home := e.arena.backing.bytes()[3*testPage:]; home[0] != changed || !bytes.Equal(home[1:len(block)], block[1:]) {
		t.Error("the frame came home with other bytes than the view had")
	}
	if slices.Contains(e.arena.used, true) {
		t.Error("a page is still in use")
	}
}

func TestMembersDoNotTouchEachOther(t *testing.T) {
	b, m := affineBackend(t)
	d := b.Devices()[0]
	w := loadWeights(t, d, m, 0)
	defer evict(t, w)
	alone := map[int][]byte{}
	inputs := [][]byte{floatBytes(randomFloats(1, in)), floatBytes(randomFloats(2, 2*in)), nil}
	items := []int{1, 2, 1}
	for i := range inputs {
		alone[i] = infer(t, d, m, w, items[i], items[i:i+1], inputs[i:i+1])[0]
	}
	for _, batch := range []int{4, 5, 8} { // exact, and with padding
		for i, got := range infer(t, d, m, w, batch, items, inputs) {
			wantClose(t, "member of a batch against alone", bytesFloat(got), bytesFloat(alone[i]), 1e-5)
		}
	}
	// Padding is not what the last batch left behind.
	bad := bytes.Repeat([]byte{0xff}, 8*in*4) // NaN
	infer(t, d, m, w, 8, []int{8}, [][]byte{bad})
	got := infer(t, d, m, w, 8, []int{1}, inputs[:1])[0]
	wantClose(t, "after a batch of NaN", bytesFloat(got), bytesFloat(alone[0]), 1e-5)
}

func TestGeneratedInputsAreTheSameEachTime(t *testing.T) {
	b, m := affineBackend(t)
	d := b.Devices()[0]
	w := loadWeights(t, d, m, 0)
	defer evict(t, w)
	got := infer(t, d, m, w, 2, []int{2}, [][]byte{nil})[0]
	item := infer(t, d, m, w, 1, []int{1}, [][]byte{m.generated})[0]
	wantClose(t, "generated", bytesFloat(got), bytesFloat(append(slices.Clone(item), item...)), 1e-5)
	for _, v := range bytesFloat(m.generated) {
		if v < 0 || v >= 1 {
			t.Fatalf("generated %g", v)
		}
	}
}

func TestBatchesThatContradictThemselvesAreRefused(t *testing.T) {
	b, m := affineBackend(t)
	d := b.Devices()[0]
	one := make([]byte, in*4)
	for name, test := range map[string]struct {
		batch  int
		items  []int
		inputs [][]byte
		want   protocol.Code
	}{
		"too large":             {9, []int{9}, [][]byte{nil}, protocol.InvalidBatch},
		"zero":                  {0, nil, nil, protocol.InvalidBatch},
		"more items than batch": {2, []int{1, 2}, [][]byte{nil, nil}, protocol.InvalidBatch},
		"a member of nothing":   {2, []int{0}, [][]byte{nil}, protocol.InvalidBatch},
		"a negative member":     {2, []int{-1, 2}, [][]byte{nil, nil}, protocol.InvalidBatch},
		"an input missing":      {2, []int{1, 1}, [][]byte{one}, protocol.InvalidAction},
		"input too short":       {1, []int{1}, [][]byte{one[1:]}, protocol.InvalidInput},
		"input too long":        {1, []int{1}, [][]byte{append(slices.Clone(one), 0)}, protocol.InvalidInput},
		"empty input":           {1, []int{1}, [][]byte{{}}, protocol.InvalidInput},
	} {
		r, err := d.Stage(m, test.batch, test.items, test.inputs)
		if err == nil {
			r.Release()
			t.Errorf("%s: taken", name)
			continue
		}
		t.Run(name, func(t *testing.T) { wantCode(t, err, test.want) })
	}
}

// Inputs of one batch may be staged and read while another executes and a
// third model's weights are copied.
func TestLanesRunBesideEachOther(t *testing.T) {
	b, m := affineBackend(t)
	d := b.Devices()[0]
	w := loadWeights(t, d, m, 0)
	defer evict(t, w)
	input := [][]byte{floatBytes(randomFloats(1, in))}
	want := infer(t, d, m, w, 1, []int{1}, input)[0]
	runs := make(chan backend.Run, 4)
	var lanes sync.WaitGroup
	lanes.Go(func() {
		defer close(runs)
		for range 200 {
			r, err := d.Stage(m, 1, []int{1}, input)
			if err != nil {
				t.Error(err)
				return
			}
			runs <- r
		}
	})
	lanes.Go(func() {
		for r := range runs {
			if err := r.Execute(w); err != nil {
				t.Error(err)
			}
			if got, err := r.Outputs(); err != nil || !bytes.Equal(got[0], want) {
				t.Errorf("another output: %v", err)
			}
			r.Release()
		}
	})
	lanes.Go(func() {
		for range 200 {
			copied, err := d.LoadWeights(m, []int{9})
			if err == nil {
				err = copied.Evict()
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	lanes.Wait()
}

func TestTheOptimisedGraphIsReused(t *testing.T) {
	cache := t.TempDir()
	root := t.TempDir()
	writeModel(t, root, "affine", affine(0, in, out), "")
	same := func(o *Options) { o.CacheDir = cache }
	load(t, withModels(t, root, same), "affine")
	files, err := filepath.Glob(filepath.Join(cache, "*.ort"))
	if err != nil || len(files) != 1 {
		t.Fatalf("cached: %v, %v", files, err)
	}
	// A checker that always fails shows that nothing is checked again.
	crash := func(o *Options) { o.CacheDir, o.Checker = cache, checker(t, "crash") }
	load(t, withModels(t, root, crash), "affine")
	// A file that was altered is made anew.
	content, err := os.ReadFile(files[0])
	must(t, err)
	altered := slices.Clone(content)
	altered[len(altered)/2] ^= 1
	for name, bad := range map[string][]byte{"altered": altered, "cut off": content[:100], "empty": nil} {
		must(t, os.WriteFile(files[0], bad, 0o600))
		load(t, withModels(t, root, same), "affine")
		if again, err := os.ReadFile(files[0]); err != nil || !bytes.Equal(again, content) {
			t.Errorf("%s: not made anew: %v", name, err)
		}
	}
}

func TestModelsThatCannotBeServedAreRefused(t *testing.T) {
	scalar := onnxModel(13, onnxGraph([][]byte{node("Identity", []string{"x"}, "y")}, nil,
		[][]byte{valueInfo("x", 1, []int64{})}, [][]byte{valueInfo("y", 1, nil)}))
	unknown := onnxModel(13, onnxGraph([][]byte{node("NoSuchOperator", []string{"x"}, "y")}, nil,
		[][]byte{openBatch("x", 4)}, [][]byte{valueInfo("y", 1, nil)}))
	dangling := onnxModel(13, onnxGraph([][]byte{node("Add", []string{"x", "nothing"}, "y")}, nil,
		[][]byte{openBatch("x", 4)}, [][]byte{valueInfo("y", 1, nil)}))
	open := onnxModel(13, onnxGraph([][]byte{node("Relu", []string{"x"}, "y")}, nil,
		[][]byte{openBatch("x", -1)}, [][]byte{valueInfo("y", 1, nil)}))
	summed := onnxModel(13, onnxGraph([][]byte{node("ReduceSum", []string{"x"}, "y", intAttribute("keepdims", 0))}, nil,
		[][]byte{openBatch("x", 4)}, [][]byte{valueInfo("y", 1, nil)}))
	for name, test := range map[string]struct {
		model  []byte
		config string
		pages  int
		want   protocol.Code
		reason string
	}{
		"scalar input":             {scalar, "", 400, protocol.UnsupportedModel, "scalar"},
		"unknown operator":         {unknown, "", 400, protocol.UnsupportedModel, "does not run"},
		"input from nowhere":       {dangling, "", 400, protocol.ModelCorrupt, ""},
		"shape left open":          {open, "", 400, protocol.UnsupportedModel, "model.yaml"},
		"shape of another rank":    {open, "inputs: {x: [1, 2]}", 400, protocol.UnsupportedModel, "model.yaml"},
		"shape of another size":    {affine(0, in, out), "inputs: {x: [47]}", 400, protocol.UnsupportedModel, "model.yaml"},
		"shape of no input":        {affine(0, in, out), "inputs: {z: [48]}", 400, protocol.UnsupportedModel, "model.yaml"},
		"output without the batch": {summed, "", 400, protocol.UnsupportedModel, "batch"},
		"batch above the limit":    {affine(4, in, out), "max_batch: 2", 400, protocol.ModelTooLarge, "batch 4"},
		"weights above the device": {affine(0, 256, 256), "", 2, protocol.ModelTooLarge, "pages"},
		"item above the limit":     {open, "inputs: {x: [2000000000]}", 400, protocol.UnsupportedModel, "larger"},
		"head where none fits":     {open, "inputs: {x: [4]}\nhead: argmax", 400, protocol.OK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			writeModel(t, root, "m", test.model, test.config)
			b := withModels(t, root, func(o *Options) { o.Pages = test.pages })
			m, err := b.LoadModel(context.Background(), "m", backend.LoadOptions{PageSize: testPage})
			if err == nil {
				must(t, m.Close())
			}
			if test.want == protocol.OK {
				must(t, err)
				return
			}
			wantCode(t, err, test.want)
			if !strings.Contains(err.Error(), test.reason) {
				t.Errorf("%v does not say %q", err, test.reason)
			}
		})
	}
}

func TestFixedBatch(t *testing.T) {
	root := t.TempDir()
	writeModel(t, root, "four", affine(4, in, out), "")
	b := withModels(t, root)
	m := load(t, b, "four")
	if spec := m.Spec(); spec.AnyBatch || !slices.Equal(spec.BatchSizes, []int{4}) {
		t.Fatalf("spec: %+v", spec)
	}
	d := b.Devices()[0]
	w := loadWeights(t, d, m, 0)
	defer evict(t, w)
	x := randomFloats(5, in)
	got := infer(t, d, m, w, 4, []int{1}, [][]byte{floatBytes(x)})[0]
	wantClose(t, "padded to the fixed batch", bytesFloat(got), affineExpected(x, in, out), 1e-4)
}

func TestALoadThatIsCancelledEnds(t *testing.T) {
	root := t.TempDir()
	writeModel(t, root, "affine", affine(0, in, out), "")
	b := withModels(t, root)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := b.LoadModel(ctx, "affine", backend.LoadOptions{})
	wantCode(t, err, protocol.BackendError)
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Options){
		"no model root":   func(o *Options) { o.ModelRoot = "" },
		"no GPU":          func(o *Options) { o.GPUs = 0 },
		"no page":         func(o *Options) { o.Pages = 0 },
		"odd page size":   func(o *Options) { o.PageSize = 1000 },
		"endless files":   func(o *Options) { o.MaxFile = DefaultMaxFile + 1 },
		"no such library": func(o *Options) { o.Library = "/nowhere/libonnxruntime.so" },
		"no library": func(o *Options) {
			o.Library = filepath.Join(o.ModelRoot, "lib.so")
			must(t, os.WriteFile(o.Library, []byte("text"), 0o644))
		},
	} {
		o := Options{Library: library(t), ModelRoot: t.TempDir(), CacheDir: t.TempDir(), GPUs: 1, Pages: 1, PageSize: testPage}
		spoil(&o)
		if b, err := New(o); err == nil {
			_ = b.Close()
			t.Errorf("%s is accepted", name)
		}
	}
}
