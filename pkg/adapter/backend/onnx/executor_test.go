//go:build linux && !static

package onnx

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
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
	"clockwork/pkg/testkit/badmodels"
)

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
	writeModel(t, root, "div", badmodels.Quotient(), "max_batch: 1\n")
	writeModel(t, root, "loop", badmodels.Repetition(0), "max_batch: 1\n")
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
	if got := infer(t, first, m, w, 1, []int{1}, [][]byte{badmodels.Sound})[0]; !bytes.Equal(got, badmodels.Seven) {
		t.Fatalf("42 / 6 is % x", got)
	}
	waiting, err := first.Stage(m, 1, []int{1}, [][]byte{badmodels.Sound})
	must(t, err)
	defer waiting.Release()

	wantCode(t, <-begin(t, first, m, w, badmodels.Crash), protocol.ExecutorLost)

	lost := told.await(t, backend.ExecutorLost, 0)
	if lost.Device != 0 || lost.Executor != 0 || lost.Overdue || !slices.Equal(lost.Models, []string{"div"}) || !strings.Contains(lost.Text, "SIGFPE") {
		t.Errorf("the notice is %+v", lost)
	}
	if got := infer(t, second, m, other, 1, []int{1}, [][]byte{badmodels.Sound})[0]; !bytes.Equal(got, badmodels.Seven) {
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
	if !bytes.Equal(out[0], badmodels.Seven) {
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
	hung := begin(t, d, loop, w, badmodels.Endless)
	awaitExecution(t, b.devices[0].executor.now())
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
	if got := infer(t, d, div, beside, 1, []int{1}, [][]byte{badmodels.Sound})[0]; !bytes.Equal(got, badmodels.Seven) {
		t.Errorf("afterwards 42 / 6 is % x", got)
	}
	evict(t, beside)
}

// An executor that does not begin is ended when its worker says so, and not by what ends those
// that execute; the next one takes its place.
func TestAStartThatHangsIsEnded(t *testing.T) {
	beside := filepath.Join(t.TempDir(), "hang")
	b := hostileBackend(t, func(o *Options) {
		o.GPUs, o.Executor = 1, append(executing(t), hangsBeside+beside)
	})
	told := watched(b)
	d, e := b.Devices()[0], b.devices[0].executor
	m := load(t, b, "div")
	d.EndStart("none is being started")
	must(t, os.WriteFile(beside, nil, 0o600))
	must(t, e.now().cmd.Process.Kill())
	for i := range 2 {
		told.await(t, backend.ExecutorLost, i)
		for e.starting() == nil {
			time.Sleep(time.Millisecond)
		}
		d.End("that ends only what executes")
		d.EndStart(fmt.Sprintf("start %d is late", i))
		if lost := told.await(t, backend.ExecutorLost, i+1); lost.Text != fmt.Sprintf("it did not start: start %d is late", i) || lost.Executor != uint32(i+1) {
			t.Errorf("the notice is %+v", lost)
		}
	}
	must(t, os.Remove(beside))
	for e.starting() == nil && e.now() == nil {
		time.Sleep(time.Millisecond)
	}
	d.EndStart("it may have begun before the file was gone")
	w := loadWeights(t, d, m, 0)
	if got := infer(t, d, m, w, 1, []int{1}, [][]byte{badmodels.Sound})[0]; !bytes.Equal(got, badmodels.Seven) {
		t.Errorf("afterwards 42 / 6 is % x", got)
	}
	evict(t, w)
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
		r, err := d.Stage(m, 1, []int{1}, [][]byte{badmodels.Sound})
		must(t, err)
		wantCode(t, r.Execute(w), protocol.WeightsMissing)
		r.Release()
	}
}

// A request that takes more memory than an executor may have fails, and that is all.
func TestARequestThatTakesTooMuchMemoryFails(t *testing.T) {
	root := t.TempDir()
	writeModel(t, root, "range", badmodels.SummedRange(), "max_batch: 1\n")
	b := withModels(t, root, func(o *Options) { o.GPUs, o.Memory = 1, 256<<20 })
	told := watched(b)
	m := load(t, b, "range")
	d := b.Devices()[0]
	first, second := loadWeights(t, d, m, 0), loadWeights(t, d, m, 1) // each takes a range of addresses
	for range 3 {
		wantCode(t, <-begin(t, d, m, first, badmodels.Int64(1<<26)), protocol.BackendError) // 512 MiB
		if got := infer(t, d, m, second, 1, []int{1}, [][]byte{badmodels.Int64(5)})[0]; !bytes.Equal(got, badmodels.Int64(5+10)) {
			t.Errorf("5 + 10 is % x", got)
		}
	}
	evict(t, first)
	evict(t, second)
	if len(told.list) > 0 {
		t.Errorf("notices: %+v", told.list)
	}
}

// A model is tried in a process that it may end, or not end.
func TestAModelThatEndsItsTrialIsCorrupt(t *testing.T) {
	root := t.TempDir()
	writeModel(t, root, "div", badmodels.CertainCrash(), "max_batch: 1\n")
	writeModel(t, root, "loop", badmodels.Repetition(1<<50), "max_batch: 1\n")
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

// After many crashes nothing of the executors is left: no process, file, goroutine, nor
// memory.
func TestAHundredCrashesLeaveNothingBehind(t *testing.T) {
	b := hostileBackend(t, func(o *Options) { o.GPUs = 1 })
	m := load(t, b, "div")
	d := b.Devices()[0]
	crash := func() {
		w := loadWeights(t, d, m, 0)
		wantCode(t, <-begin(t, d, m, w, badmodels.Crash), protocol.ExecutorLost)
	}
	for range 5 {
		crash()
	}
	evict(t, loadWeights(t, d, m, 0)) // the next one is ready, as at the end
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
	writeModel(t, root, "loop", badmodels.Repetition(0), "max_batch: 1\n")
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
	r, err := d.Stage(m, 1, []int{1}, [][]byte{badmodels.Endless})
	if err != nil {
		return err
	}
	fmt.Println(b.devices[0].executor.now().cmd.Process.Pid, b.devices[1].executor.now().cmd.Process.Pid)
	return r.Execute(w)
}

// A backend is made when its executors are ready: it names cached graphs and profiles by
// the version of the first, and executes at once.
func TestABackendThatIsMadeHasItsExecutors(t *testing.T) {
	for range 3 {
		b := withModels(t, t.TempDir(), func(o *Options) { o.GPUs, o.Pages = 8, 1 })
		if b.cache.version == "" || b.cache.version != openLibrary(t).version {
			t.Errorf("the backend's version is %q", b.Version())
		}
		for _, d := range b.devices {
			if d.executor.version != b.cache.version || d.executor.now() == nil {
				t.Errorf("device %d began with version %q, process %v", d.index, d.executor.version, d.executor.now())
			}
		}
		must(t, b.Close())
	}
}
