//go:build linux && !static

package onnx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/badmodels"
)

// channelPair is both ends of a channel.
func channelPair(t testing.TB, open func(*os.File) (*channel, error)) (here, there *channel) {
	t.Helper()
	here, file, err := newChannel()
	if err != nil {
		t.Fatal(err)
	}
	if there, err = open(file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.close(); there.close() })
	return here, there
}

// Frames of every length arrive as they were, in order, with the file that came along.
func TestFramesArrive(t *testing.T) {
	t.Run("channel", func(t *testing.T) { framesArrive(t, openChannel) })
	t.Run("blocking", func(t *testing.T) { framesArrive(t, openBlocking) })
}

func framesArrive(t *testing.T, open func(*os.File) (*channel, error)) {
	here, there := channelPair(t, open)
	sizes := []int{0, 1, runSize, 507, 508, 509, 512, 4096, 1 << 20, 3}
	go func() {
		for i, size := range sizes {
			if _, _, err := here.receiveFrame(); err != nil { // the frame before has arrived
				t.Error(err)
			}
			var file *os.File
			if i%2 == 1 {
				var err error
				if file, err = newShared("test", int64(size)); err != nil {
					t.Error(err)
				}
				defer file.Close()
			}
			if err := here.sendFrame(bytes.Repeat([]byte{byte(i)}, size), file); err != nil {
				t.Error(err)
			}
		}
	}()
	for i, size := range sizes {
		must(t, there.sendFrame(ran, nil))
		body, file, err := there.receiveFrame()
		if err != nil || !bytes.Equal(body, bytes.Repeat([]byte{byte(i)}, size)) || (file != nil) != (i%2 == 1) {
			t.Fatalf("frame %d of %d bytes: %d bytes, file %v, %v", i, size, len(body), file, err)
		}
		if file == nil {
			continue
		}
		memory, err := mapShared(file, int64(size), true)
		if err != nil {
			t.Fatal(err)
		}
		memory.close()
		file.Close()
	}
	here.close()
	if _, _, err := there.receiveFrame(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
}

func TestAFrameBeyondTheLimitIsRefused(t *testing.T) {
	here, there := channelPair(t, openChannel)
	if _, err := here.conn.Write(binary.LittleEndian.AppendUint32(nil, maxFrame+1)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := there.receiveFrame(); !errors.Is(err, errFrame) {
		t.Errorf("got %v", err)
	}
}

// Memory that another process could take away is not mapped, nor more than there is; what
// is sealed cannot be written to.
func TestSharedMemoryStaysAsItIs(t *testing.T) {
	file, err := newShared("test", 4096)
	must(t, err)
	defer file.Close()
	if err := file.Truncate(0); err == nil {
		t.Error("it can be made shorter")
	}
	if _, err := mapShared(file, 4097, false); err == nil {
		t.Error("more is mapped than there is")
	}
	must(t, sealWrites(file))
	if _, err := file.WriteAt([]byte{1}, 0); err == nil {
		t.Error("it can be written to")
	}
	if _, err := mapShared(file, 4096, true); err == nil {
		t.Error("it is mapped for writing")
	}
	plain, err := os.Create(t.TempDir() + "/plain")
	must(t, err)
	defer plain.Close()
	must(t, plain.Truncate(4096))
	if _, err := mapShared(plain, 4096, false); err == nil {
		t.Error("a file that can be made shorter is mapped")
	}
}

// An executor that a model has taken over can say what it wants: it is ended, or its words
// are made harmless.
func TestAnExecutorThatLiesIsEndedOrCleaned(t *testing.T) {
	for behaviour, want := range map[string]struct {
		code protocol.Code
		text string
	}{
		"babbles":  {protocol.ExecutorLost, "broke the protocol"},
		"is deaf":  {protocol.ExecutorLost, "broke the protocol"},
		"shouts":   {protocol.ExecutorLost, "broke the protocol"},
		"promotes": {protocol.BackendError, "LOADING_CLOSED for all"},
	} {
		t.Run(behaviour, func(t *testing.T) {
			b := hostileBackend(t, func(o *Options) { o.GPUs, o.Executor = 1, append(executing(t), behaviour) })
			m := load(t, b, "div")
			d := b.Devices()[0]
			w, err := d.LoadWeights(m, []int{0})
			must(t, err)
			r, err := d.Stage(m, 1, []int{1}, [][]byte{badmodels.Sound})
			must(t, err)
			defer r.Release()
			err = r.Execute(w)
			wantCode(t, err, want.code)
			if !strings.Contains(err.Error(), want.text) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v does not say %q", err, want.text)
			}
			evict(t, w)
		})
	}
}

// liars are what an executor may answer to an execution that a model has taken over.
var liars = map[string]func(runs *channel){
	"babbles": func(runs *channel) { _, _ = runs.conn.Write(bytes.Repeat([]byte{0xff}, 64)) },
	"is deaf": func(runs *channel) { runs.close() },
	"shouts": func(runs *channel) {
		if err := runs.sendFrame(ran, os.Stderr); err != nil { // with a file
			panic(err)
		}
	},
	"promotes": func(runs *channel) {
		err := runs.send(done{Refusal: &protocol.Error{Code: protocol.LoadingClosed, Message: "LOADING_CLOSED\nfor all", Retryable: true}}, nil)
		if err != nil {
			panic(err)
		}
	},
}

// lieMain is an executor that answers executions so, and everything else as it should.
func lieMain(library, behaviour string) error {
	var channels [executorFiles]*channel
	for i := range channels {
		c, err := openChannel(os.NewFile(uintptr(modelsFile+i), "channel"))
		if err != nil {
			return err
		}
		channels[i] = c
	}
	var s setup
	if err := channels[0].receive(&s); err != nil {
		return err
	}
	e, version, err := startEngine(library, s)
	if err != nil {
		return err
	}
	if err := channels[0].send(hello{Version: version}, nil); err != nil {
		return err
	}
	for _, c := range channels[:2] {
		go func() { _ = e.serve(c, new(atomic.Uint64)) }()
	}
	for runs := channels[2]; ; {
		body, file, err := runs.receiveFrame()
		if err != nil {
			return err
		}
		if _, _, ok := readRun(body); !ok {
			if err := e.serveTask(runs, body, file); err != nil {
				return err
			}
			continue
		}
		if liars[behaviour](runs); behaviour == "is deaf" {
			time.Sleep(time.Hour)
		}
	}
}

// What an executor writes reaches the log as lines of bounded number and length.
func TestLinesAreBounded(t *testing.T) {
	var said []string
	l := &lines{say: func(line string) { said = append(said, line) }}
	for _, part := range []string{"fir", "st\n\n", strings.Repeat("x", 10_000), "\nesc\x1b[2Jape\n", strings.Repeat("again\n", 1000), "rest"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if len(said) != maxLines+1 || said[0] != "first" || len(said[1]) != maxLine || l.opening() != "first" {
		t.Errorf("said %q", said)
	}
	for _, line := range said {
		if strings.ContainsAny(line, "\x1b\n") {
			t.Errorf("%q reaches the log", line)
		}
	}
}

// An executor has no secrets of its worker, and may not do what it need not.
func TestAnExecutorIsConfined(t *testing.T) {
	t.Setenv("CLOCKWORK_NKEY", "/run/secret.nk")
	b := hostileBackend(t, func(o *Options) { o.GPUs = 1 })
	pid := b.devices[0].executor.now().cmd.Process.Pid
	read := func(name string) string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		must(t, err)
		return string(text)
	}
	if text := read("environ"); strings.Contains(text, "secret") {
		t.Errorf("its environment is %q", text)
	}
	if text := read("status"); !strings.Contains(text, "Seccomp:\t2\n") || !strings.Contains(text, "NoNewPrivs:\t1\n") {
		t.Errorf("its status is %s", text)
	}
	if text := read("oom_score_adj"); text != "1000\n" {
		t.Errorf("when memory runs out: %s", text)
	}
	if text := read("comm"); text != "clockwork-exec\n" {
		t.Errorf("it is called %s", text)
	}
}

// An executor that cannot begin is a failed start, and one that cannot begin again is
// tried again.
func TestAnExecutorThatCannotBegin(t *testing.T) {
	o := Options{Library: library(t), ModelRoot: t.TempDir(), CacheDir: t.TempDir(), GPUs: 2, Pages: 1, PageSize: testPage, WorkerName: "w", Checker: checker(t, "check")}
	for _, command := range [][]string{{"/nowhere/executor"}, {"/bin/false"}} {
		o.Executor = command
		if b, err := New(o); err == nil {
			t.Errorf("%v begins", command)
			_ = b.Close()
		}
	}
	b := hostileBackend(t, func(o *Options) { o.GPUs = 1 })
	told := watched(b)
	m := load(t, b, "div")
	command := b.options.Executor
	b.options.Executor = []string{"/nowhere/executor"}
	must(t, b.devices[0].executor.now().cmd.Process.Kill())
	for i := range 3 {
		if lost := told.await(t, backend.ExecutorLost, i); i > 0 && !strings.Contains(lost.Text, "did not start") {
			t.Errorf("the notice is %+v", lost)
		}
	}
	b.options.Executor = command
	evict(t, loadWeights(t, b.Devices()[0], m, 0))
}
