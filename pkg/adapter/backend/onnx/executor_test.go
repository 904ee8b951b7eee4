//go:build linux && !static

package onnx

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/protocol"
)

// ONNX's numbers of element types and attribute types.
const (
	int32Kind, int64Kind, boolKind = 6, 7, 9
	graphAttribute                 = 5
)

// openInput is an input [N,1] of a type.
func openInput(name string, kind int64) []byte {
	dims := appendBytes(nil, 1, appendString(nil, 2, "N"))
	dims = appendBytes(dims, 1, appendVarint(nil, 1, 1))
	of := appendBytes(appendVarint(nil, 1, kind), 2, dims)
	return appendBytes(appendString(nil, valueName, name), valueType, appendBytes(nil, 1, of))
}

// constant is an initializer of one integer; scalar leaves out its one dimension.
func constant(name string, kind, value int64, scalar bool) []byte {
	var b []byte
	if !scalar {
		b = appendVarint(b, tensorDims, 1)
	}
	b = appendString(appendVarint(b, tensorDataType, kind), tensorName, name)
	switch kind {
	case int32Kind:
		return appendBytes(b, tensorRaw, binary.LittleEndian.AppendUint32(nil, uint32(value)))
	case boolKind:
		return appendBytes(b, tensorRaw, []byte{byte(value)})
	}
	return appendBytes(b, tensorRaw, binary.LittleEndian.AppendUint64(nil, uint64(value)))
}

// quotient is y = a / (b + shift) of int32. The quotient of the least integer and -1 is
// none, and raises SIGFPE, as a divisor of 0 does.
func quotient(shift int64) []byte {
	return onnxModel(13, onnxGraph(
		[][]byte{node("Add", []string{"b", "shift"}, "d"), node("Div", []string{"a", "d"}, "y")},
		[][]byte{constant("shift", int32Kind, shift, false)},
		[][]byte{openInput("a", int32Kind), openInput("b", int32Kind)}, [][]byte{valueInfo("y", int32Kind, nil)}))
}

// repetition adds x to itself x + more times.
func repetition(more int64) []byte {
	body := onnxGraph(
		[][]byte{node("Identity", []string{"go"}, "going"), node("Add", []string{"sum", "x"}, "more")}, nil,
		[][]byte{valueInfo("i", int64Kind, []int64{}), valueInfo("go", boolKind, []int64{}), valueInfo("sum", int64Kind, nil)},
		[][]byte{valueInfo("going", boolKind, []int64{}), valueInfo("more", int64Kind, nil)})
	attribute := appendVarint(appendBytes(appendString(nil, 1, "body"), 6, body), 20, graphAttribute)
	return onnxModel(13, onnxGraph(
		[][]byte{
			node("ReduceMax", []string{"x"}, "most", intAttribute("keepdims", 0)), node("Add", []string{"most", "extra"}, "times"),
			node("Loop", []string{"times", "yes", "x"}, "y", attribute),
		},
		[][]byte{constant("extra", int64Kind, more, true), constant("yes", boolKind, 1, true)},
		[][]byte{openInput("x", int64Kind)}, [][]byte{valueInfo("y", int64Kind, nil)}))
}

// ints are the bytes of int32 inputs, one after the other.
func ints(values ...int32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return b
}

var (
	poison = ints(math.MinInt32, -2)
	sound  = ints(42, 5)
	seven  = ints(7)
)

// endless has repetition run for years.
var endless = binary.LittleEndian.AppendUint64(nil, math.MaxInt64)

// notices are those of a backend.
type notices struct {
	mu   sync.Mutex
	list []backend.Notice
}

func watched(b *Backend) *notices {
	n := &notices{}
	b.Watch(func(notice backend.Notice) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.list = append(n.list, notice)
	})
	return n
}

// await returns the first notice of a kind from the n-th on.
func (n *notices) await(t testing.TB, kind backend.NoticeKind, nth int) backend.Notice {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		n.mu.Lock()
		of := slices.DeleteFunc(slices.Clone(n.list), func(o backend.Notice) bool { return o.Kind != kind })
		n.mu.Unlock()
		if len(of) > nth {
			return of[nth]
		}
	}
	t.Fatalf("no notice of kind %d; there are %+v", kind, n.list)
	return backend.Notice{}
}

