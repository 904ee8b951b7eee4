//go:build linux && !static

package onnx

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/fetch"
	"clockwork/pkg/protocol"
)

const testPage = 64 << 10

var fetchOnce = sync.OnceValues(func() (string, error) {
	return fetch.Fetcher{}.Library(context.Background())
})

// library returns ONNX Runtime's path, fetching it when it is not cached.
func library(t testing.TB) string {
	t.Helper()
	path, err := fetchOnce()
	if err != nil {
		missing(t, "ONNX Runtime", err)
	}
	return path
}

// openLibrary opens ONNX Runtime in this process.
func openLibrary(t testing.TB) *ort {
	t.Helper()
	lib, err := openORT(library(t))
	if err != nil {
		t.Fatal(err)
	}
	return lib
}

// engineWith is an engine in this process with a model of a backend.
func engineWith(t testing.TB, m *model) *engine {
	t.Helper()
	e, err := newEngine(openLibrary(t), setup{Pages: m.backend.options.Pages, PageSize: m.backend.options.PageSize})
	if err != nil {
		t.Fatal(err)
	}
	task := m.openTask()
	if _, refusal := e.open(&task, m.image.file); refusal != nil {
		t.Fatal(refusal)
	}
	t.Cleanup(func() { // what this process' executor would leave to the system
		if refusal := e.close(&closeTask{m.id}); refusal != nil {
			t.Error(refusal)
		}
		e.arena.backing.close()
	})
	return e
}

// missing ends a test that lacks what has to be fetched. It fails, for a test
// that does not run proves nothing; only who asks for it may go without.
func missing(t testing.TB, what string, err error) {
	t.Helper()
	if os.Getenv(withoutONNX) == "1" {
		t.Skipf("%s=1, and this test needs %s: %v", withoutONNX, what, err)
	}
	t.Fatalf("this test needs %s: %v (set %s=1 to go without)", what, err, withoutONNX)
}

// withModels makes a backend of two devices over a model directory.
func withModels(t testing.TB, root string, change ...func(*Options)) *Backend {
	t.Helper()
	options := Options{Library: library(t), ModelRoot: root, CacheDir: t.TempDir(), GPUs: 2, Pages: 400, PageSize: testPage, WorkerName: "w",
		Checker: checker(t, "check"), Executor: executing(t)}
	for _, c := range change {
		c(&options)
	}
	b, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// load loads a model and closes it at the end of the test.
func load(t testing.TB, b *Backend, path string) *model {
	t.Helper()
	m, err := b.LoadModel(context.Background(), path, backend.LoadOptions{PageSize: b.options.PageSize})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m.(*model)
}

// place writes a model into a model directory.
func writeModel(t testing.TB, root, name string, model []byte, config string) {
	t.Helper()
	dir := filepath.Join(root, name, "1")
	err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, modelFile), model, 0o644))
	if config != "" {
		err = errors.Join(err, os.WriteFile(filepath.Join(root, name, configFile), []byte(config), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func onnxModel(version int64, graph []byte) []byte {
	b := appendVarint(nil, 1, 7) // ir_version
	b = appendBytes(b, modelOpset, appendVarint(appendString(nil, opsetDomain, ""), opsetVersion, version))
	return appendBytes(b, modelGraph, graph)
}

func onnxGraph(nodes, initializers, inputs, outputs [][]byte) []byte {
	b := appendString(nil, 2, "g")
	for number, list := range map[int][][]byte{graphNode: nodes, graphInitializer: initializers, graphInput: inputs, graphOutput: outputs} {
		for _, item := range list {
			b = appendBytes(b, number, item)
		}
	}
	return b
}

func onnxTensor(name string, shape []int64, values []float32) []byte {
	var b []byte
	for _, d := range shape {
		b = appendVarint(b, tensorDims, d)
	}
	b = appendString(appendVarint(b, tensorDataType, 1), tensorName, name)
	return appendBytes(b, tensorRaw, floatBytes(values))
}

func floatBytes(values []float32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func bytesFloat(b []byte) []float32 {
	values := make([]float32, len(b)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[i*4:]))
	}
	return values
}

func randomFloats(seed uint64, n int) []float32 {
	rng := rand.New(rand.NewPCG(seed, 1))
	values := make([]float32, n)
	for i := range values {
		values[i] = rng.Float32()*2 - 1
	}
	return values
}

// affine is y = x*w + b with x [N,in], w [in,out]: large enough to be lifted.
// A batch of 0 leaves the batch open.
func affine(batch, in, out int64) []byte {
	open := valueInfo("x", 1, []int64{batch, in})
	if batch == 0 {
		open = openBatch("x", in)
	}
	return onnxModel(13, onnxGraph(
		[][]byte{node("MatMul", []string{"x", "w"}, "xw"), node("Add", []string{"xw", "b"}, "y")},
		[][]byte{onnxTensor("w", []int64{in, out}, randomFloats(1, int(in*out))), onnxTensor("b", []int64{out}, randomFloats(2, int(out)))},
		[][]byte{open}, [][]byte{valueInfo("y", 1, nil)}))
}

// openBatch is a float input whose first dimension is named N, and whose
// others are open too where they are negative.
func openBatch(name string, shape ...int64) []byte {
	dims := appendBytes(nil, 1, appendString(nil, 2, "N"))
	for _, d := range shape {
		dim := appendVarint(nil, 1, d)
		if d < 0 {
			dim = appendString(nil, 2, "D")
		}
		dims = appendBytes(dims, 1, dim)
	}
	of := appendBytes(appendVarint(nil, 1, 1), 2, dims)
	return appendBytes(appendString(nil, valueName, name), valueType, appendBytes(nil, 1, of))
}

func affineExpected(x []float32, in, out int) []float32 {
	w, b := randomFloats(1, in*out), randomFloats(2, out)
	y := make([]float32, len(x)/in*out)
	for n := range len(x) / in {
		for j := range out {
			sum := float64(b[j])
			for i := range in {
				sum += float64(x[n*in+i]) * float64(w[i*out+j])
			}
			y[n*out+j] = float32(sum)
		}
	}
	return y
}

func wantClose(t testing.TB, what string, got, want []float32, within float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, expected %d", what, len(got), len(want))
	}
	for i := range got {
		if d := math.Abs(float64(got[i] - want[i])); !(d <= within) {
			t.Fatalf("%s: value %d is %g, expected %g", what, i, got[i], want[i])
		}
	}
}

func wantCode(t testing.TB, err error, code protocol.Code) {
	t.Helper()
	var refusal *protocol.Error
	if !errors.As(err, &refusal) || refusal.Code != code {
		t.Fatalf("error %v, expected %s", err, code)
	}
}

// infer loads nothing: it stages, executes and returns the members' outputs.
func infer(t testing.TB, d backend.Device, m backend.Model, w backend.Weights, batch int, items []int, inputs [][]byte) [][]byte {
	t.Helper()
	r, err := d.Stage(m, batch, items, inputs)
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

func loadWeights(t testing.TB, d backend.Device, m backend.Model, first int) backend.Weights {
	t.Helper()
	frames := make([]int, m.Spec().Pages)
	for i := range frames {
		frames[i] = first + i
	}
	w, err := d.LoadWeights(m, frames)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func evict(t testing.TB, w backend.Weights) {
	t.Helper()
	if err := w.Evict(); err != nil {
		t.Fatal(err)
	}
}
