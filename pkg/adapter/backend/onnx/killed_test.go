//go:build linux && !static

package onnx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/badmodels"
)

// When memory runs out, the kernel kills executors first, whatever they are at. These tests
// kill them; a stopped process is one that has not noticed yet.

// waitFor polls.
func waitFor(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so after a minute: %s", what)
		}
	}
}

// stop stops a process, and waits until it stands still.
func stop(t testing.TB, pid int) {
	t.Helper()
	must(t, unix.Kill(pid, unix.SIGSTOP))
	waitFor(t, "all of its threads are stopped", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		must(t, err)
		for _, thread := range threads {
			if text, err := os.ReadFile(thread); err != nil || !strings.Contains(string(text), ") T ") {
				return false
			}
		}
		return len(threads) > 0
	})
}

// childrenRunning are the processes of this test binary that run a command.
func childrenRunning(t testing.TB, command string) (pids []int) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, file := range commands {
		line, err := os.ReadFile(file)
		pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
		if err == nil && strings.HasPrefix(string(line), self+"\x00"+command+"\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// What an executor was sent and did not begin before it was killed is not blamed, however it
// was sent; the next executor does it.
func TestWhatAKilledExecutorDidNotBeginIsNotBlamed(t *testing.T) {
	b := hostileBackend(t, func(o *Options) { o.GPUs = 1 })
	told := watched(b)
	m := load(t, b, "div")
	d := b.Devices()[0]
	w := loadWeights(t, d, m, 0)
	infer(t, d, m, w, 1, []int{1}, [][]byte{badmodels.Sound}) // its memory is bound
	for i, loads := range []bool{false, true} {
		p := b.devices[0].executor.now()
		stop(t, p.cmd.Process.Pid)
		lane, ended := &p.runs, make(chan error, 1)
		before := lane.sent.Load()
		if loads {
			lane = &p.weights
			before = lane.sent.Load()
			go func() {
				again, err := d.LoadWeights(m, []int{1})
				if err == nil {
					err = again.Evict()
				}
				ended <- err
			}()
		} else {
			run := begin(t, d, m, w, badmodels.Sound)
			go func() { ended <- <-run }()
		}
		waitFor(t, "the task is sent", func() bool { return lane.sent.Load() > before })
		must(t, unix.Kill(p.cmd.Process.Pid, unix.SIGKILL))
		if err := <-ended; loads {
			must(t, err)
		} else {
			wantCode(t, err, protocol.WeightsMissing)
		}
		if lost := told.await(t, backend.ExecutorLost, i); len(lost.Models) != 0 {
			t.Errorf("it was at nothing, and the notice is %+v", lost)
		}
		w = loadWeights(t, d, m, 0)
		if got := infer(t, d, m, w, 1, []int{1}, [][]byte{badmodels.Sound})[0]; !bytes.Equal(got, badmodels.Seven) {
			t.Errorf("afterwards 42 / 6 is % x", got)
		}
	}
	evict(t, w)
}

// awaitExecution waits until an executor has begun the first execution on its device.
func awaitExecution(t testing.TB, p *process) {
	t.Helper()
	waitFor(t, "it executes", func() bool { return p.runs.sent.Load() == 2 && p.progress.of(runFile-modelsFile).Load() == 2 }) // after the bind
}

// What an executor was at when it was killed from outside may be innocent.
func TestWhatAKilledExecutorWasAtIsSaidToBeKilled(t *testing.T) {
	b := hostileBackend(t, func(o *Options) { o.GPUs = 1 })
	told := watched(b)
	m := load(t, b, "loop")
	d := b.Devices()[0]
	w := loadWeights(t, d, m, 0)
	p := b.devices[0].executor.now()
	ended := begin(t, d, m, w, badmodels.Endless)
	awaitExecution(t, p)
	must(t, unix.Kill(p.cmd.Process.Pid, unix.SIGKILL))
	wantCode(t, <-ended, protocol.ExecutorKilled)
	if lost := told.await(t, backend.ExecutorLost, 0); len(lost.Models) != 1 || lost.Overdue {
		t.Errorf("the notice is %+v", lost)
	}
	evict(t, w)
}

// A trial or a checker that is killed from outside says nothing about the model.
func TestALoadWhoseProcessIsKilledIsNotTheModelsFault(t *testing.T) {
	for name, command := range map[string]string{"trial": executeCommand, "checker": checkCommand} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			writeModel(t, root, "loop", badmodels.Repetition(1<<50), "max_batch: 1\n")
			b := withModels(t, root, func(o *Options) {
				if o.GPUs = 1; command == checkCommand {
					o.Checker = checker(t, "hang")
				}
			})
			device := b.devices[0].executor.now().cmd.Process.Pid
			ended := make(chan error, 1)
			go func() {
				_, err := b.LoadModel(context.Background(), "loop", backend.LoadOptions{})
				ended <- err
			}()
			var err error
			waitFor(t, "the load ends", func() bool {
				for _, pid := range childrenRunning(t, command) {
					if pid != device {
						_ = unix.Kill(pid, unix.SIGKILL)
					}
				}
				select {
				case err = <-ended:
					return true
				default:
					return false
				}
			})
			var refusal *protocol.Error
			if !errors.As(err, &refusal) || refusal.Code != protocol.NoMemory || !refusal.Code.Row().Retryable {
				t.Errorf("a %s that was killed: %v", name, err)
			}
		})
	}
}

// A load that is given up ends soon, whatever hangs in it: its checker, its trial, or an
// executor that does not answer. What is left of it is cleaned up.
func TestALoadThatIsGivenUpEnds(t *testing.T) {
	for _, hangs := range []string{"checker", "trial", "executor"} {
		t.Run(hangs, func(t *testing.T) {
			root := t.TempDir()
			writeModel(t, root, "loop", badmodels.Repetition(1<<50), "max_batch: 1\n")
			writeModel(t, root, "div", badmodels.Quotient(), "max_batch: 1\n")
			b := withModels(t, root, func(o *Options) {
				if o.GPUs = 1; hangs == "checker" {
					o.Checker = checker(t, "hang")
				}
			})
			p, path := b.devices[0].executor.now(), "loop"
			if hangs == "executor" {
				path = "div"
				stop(t, p.cmd.Process.Pid)
			}
			ctx, giveUp := context.WithCancel(context.Background())
			defer giveUp()
			ended := make(chan error, 1)
			go func() {
				_, err := b.LoadModel(ctx, path, backend.LoadOptions{Within: time.Hour})
				ended <- err
			}()
			waitFor(t, "it hangs", func() bool {
				return hangs == "checker" && len(childrenRunning(t, checkCommand)) > 0 ||
					hangs == "trial" && len(childrenRunning(t, executeCommand)) > 1 ||
					hangs == "executor" && p.models.sent.Load() > 0
			})
			giveUp()
			wantCode(t, <-ended, protocol.BackendError)
			must(t, unix.Kill(p.cmd.Process.Pid, unix.SIGCONT))
		})
	}
}

// A model is said to hang a while before its load is given up, and not by a load that had
// little time.
func TestWhatProvesThatAModelHangs(t *testing.T) {
	o := Options{CheckTime: DefaultCheckTime}
	for within, want := range map[time.Duration]time.Duration{0: DefaultCheckTime, time.Minute: 54 * time.Second, 10 * time.Second: DefaultCheckTime} {
		if got := o.deadlineOf(backend.LoadOptions{Within: within}); got.takes != want {
			t.Errorf("within %v a model may take %v, should %v", within, got.takes, want)
		}
	}
}