// hostileBackend holds the models div, which divides, and loop, which repeats.
func hostileBackend(t testing.TB, change ...func(*Options)) *Backend {
	t.Helper()
	root := t.TempDir()
	writeModel(t, root, "div", quotient(1), "max_batch: 1\n")
	writeModel(t, root, "loop", repetition(0), "max_batch: 1\n")
	return withModels(t, root, change...)
}

// begin stages a batch and executes it in a goroutine.
func begin(t testing.TB, d backend.Device, m backend.Model, w backend.Weights, input []byte) <-chan error {
	t.Helper()
	r, err := d.Stage(m, 1, []int{1}, [][]byte{input})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		defer r.Release()
		ended <- r.Execute(w)
	}()
	return ended
}

// A request that ends its executor ends nothing else: the other device executes on, and
// the device has another executor, in which the model is ready.
func TestACrashEndsOneExecutor(t *testing.T) {
	b := hostileBackend(t)
	told := watched(b)
	m := load(t, b, "div")
	first, second := b.Devices()[0], b.Devices()[1]
	w, other := loadWeights(t, first, m, 0), loadWeights(t, second, m, 0)
	if got := infer(t, first, m, w, 1, []int{1}, [][]byte{sound})[0]; !bytes.Equal(got, seven) {
		t.Fatalf("42 / 6 is % x", got)
	}
	waiting, err := first.Stage(m, 1, []int{1}, [][]byte{sound})
	must(t, err)
	defer waiting.Release()

	wantCode(t, <-begin(t, first, m, w, poison), protocol.ExecutorLost)

	lost := told.await(t, backend.ExecutorLost, 0)
	if lost.Device != 0 || lost.Executor != 0 || lost.Overdue || !slices.Equal(lost.Models, []string{"div"}) || !strings.Contains(lost.Text, "SIGFPE") {
		t.Errorf("the notice is %+v", lost)
	}
	if got := infer(t, second, m, other, 1, []int{1}, [][]byte{sound})[0]; !bytes.Equal(got, seven) {
		t.Errorf("the other device says % x", got)
	}
	wantCode(t, waiting.Execute(w), protocol.WeightsMissing) // it did not execute: nobody is to blame
	if ready := told.await(t, backend.ExecutorReady, 0); ready.Executor != 1 {
		t.Errorf("the notice is %+v", ready)
	}
	again := loadWeights(t, first, m, 0) // in the same frames
	must(t, waiting.Execute(again))
	out, err := waiting.Outputs()
	must(t, err)
	if !bytes.Equal(out[0], seven) {
		t.Errorf("afterwards 42 / 6 is % x", out[0])
	}
	evict(t, w) // lost weights are free
	evict(t, again)
	evict(t, other)
}

// An execution that does not end is ended with its executor. Until then copies of weights
// go on.
func TestAHungExecutorIsEnded(t *testing.T) {
	b := hostileBackend(t, func(o *Options) { o.GPUs = 1 })
	told := watched(b)
	loop, div := load(t, b, "loop"), load(t, b, "div")
	d := b.Devices()[0]
	w := loadWeights(t, d, loop, 0)
	hung := begin(t, d, loop, w, endless)
	beside := loadWeights(t, d, div, 1)
	evict(t, beside)
	wantCode(t, w.Evict(), protocol.WeightsInUse)
	select {
	case err := <-hung:
		t.Fatalf("it ended: %v", err)
	default:
	}
	d.End("it took too long")
	wantCode(t, <-hung, protocol.ExecutorLost)
	if lost := told.await(t, backend.ExecutorLost, 0); !lost.Overdue || !slices.Equal(lost.Models, []string{"loop"}) || lost.Text != "it took too long" {
		t.Errorf("the notice is %+v", lost)
	}
	beside = loadWeights(t, d, div, 0)
	if got := infer(t, d, div, beside, 1, []int{1}, [][]byte{sound})[0]; !bytes.Equal(got, seven) {
		t.Errorf("afterwards 42 / 6 is % x", got)
	}
	evict(t, beside)
}

