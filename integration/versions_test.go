//go:build linux && !static

package integration

import (
	"context"
	bytesof "encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"clockwork/pkg/adapter/fetch"
	"clockwork/pkg/protocol"
)

// needsONNX fetches ONNX Runtime. The test fails without it, unless the variable says that
// tests may go without.
func needsONNX(t *testing.T) (library string) {
	t.Helper()
	const without = "CLOCKWORK_TEST_NO_ONNX"
	library, err := fetch.Fetcher{}.Library(context.Background())
	if err != nil && os.Getenv(without) == "1" {
		t.Skipf("%s=1, and this test needs ONNX Runtime: %v", without, err)
	}
	if err != nil {
		t.Fatalf("this test needs ONNX Runtime: %v (set %s=1 to go without)", err, without)
	}
	return library
}

// sumModel is a model file: y[N,64] = x[N,64] * w, with every weight the same value.
func sumModel(weight float32) []byte {
	const width = 64
	message := func(b []byte, number protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), content)
	}
	varint := func(b []byte, number protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), v)
	}
	var weights []byte
	for range width * width {
		weights = bytesof.LittleEndian.AppendUint32(weights, math.Float32bits(weight))
	}
	tensor := varint(varint(varint(nil, 1, width), 1, width), 2, 1)
	tensor = message(message(tensor, 8, []byte("w")), 9, weights)
	open := message(nil, 1, message(nil, 2, []byte("N")))
	shape := message(open, 1, varint(nil, 1, width))
	port := func(name string) []byte {
		return message(message(nil, 1, []byte(name)), 2, message(nil, 1, message(varint(nil, 1, 1), 2, shape)))
	}
	node := message(message(message(message(nil, 1, []byte("x")), 1, []byte("w")), 2, []byte("y")), 4, []byte("MatMul"))
	graph := message(message(nil, 1, node), 2, []byte("g"))
	graph = message(message(message(graph, 5, tensor), 11, port("x")), 12, port("y"))
	return message(message(varint(nil, 1, 7), 8, varint(message(nil, 1, nil), 2, 13)), 7, graph)
}

