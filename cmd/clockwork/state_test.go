package main

import (
	"strings"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/command"
)

func TestStateTable(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	left := 7500.0
	s := &protocol.StackState{
		Stage: protocol.Loading, Since: now.Add(-125 * time.Second), CountdownMS: &left, Buffered: 2, ModelCount: 2, QuarantinedCount: 1,
		Workers: []protocol.WorkerState{{ID: "w1", Backend: "onnx", PageSize: 16 << 20, GPUs: []protocol.GPUState{
			{ID: 0, Type: "cpu", PagesTotal: 32, PagesUsed: 1, Models: []string{"ocr_rec"}},
			{ID: 1, Type: "cpu", PagesTotal: 32, Stalled: "executes ocr_rec for 4s, expected 12ms"},
		}, Lacks: []protocol.Lack{{Model: "voice", Code: protocol.ModelNotFound}, {Model: "x"}}}},
	}
	var out strings.Builder
	if err := printState(&out, 0, s, now); err != nil {
		t.Fatal(err)
	}
	command.Printed(t, `
stage    LOADING for 2m05s, loading closes in 7.50 s
waiting  2 requests for activation
models   2, 1 of them not served (clockwork ls says why)
workers  1

worker  backend  GPU  pages  weights on GPU
w1      onnx       0   1/32  ocr_rec
                   1   0/32  -

GPU 1 of w1 is stalled: executes ocr_rec for 4s, expected 12ms

2 GPUs of type cpu, pages of 16.0 MiB
w1 serves without 2 models (clockwork ls names them): voice: MODEL_NOT_FOUND: There is no model at this path.
`, out.String())
}

func TestStateWithoutWorkers(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var out strings.Builder
	if err := printState(&out, 0, &protocol.StackState{Stage: protocol.Active, Since: now.Add(-time.Second), Epoch: 7, FrontDoor: protocol.FrontDoorOpen,
		ModelsServed: 1, ModelsUnavailable: 1, Blocked: "no worker is connected; start one with clockwork worker"}, now); err != nil {
		t.Fatal(err)
	}
	command.Printed(t, `
stage    ACTIVE for 1.00 s, scheduler epoch 7
serving  nothing: no served model is held by a GPU in service: no worker is connected that could load one, or every GPU that could is stalled
missing  no worker is connected; start one with clockwork worker
models   0, 1 of 1 models unavailable
workers  0: nothing can be loaded or run
`, out.String())
}

func TestStateSaysPlainlyThatNothingIsServed(t *testing.T) {
	one := []protocol.WorkerState{{ID: "w1"}}
	for _, row := range []struct {
		state protocol.StackState
		says  string
	}{
		{protocol.StackState{Stage: protocol.Active, Epoch: 7, GPUsServing: 1, Workers: one}, ""},
		{protocol.StackState{Stage: protocol.Active, Epoch: 7, Workers: one, ModelsServed: 1}, "no served model is held"},
		{protocol.StackState{Stage: protocol.Active, Blocked: "no scheduler is connected"}, "no scheduler is active\n"},
		{protocol.StackState{Stage: protocol.Active, Blocked: "no scheduler is active"}, "nothing"},
		{protocol.StackState{Stage: protocol.Loading}, ""},
	} {
		row.state.FrontDoor = protocol.FrontDoorOpen
		got := servingText(&row.state)
		if (got == "") != (row.says == "") || !strings.Contains(got, row.says) {
			t.Errorf("%s, epoch %d, %q: %q, wanted %q", row.state.Stage, row.state.Epoch, row.state.Scheduler, got, row.says)
		}
	}
}

func TestStateSaysWhatIsMissing(t *testing.T) {
	one := []protocol.WorkerState{{ID: "w1", GPUs: []protocol.GPUState{{Type: "cpu"}}}}
	for _, row := range []struct {
		state protocol.StackState
		says  string
	}{
		{protocol.StackState{Stage: protocol.Profiling, Blocked: "no profiler", Workers: one}, "missing  no profiler"},
		{protocol.StackState{Stage: protocol.Active, Epoch: 1, GPUsServing: 1, ModelsServed: 3, ModelsUnavailable: 2, Workers: one}, "models   0, 2 of 3 models unavailable"},
	} {
		var out strings.Builder
		if err := printState(&out, 0, &row.state, time.Now()); err != nil || !strings.Contains(out.String(), row.says) {
			t.Errorf("%v, wanted %q in:\n%s", err, row.says, out.String())
		}
	}
}

func TestNamesAreCutByCountingTheRest(t *testing.T) {
	names := []string{"resnet50_v2-1", "resnet50_v2-2", "resnet50_v2-3", "resnet50_v2-4"}
	for _, row := range []struct {
		names []string
		width int
		want  string
	}{
		{nil, 44, "-"},
		{names[:2], 44, "resnet50_v2-1 resnet50_v2-2"},
		{names, 80, "resnet50_v2-1 resnet50_v2-2 resnet50_v2-3 resnet50_v2-4"},
		{names, 44, "resnet50_v2-1 resnet50_v2-2 and 2 more"},
		{names, 24, "resnet50_v2-1 and 3 more"},
		{names, 23, "4 models"},
		{names[:1], 5, "resnet50_v2-1"},
	} {
		if got := namesText(row.names, row.width); got != row.want {
			t.Errorf("in %d columns: %q, want %q", row.width, got, row.want)
		}
	}
}
