package serve

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/adapter/backend/emulated"
	"clockwork/pkg/core/work"
)

func parseWorker(t *testing.T, args ...string) WorkerFlags {
	t.Helper()
	var f WorkerFlags
	if _, err := cli.NewParser(&f, "", io.Discard, io.Discard, func(int) {}).Parse(args); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestDefaultPagesFollowTheBackend(t *testing.T) {
	f := parseWorker(t, "--gpus", "2")
	o := f.emulation("w")
	if o.Pages != emulated.Defaults("w").Pages || o.PageSize != 16<<20 || o.GPUs != 2 || o.Worker != "w" {
		t.Errorf("emulated: %+v", o)
	}
	if o.Faults != (emulated.Faults{}) {
		t.Errorf("an emulated GPU misbehaves unasked: %+v", o.Faults)
	}
	models := t.TempDir()
	f = parseWorker(t, "--backend", "onnx", "--onnx-library", "/lib/ort.so", "--models", models, "--page-size", "1MiB")
	real, err := f.onnx("w", f.emulation("w"))
	if err != nil {
		t.Fatal(err)
	}
	if real.Pages != onnxPages || real.PageSize != 1<<20 || real.Library != "/lib/ort.so" || real.ModelRoot != models {
		t.Errorf("onnx: %+v", real)
	}
	if len(real.Checker) != 2 || real.Checker[1] != "check-model" {
		t.Errorf("models are checked by %v", real.Checker)
	}
	if len(real.Executor) != 2 || real.Executor[1] != "execute-models" || real.Memory != 4<<30 {
		t.Errorf("models are executed by %v with %d bytes", real.Executor, real.Memory)
	}
}

func TestWhatIsOverdueIsWhatTheFlagsSay(t *testing.T) {
	for _, test := range []struct {
		args []string
		want work.Overdue
	}{
		{nil, work.DefaultOverdue()},
		{[]string{"--kill-overdue", "3", "--kill-overdue-floor", "2s"}, work.Overdue{Factor: 3, Floor: 2 * time.Second, Unmeasured: work.DefaultOverdue().Unmeasured}},
		{[]string{"--kill-overdue", "0"}, work.Overdue{}},
	} {
		f := parseWorker(t, test.args...)
		config, err := f.Config("w")
		if err != nil || config.Overdue != test.want {
			t.Errorf("%v: got %+v, %v, want %+v", test.args, config.Overdue, err, test.want)
		}
	}
	for _, args := range [][]string{{"--kill-overdue=-1"}, {"--kill-overdue=1e9"}} {
		f := parseWorker(t, args...)
		if _, err := f.Config("w"); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}

func TestFaultsAreWhatTheFlagsSay(t *testing.T) {
	f := parseWorker(t, "--jitter", "0.1", "--stall-every", "9", "--stall", "1s", "--slow-down", "2", "--fail-every", "5", "--fault-seed", "3",
		"--crash-every", "7", "--hang-every", "8", "--crash-input", "c", "--hang-input", "h")
	want := emulated.Faults{Seed: 3, Jitter: 0.1, StallEvery: 9, Stall: 1e9, SlowDown: 2, FailEvery: 5, CrashEvery: 7, HangEvery: 8, CrashInput: "c", HangInput: "h"}
	if got := f.faults(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestWithoutALibraryItIsSaidWhatToDo(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	f := parseWorker(t, "--backend", "onnx")
	if _, err := f.Config("w"); !errors.Is(err, errNoLibrary) {
		t.Errorf("got %v", err)
	}
}

func TestWorkerNamesAreValidAndUnique(t *testing.T) {
	if got := workerName("host", 0, 1); got != "host" {
		t.Errorf("one worker is called %q", got)
	}
	if got := workerName("host", 2, 3); got != "host-3" {
		t.Errorf("the third of three is called %q", got)
	}
	if got := workerName(strings.Repeat("h", 64), 9, 10); len(got) != 64 || !strings.HasSuffix(got, "-10") {
		t.Errorf("a long name becomes %q", got)
	}
}
