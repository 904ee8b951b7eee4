//go:build linux && !static

package integration

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// TestAModelThatComesBackIsMeasured: the only worker lacks a model while all are profiled, and the
// file is put back in ACTIVE, where a scheduler uses the worker. The model is served, without a
// restart and without an order of anybody; the other one is, too, and none of its requests
// fails with another word than that nobody serves it at the moment.
func TestAModelThatComesBackIsMeasured(t *testing.T) {
	library, models, aside := needsONNX(t), t.TempDir(), filepath.Join(t.TempDir(), "n")
	write(t, sumModel(1), models, "m", "1", "model.onnx")
	write(t, sumModel(10), models, "n", "1", "model.onnx")
	c := startCluster(t)
	c.workerArgs = []string{"--backend", "onnx", "--models", models, "--onnx-library", library, "--onnx-cache", t.TempDir(), "--page-size", "64KiB"}
	c.controllerArgs = []string{"--load-idle", "10m"}
	controller := c.controller()
	c.service("profiler", "--profile-iterations", "2")
	c.service("scheduler")
	w := c.worker("w1")
	c.load("m", 1)
	c.load("n", 1)
	if err := os.Rename(filepath.Join(models, "n"), aside); err != nil {
		t.Fatal(err)
	}
	c.restarted(w, 1)
	controller.Kill()
	c.controllerArgs = []string{"--load-idle", "500ms"}
	c.controller()
	c.activated()
	c.serves("m", 1, 64)
	if _, code := c.sum("n", 1); code != protocol.ModelUnavailable {
		t.Fatalf("n is answered %s", code)
	}
	before := c.awaitState("the worker", func(s *protocol.StackState) bool { return len(s.Workers) == 1 }).Workers[0].Incarnation

	if err := os.Rename(aside, filepath.Join(models, "n")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		_, other := c.sum("m", 1)
		if other != protocol.OK && other != protocol.ModelUnavailable && other != protocol.DeadlineExceeded {
			t.Errorf("meanwhile m is answered %s", other)
		}
		if _, code := c.sum("n", 1); code == protocol.OK {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("n is back and answered %s", code)
		}
	}
	c.serves("m", 16, 64)
	c.serves("n", 16, 640)
	s := c.awaitState("the worker with all", func(s *protocol.StackState) bool { return len(s.Workers) == 1 && len(s.Workers[0].Lacks) == 0 })
	if s.Workers[0].Incarnation != before+1 {
		t.Errorf("incarnation %d became %d", before, s.Workers[0].Incarnation)
	}
}