// An executor that ends while it has nothing to do is missed too.
func TestAnIdleExecutorThatEndsIsReplaced(t *testing.T) {
	b := hostileBackend(t, func(o *Options) { o.GPUs = 1 })
	told := watched(b)
	m := load(t, b, "div")
	d := b.Devices()[0]
	for i := range 3 {
		w := loadWeights(t, d, m, 0)
		must(t, b.devices[0].executor.now().cmd.Process.Kill())
		lost := told.await(t, backend.ExecutorLost, i)
		if len(lost.Models) != 0 || lost.Overdue || lost.Executor != uint32(i) || !strings.Contains(lost.Text, "SIGKILL") {
			t.Errorf("the notice is %+v", lost)
		}
		r, err := d.Stage(m, 1, []int{1}, [][]byte{sound})
		must(t, err)
		wantCode(t, r.Execute(w), protocol.WeightsMissing)
		r.Release()
	}
}

// A request that takes more memory than an executor may have fails, and that is all.
func TestARequestThatTakesTooMuchMemoryFails(t *testing.T) {
	root := t.TempDir()
	writeModel(t, root, "range", summedRange(), "max_batch: 1\n")
	b := withModels(t, root, func(o *Options) { o.GPUs, o.Memory = 1, 256<<20 })
	told := watched(b)
	m := load(t, b, "range")
	d := b.Devices()[0]
	first, second := loadWeights(t, d, m, 0), loadWeights(t, d, m, 1) // each takes a range of addresses
	number := func(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
	for range 3 {
		wantCode(t, <-begin(t, d, m, first, number(1<<26)), protocol.BackendError) // 512 MiB
		if got := infer(t, d, m, second, 1, []int{1}, [][]byte{number(5)})[0]; !bytes.Equal(got, number(5+10)) {
			t.Errorf("5 + 10 is % x", got)
		}
	}
	evict(t, first)
	evict(t, second)
	if len(told.list) > 0 {
		t.Errorf("notices: %+v", told.list)
	}
}

// summedRange is y = x + the sum of 0 to x-1.
func summedRange() []byte {
	return onnxModel(13, onnxGraph(
		[][]byte{
			node("ReduceMax", []string{"x"}, "most", intAttribute("keepdims", 0)),
			node("Range", []string{"zero", "most", "one"}, "all"),
			node("ReduceSum", []string{"all"}, "sum", intAttribute("keepdims", 0)), node("Add", []string{"x", "sum"}, "y"),
		},
		[][]byte{constant("zero", int64Kind, 0, true), constant("one", int64Kind, 1, true)},
		[][]byte{openInput("x", int64Kind)}, [][]byte{valueInfo("y", int64Kind, nil)}))
}

// A model is tried in a process that it may end, or not end.
func TestAModelThatEndsItsTrialIsCorrupt(t *testing.T) {
	root := t.TempDir()
	writeModel(t, root, "div", certainCrash(), "max_batch: 1\n")
	writeModel(t, root, "loop", repetition(1<<50), "max_batch: 1\n")
	b := withModels(t, root)
	told := watched(b)
	for name, reason := range map[string]string{"div": "SIGFPE", "loop": "did not end within"} {
		b.options.CheckTime = DefaultCheckTime
		if name == "loop" {
			b.options.CheckTime = 2 * time.Second
		}
		_, err := b.LoadModel(context.Background(), name, backend.LoadOptions{})
		wantCode(t, err, protocol.ModelCorrupt)
		if !strings.Contains(err.Error(), reason) {
			t.Errorf("%v does not say %q", err, reason)
		}
	}
	if len(told.list) > 0 {
		t.Errorf("the devices' executors took part: %+v", told.list)
	}
}

// certainCrash is y = (a*0 + the least integer) / (a*0 - 1).
func certainCrash() []byte {
	return onnxModel(13, onnxGraph(
		[][]byte{
			node("Mul", []string{"a", "zero"}, "nothing"), node("Add", []string{"nothing", "least"}, "n"),
			node("Add", []string{"nothing", "minus"}, "d"), node("Div", []string{"n", "d"}, "y"),
		},
		[][]byte{constant("zero", int32Kind, 0, false), constant("least", int32Kind, math.MinInt32, false), constant("minus", int32Kind, -1, false)},
		[][]byte{openInput("a", int32Kind)}, [][]byte{valueInfo("y", int32Kind, nil)}))
}

// After many crashes nothing of the executors is left: no process, file, goroutine, nor
// memory.
func TestAHundredCrashesLeaveNothingBehind(t *testing.T) {
	b := hostileBackend(t, func(o *Options) { o.GPUs = 1 })
	m := load(t, b, "div")
	d := b.Devices()[0]
	crash := func() {
		w := loadWeights(t, d, m, 0)
		wantCode(t, <-begin(t, d, m, w, poison), protocol.ExecutorLost)
	}
	for range 5 {
		crash()
	}
	before := resourcesOf(t)
	for range 100 {
		crash()
	}
	evict(t, loadWeights(t, d, m, 0)) // the next one is ready
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		now := resourcesOf(t)
		if now.files <= before.files && now.goroutines <= before.goroutines && now.children <= before.children && now.memory < before.memory+(16<<20) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("before %+v, after %+v", before, now)
		}
	}
}