// write writes a file of a model directory.
func write(t *testing.T, content []byte, path ...string) {
	t.Helper()
	file := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// sum is what a model answers to ones; 0 with the code if it refuses.
func (c *cluster) sum(model string, items int) (float32, protocol.Code) {
	c.t.Helper()
	slo := 5000.0
	in := protocol.Tensor{Name: "x", Datatype: protocol.FP32, Shape: []int64{int64(items), 64}}
	for range items * 64 {
		in.Data = bytesof.LittleEndian.AppendUint32(in.Data, math.Float32bits(1))
	}
	r, refusal := c.client.Infer(c.t.Context(), model, &protocol.InferRequest{
		Parameters: protocol.InferParameters{SLOMS: &slo}, Inputs: []protocol.Tensor{in}}, patience)
	if refusal != nil {
		return 0, refusal.Code
	}
	return math.Float32frombits(bytesof.LittleEndian.Uint32(r.Outputs[0].Data)), protocol.OK
}

func (c *cluster) serves(model string, items int, want float32) {
	c.t.Helper()
	if got, code := c.sum(model, items); got != want {
		c.t.Errorf("%s with %d items gives %v and %s, expected %v", model, items, got, code, want)
	}
}

// restarted kills a worker, starts it again, and waits until the scheduler has it, and the
// controller has told what it lacks.
func (c *cluster) restarted(w *process, lacks int) *process {
	c.t.Helper()
	before := c.awaitState("the worker", func(s *protocol.StackState) bool { return len(s.Workers) == 1 }).Workers[0].Incarnation
	w.Kill()
	w = c.worker("w1")
	c.awaitState("the worker once more", func(s *protocol.StackState) bool {
		return len(s.Workers) == 1 && s.Workers[0].Incarnation != before && len(s.Workers[0].Lacks) == lacks
	})
	return w
}

// TestWhatWasLoadedIsWhatIsServed changes a model directory under a running stack of real
// models, and restarts its processes.
func TestWhatWasLoadedIsWhatIsServed(t *testing.T) {
	library, models := needsONNX(t), t.TempDir()
	write(t, sumModel(1), models, "m", "1", "model.onnx")
	write(t, sumModel(10), models, "n", "1", "model.onnx")
	c := startCluster(t)
	c.workerArgs = []string{"--backend", "onnx", "--models", models, "--onnx-library", library, "--onnx-cache", t.TempDir(), "--page-size", "64KiB"}
	c.controllerArgs = []string{"--load-idle", "10m"}
	controller := c.controller()
	c.service("profiler", "--profile-iterations", "2")
	c.service("scheduler")
	w := c.worker("w1")
	if r := c.load("m", 1); r.Version != 1 || r.Held {
		t.Errorf("loaded %+v", r)
	}
	c.load("n", 2)
	if r := c.load("m", 1); !r.Held || len(r.Changed) > 0 {
		t.Errorf("once more: %+v", r)
	}

	// What comes beside the version that was loaded changes nothing, and a load says it.
	write(t, sumModel(2), models, "m", "2", "model.onnx")
	write(t, nil, models, "n", "7") // a file
	if err := os.Mkdir(filepath.Join(models, "n", "8"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r := c.load("m", 1); !r.Held || r.Version != 1 || len(r.Changed) != 1 || r.Changed[0].Code != protocol.ModelChanged {
		t.Errorf("with m/2 beside it: %+v", r)
	}
	if r := c.load("n", 2); !r.Held || len(r.Changed) > 0 {
		t.Errorf("with a file and an empty folder beside it: %+v", r)
	}
	controller.Kill()
	c.controllerArgs = []string{"--load-idle", "500ms"}
	controller = c.controller()
	c.activated()
	c.serves("m", 1, 64)
	c.serves("n-1", 1, 640)
	w = c.restarted(w, 0)
	c.serves("m", 1, 64)
	c.serves("n-2", 1, 640)

	// One model cannot be had any more: the others are served, and who looks is told.
	write(t, []byte("max_batch: 2\n"), models, "n", "model.yaml")
	w = c.restarted(w, 2)
	c.serves("m", 1, 64)
	if _, code := c.sum("n-1", 1); code != protocol.ModelUnavailable {
		t.Errorf("n-1 is answered %s", code)
	}
	if e := c.await("an event", func(e protocol.Event) bool { return e.Kind == protocol.EventModelMissing }); e.Worker != "w1" || e.Model != "n-1" || e.Total != 2 {
		t.Errorf("event %+v", e)
	}
	list, refusal := c.client.Models(t.Context())
	if refusal != nil || len(list.Models) != 3 || len(list.Models[0].Lacking) != 0 || len(list.Models[1].Lacking) != 1 {
		t.Errorf("ls: %+v, %v", list, refusal)
	}
	if !strings.Contains(controller.Log(), "a worker serves without a model") {
		t.Error("the controller's log does not tell it")
	}

	// It can be had again, and is served without a restart.
	if err := os.Remove(filepath.Join(models, "n", "model.yaml")); err != nil {
		t.Fatal(err)
	}
	if e := c.await("an event", func(e protocol.Event) bool { return e.Kind == protocol.EventModelBack }); e.Worker != "w1" || e.Model != "n-1" || e.Total != 2 {
		t.Errorf("event %+v", e)
	}
	c.awaitState("the worker with all", func(s *protocol.StackState) bool { return len(s.Workers) == 1 && len(s.Workers[0].Lacks) == 0 })
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if _, code := c.sum("n-1", 1); code == protocol.OK {
			break // the scheduler was told
		} else if time.Now().After(deadline) {
			t.Fatalf("n-1 is back and answered %s", code)
		}
	}
	c.serves("m", 1, 64)

	// The largest batch of today says nothing about what is held.
	controller.Kill()
	c.controllerArgs = []string{"--max-batch", "1"}
	c.controller()
	c.restarted(w, 0)
	c.activated()
	for range 20 {
		c.serves("m", 16, 64)
		c.serves("n-1", 3, 640)
	}
}

// TestAnotherScaleIsMeasuredAnew goes on from kept data with GPUs that are ten times slower:
// what was measured of the others says nothing about them.
func TestAnotherScaleIsMeasuredAnew(t *testing.T) {
	c := startCluster(t)
	c.controller()
	c.rest()
	w := c.worker("w1")
	c.load("zoo/resnet50_v2", 1)
	c.activated()
	w.Kill()
	c.workerArgs = []string{"--generate-inputs", "--scale", "1"}
	c.worker("w1")
	slo := 200.0
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		r, refusal := c.client.Infer(t.Context(), "resnet50_v2", &protocol.InferRequest{Parameters: protocol.InferParameters{SLOMS: &slo}}, patience)
		if refusal == nil && r.Parameters.ExecUS > 1500 {
			break // the slow GPU serves
		}
		if time.Now().After(deadline) {
			t.Fatalf("the slower worker does not serve: %+v, %v", r, refusal)
		}
	}
	measured := c.seen(func(e protocol.Event) bool {
		return e.Kind == protocol.EventProfile && strings.HasPrefix(e.Message, "batch 16")
	})
	if len(measured) != 2 {
		t.Errorf("batch 16 was measured %d times, expected once for each scale", len(measured))
	}
}
