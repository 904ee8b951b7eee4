package main

import (
	"strings"
	"syscall"
	"testing"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/command"
)

func TestLoadReply(t *testing.T) {
	picture := []protocol.TensorSpec{{Name: "x", Datatype: protocol.FP32, Shape: []int64{3, 48, 192}}}
	var out strings.Builder
	printLoad(&out, &protocol.LoadReply{Models: []string{"m-1", "m-2"}, Inputs: picture, Outputs: picture, BatchSizes: []int{1, 2}, Pages: 7})
	command.Printed(t, `
loaded 2 copies: m-1 to m-2
  input   x FP32[3,48,192]
  output  x FP32[3,48,192]
  batches [1 2]
  weights 7 pages a copy
`, out.String())
	out.Reset()
	printLoad(&out, &protocol.LoadReply{Models: []string{"m"}, Version: 3, Held: true, BatchSizes: []int{1}, Pages: 1,
		Changed: []protocol.WorkerError{{Worker: "w1", Code: protocol.ModelChanged, Message: "at the path is m/4 now"}}})
	command.Printed(t, `
already held m, version 3
  batches [1]
  weights 1 page a copy
  NOT what is at the path now, on worker w1: MODEL_CHANGED: at the path is m/4 now
  What was loaded first is served on; --name NAME loads what is there now beside it.
`, out.String())
}

func TestLoadWaitsUntilTheStackServes(t *testing.T) {
	address := command.FreeAddress(t)
	url := "nats://" + address
	t.Setenv("NATS_URL", url)
	ended := make(chan int, 1)
	go func() {
		code, _, _ := invoke(t, "up", "--listen", address, "--load-idle", "300ms", "--scale", "0.1")
		ended <- code
	}()
	command.AwaitStage(t, url, protocol.AwaitingModels)
	code, stdout, stderr := invoke(t, "infer", "googlenet", "--wait-timeout", "1ms")
	if code != 1 || !strings.Contains(stderr, "clockwork load PATH") {
		t.Errorf("infer without any model: exit code %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, _ = invoke(t, "load", "zoo/resnet50_v2")
	if code != 0 || !strings.Contains(stdout, "loading closes in") {
		t.Errorf("load does not say what comes next: exit code %d\n%s", code, stdout)
	}
	code, stdout, stderr = invoke(t, "load", "zoo/googlenet", "--wait")
	if code != 0 || !strings.Contains(stderr, "ACTIVE  requests are served") {
		t.Errorf("load --wait: exit code %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr = invoke(t, "infer", "unheard_of")
	if code != 1 || !strings.Contains(stderr, "UNKNOWN_MODEL") {
		t.Errorf("infer of a model that is not there: exit code %d\n%s%s", code, stdout, stderr)
	}
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil { // up waits for it
		t.Fatal(err)
	}
	if code := <-ended; code != 0 {
		t.Errorf("up ended with exit code %d", code)
	}
}

func TestALoadedModelIsCalledServedOnlyWhereAGPUTakesWork(t *testing.T) {
	state := protocol.StackState{Stage: protocol.Active, Epoch: 1, FrontDoor: protocol.FrontDoorOpen, GPUsServing: 1, ModelsServed: 1}
	if says := nextText(&state); !strings.Contains(says, "the model is served") {
		t.Error(says)
	}
	state.GPUsServing = 0
	if says := nextText(&state); !strings.Contains(says, "no served model is held") {
		t.Error(says)
	}
}