// resources are those of this process; memory is what only it has, in bytes.
type resources struct{ files, goroutines, children, memory int }

func resourcesOf(t *testing.T) resources {
	t.Helper()
	runtime.GC()
	files, err := filepath.Glob("/proc/self/fd/*")
	must(t, err)
	lists, err := filepath.Glob("/proc/self/task/*/children")
	must(t, err)
	children := 0
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		children += len(strings.Fields(string(text)))
	}
	text, err := os.ReadFile("/proc/self/statm")
	must(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	must(t, err)
	return resources{len(files), runtime.NumGoroutine(), children, pages * os.Getpagesize()}
}

// A worker that is killed takes its executors along, also one that is in a model that
// never ends.
func TestNoExecutorOutlivesItsWorker(t *testing.T) {
	root := t.TempDir()
	writeModel(t, root, "loop", repetition(0), "max_batch: 1\n")
	self, err := os.Executable()
	must(t, err)
	worker := exec.Command(self, workerCommand, library(t), root, t.TempDir())
	worker.Stderr = os.Stderr
	out, err := worker.StdoutPipe()
	must(t, err)
	must(t, worker.Start())
	defer func() { _ = worker.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	var executors [2]int
	if _, err := fmt.Sscan(line, &executors[0], &executors[1]); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	must(t, worker.Process.Kill())
	for _, pid := range executors {
		for end := time.Now().Add(time.Minute); unix.Kill(pid, 0) == nil && !zombie(pid); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("executor %d is alive", pid)
			}
		}
	}
}

// zombie reports whether a process has ended and its parent does not know yet.
func zombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(text), ") Z ")
}

// workerCommand makes of this test binary a worker that hangs in a model on one device,
// and prints the process ids of its executors.
const workerCommand = "hang"

func hangMain(library, root, cache string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b, err := New(Options{Library: library, ModelRoot: root, CacheDir: cache, GPUs: 2, Pages: 4, PageSize: testPage, WorkerName: "w",
		Checker: []string{self, checkCommand, "check"}, Executor: []string{self, executeCommand}})
	if err != nil {
		return err
	}
	m, err := b.LoadModel(context.Background(), "loop", backend.LoadOptions{})
	if err != nil {
		return err
	}
	d := b.Devices()[0]
	w, err := d.LoadWeights(m, []int{0})
	if err != nil {
		return err
	}
	r, err := d.Stage(m, 1, []int{1}, [][]byte{endless})
	if err != nil {
		return err
	}
	fmt.Println(b.devices[0].executor.now().cmd.Process.Pid, b.devices[1].executor.now().cmd.Process.Pid)
	return r.Execute(w)
}
