package main

import (
	"errors"
	"strings"
	"testing"

	"clockwork/pkg/adapter/backend/emulated"
)

func TestDefaultPagesFollowTheBackend(t *testing.T) {
	c := parse(t, "worker", "--gpus", "2")
	o := c.Worker.emulation("w")
	if o.Pages != emulated.Defaults("w").Pages || o.PageSize != 16<<20 || o.GPUs != 2 || o.Worker != "w" {
		t.Errorf("emulated: %+v", o)
	}
	if o.Faults != (emulated.Faults{}) {
		t.Errorf("an emulated GPU misbehaves unasked: %+v", o.Faults)
	}
	models := t.TempDir()
	c = parse(t, "worker", "--backend", "onnx", "--onnx-library", "/lib/ort.so", "--models", models, "--page-size", "1MiB")
	real, err := c.Worker.onnx("w", c.Worker.emulation("w"))
	if err != nil {
		t.Fatal(err)
	}
	if real.Pages != onnxPages || real.PageSize != 1<<20 || real.Library != "/lib/ort.so" || real.ModelRoot != models {
		t.Errorf("onnx: %+v", real)
	}
	if len(real.Checker) != 2 || real.Checker[1] != "check-model" {
		t.Errorf("models are checked by %v", real.Checker)
	}
}

func TestFaultsAreWhatTheFlagsSay(t *testing.T) {
	c := parse(t, "worker", "--jitter", "0.1", "--stall-every", "9", "--stall", "1s", "--slow-down", "2", "--fail-every", "5", "--fault-seed", "3")
	want := emulated.Faults{Seed: 3, Jitter: 0.1, StallEvery: 9, Stall: 1e9, SlowDown: 2, FailEvery: 5}
	if got := c.Worker.faults(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestWithoutALibraryItIsSaidWhatToDo(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	c := parse(t, "worker", "--backend", "onnx")
	if _, err := c.Worker.config("w"); !errors.Is(err, errNoLibrary) {
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

func TestByteSize(t *testing.T) {
	for text, want := range map[string]byteSize{"4096": 4096, "64KiB": 64 << 10, "16MiB": 16 << 20, "1GiB": 1 << 30, "": 0, "-1": 0, "0": 0, "1.5MiB": 0, "16MB": 0, "99999999999": 0} {
		var b byteSize
		err := b.UnmarshalText([]byte(text))
		if (err == nil) != (want != 0) || b != want {
			t.Errorf("%q: %d, %v", text, b, err)
		}
	}
}
