package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clockwork/pkg/lab/report"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/terminal"
)

func measured(d time.Duration) protocol.Measurement {
	return protocol.Measurement{Samples: 10, Min: d, P50: d, P99: d, Max: d}
}

func profiled(gpuType string, load, infer time.Duration) protocol.Profile {
	return protocol.Profile{GPUType: gpuType, LoadWeights: measured(load),
		Infer: []protocol.BatchMeasurement{{Batch: 1, Measurement: measured(infer)}}}
}

var picture = []protocol.TensorSpec{{Name: "x", Datatype: protocol.FP32, Shape: []int64{3, 48, 192}}}

func models() []protocol.ModelState {
	return []protocol.ModelState{
		{ModelSpec: protocol.ModelSpec{Name: "ocr_rec", Inputs: picture, BatchSizes: []int{1, 2, 4, 8}, WeightsBytes: 10 << 20, Pages: 1},
			Profile: []protocol.Profile{profiled("cpu", 1200*time.Microsecond, 12*time.Millisecond)}},
		{ModelSpec: protocol.ModelSpec{Name: "voice", Inputs: append(picture, picture...), BatchSizes: []int{1}, WeightsBytes: 900, Pages: 1},
			Quarantined: "its profile is zero"},
	}
}

func diff(t *testing.T, want, got string) {
	t.Helper()
	if d := cmp.Diff(strings.TrimPrefix(want, "\n"), got); d != "" {
		t.Error(d)
	}
}

func TestModelsTable(t *testing.T) {
	var out strings.Builder
	if err := printModels(&out, 0, models()); err != nil {
		t.Fatal(err)
	}
	diff(t, `
model    input            weights  pages  batch     load    infer
ocr_rec  FP32[3,48,192]  10.0 MiB      1    1-8  1.20 ms  12.0 ms
voice    2 inputs           900 B      1      1        -        -
voice is not served: its profile is zero
`, out.String())
}

func TestModelsTableHasARowForEachTypeOfGPU(t *testing.T) {
	two := models()[:1]
	two[0].Profile = append(two[0].Profile, profiled("v100", time.Millisecond, 3*time.Millisecond))
	var out strings.Builder
	if err := printModels(&out, 0, two); err != nil {
		t.Fatal(err)
	}
	diff(t, `
model    input            weights  pages  batch     load    infer  GPU type
ocr_rec  FP32[3,48,192]  10.0 MiB      1    1-8  1.20 ms  12.0 ms  cpu
                                                 1.00 ms  3.00 ms  v100
`, out.String())
}

func TestNoModelsSaysHowToLoadOne(t *testing.T) {
	var out strings.Builder
	if err := printModels(&out, 0, nil); err != nil || !strings.Contains(out.String(), "clockwork load") {
		t.Errorf("%v, %q", err, out.String())
	}
}

func TestTablesFitNarrowTerminals(t *testing.T) {
	var out strings.Builder
	if err := printModels(&out, 40, models()[:1]); err != nil {
		t.Fatal(err)
	}
	diff(t, `
model    pages  batch     load    infer
ocr_rec      1    1-8  1.20 ms  12.0 ms
(too narrow for: weights, input)
`, out.String())
	out.Reset()
	run := report.New([]report.Sample{{Model: "resnet50_v2-1", Code: protocol.OK, Latency: 1500 * time.Millisecond}}, time.Second)
	if err := printSummary(&out, 40, run); err != nil {
		t.Fatal(err)
	}
	diff(t, `
model         requests  in SLO   p99 ms
resnet50_v2…         1       1  1500.00
(too narrow for: goodput r/s, max ms, …
`, out.String())
}

func TestSummary(t *testing.T) {
	samples := []report.Sample{
		{Model: "a", Latency: 10 * time.Millisecond, Code: protocol.OK},
		{Model: "a", Latency: 20 * time.Millisecond, SLO: time.Millisecond, Code: protocol.OK},
		{Model: "c", Code: protocol.Overloaded},
	}
	for _, row := range []struct {
		name    string
		samples []report.Sample
		want    string
	}{
		{"several models have a total and their errors", samples, `
model  requests  ok  in SLO  goodput r/s  p50 ms  p99 ms  max ms
a             2   2       1          0.5   10.00   20.00   20.00
c             1   0       0          0.0       -       -       -
total         3   2       1          0.5   10.00   20.00   20.00
1 x OVERLOADED: Too many requests are in flight.
`},
		{"one model is its own total", samples[:1], `
model  requests  ok  in SLO  goodput r/s  p50 ms  p99 ms  max ms
a             1   1       1          0.5   10.00   10.00   10.00
`},
		{"no samples are a total of nothing", nil, `
model  requests  ok  in SLO  goodput r/s  p50 ms  p99 ms  max ms
total         0   0       0          0.0       -       -       -
`},
	} {
		t.Run(row.name, func(t *testing.T) {
			var out strings.Builder
			if err := printSummary(&out, 0, report.New(row.samples, 2*time.Second)); err != nil {
				t.Fatal(err)
			}
			diff(t, row.want, out.String())
		})
	}
}

func TestStateTable(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	left := 7500.0
	s := &protocol.StackState{
		Stage: protocol.Loading, Since: now.Add(-125 * time.Second), CountdownMS: &left, Buffered: 2, Models: models(),
		Workers: []protocol.WorkerState{{ID: "w1", Backend: "onnx", PageSize: 16 << 20, GPUs: []protocol.GPUState{
			{ID: 0, Type: "cpu", PagesTotal: 32, PagesUsed: 1, Models: []string{"ocr_rec"}},
			{ID: 1, Type: "cpu", PagesTotal: 32},
		}}},
	}
	var out strings.Builder
	if err := printState(&out, 0, s, now); err != nil {
		t.Fatal(err)
	}
	diff(t, `
stage    LOADING for 2m05s, loading closes in 7.50 s
waiting  2 requests for activation
models   2, 1 of them not served (clockwork ls says why)
workers  1

worker  backend  GPU  pages  weights on GPU
w1      onnx       0   1/32  ocr_rec
                   1   0/32  -

2 GPUs of type cpu, pages of 16.0 MiB
`, out.String())
}

func TestStateWithoutWorkers(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var out strings.Builder
	if err := printState(&out, 0, &protocol.StackState{Stage: protocol.Active, Since: now.Add(-time.Second), Epoch: 7}, now); err != nil {
		t.Fatal(err)
	}
	diff(t, `
stage    ACTIVE for 1.00 s, scheduler epoch 7
models   0
workers  0: nothing can be loaded or run; start one with clockwork worker
`, out.String())
}

func TestStateSaysPlainlyThatNothingIsServed(t *testing.T) {
	for _, row := range []struct {
		state protocol.StackState
		says  string
	}{
		{protocol.StackState{Stage: protocol.Active, Epoch: 7, Scheduler: protocol.SchedulerActive}, ""},
		{protocol.StackState{Stage: protocol.Active, Scheduler: protocol.SchedulerAbsent}, "start one with clockwork scheduler"},
		{protocol.StackState{Stage: protocol.Active, Scheduler: protocol.Standby}, "one stands by"},
		{protocol.StackState{Stage: protocol.Active}, "no scheduler is active"},
		{protocol.StackState{Stage: protocol.Loading, Scheduler: protocol.Standby}, ""},
		{protocol.StackState{Stage: protocol.Loading, Scheduler: protocol.SchedulerAbsent}, "not before a scheduler runs"},
	} {
		got := schedulerText(&row.state)
		if (got == "") != (row.says == "") || !strings.Contains(got, row.says) {
			t.Errorf("%s, epoch %d, %q: %q, wanted %q", row.state.Stage, row.state.Epoch, row.state.Scheduler, got, row.says)
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

func TestResponse(t *testing.T) {
	var out strings.Builder
	printResponse(&out, &protocol.InferResponse{ModelName: "m", Parameters: protocol.ResponseParameters{
		LatencyUS: 15000, BatchSize: 4, Worker: "w1", ColdStart: true, BufferedMS: 1200, SchedulerUS: 9080, QueueUS: 20, InputUS: 2, ExecUS: 5820, OutputUS: 40},
		Outputs: []protocol.Tensor{{Name: "y", Datatype: protocol.FP32, Shape: []int64{1, 1000}, Data: make([]byte, 4000)}}})
	diff(t, `
m answered in 15.00 ms
  scheduling        9.08 ms  its weights were loaded for this request
  worker's queue    20.0 us  on w1
  input copy        2.00 us
  execution         5.82 ms  at batch size 4
  output copy       40.0 us
  before that it waited 1200 ms for activation
  output y FP32[1,1000], 3.91 KiB
`, out.String())
}

func TestLoadReply(t *testing.T) {
	var out strings.Builder
	printLoad(&out, &protocol.LoadReply{Models: []string{"m-1", "m-2"}, Inputs: picture, Outputs: picture, BatchSizes: []int{1, 2}, Pages: 7})
	diff(t, `
loaded 2 copies: m-1 to m-2
  input   x FP32[3,48,192]
  output  x FP32[3,48,192]
  batches [1 2]
  weights 7 pages a copy
`, out.String())
}

func TestEventsInPlainLines(t *testing.T) {
	var out strings.Builder
	w := &progress{display: terminal.New(&out, false, nil), workers: map[string]bool{}}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, e := range []protocol.Event{
		{Kind: protocol.EventStage, Stage: "AWAITING_MODELS"},
		{Kind: protocol.EventWorkerJoined, Worker: "w1"},
		{Kind: protocol.EventWorkerJoined, Worker: "w1"}, // two services say so
		{Kind: protocol.EventLoad, Model: "m-1", Path: "m", Total: 1, Done: 1, Code: protocol.OK},
		{Kind: protocol.EventLoad, Model: "m-1", Path: "m", Total: 3, Done: 3, Code: protocol.OK},
		{Kind: protocol.EventLoad, Model: "x", Path: "x", Total: 1, Code: protocol.ModelNotFound, Message: "there is none"},
		{Kind: protocol.EventCountdown, LeftMS: 10000},
		{Kind: protocol.EventCountdown, Message: "stopped: a load is pending"},
		{Kind: protocol.EventProfile, Model: "m-1", Done: 1, Total: 2, Message: "weights 8ms"},
		{Kind: protocol.EventProfile, Model: "m-1", Done: 2, Total: 2, Message: "batch 1 2ms"},
		{Kind: protocol.EventQuarantine, Model: "m-1", Message: "its profile is zero"},
		{Kind: protocol.EventWorkerLost, Worker: "w1"},
	} {
		w.show(e, now)
	}
	diff(t, `
AWAITING_MODELS  waiting for models to be loaded
worker w1 joined
loaded m-1
loaded 3 copies: m-1 to m-3
loading x failed: MODEL_NOT_FOUND: there is none
loading closes in 10.0 s unless another load comes
profiling 1/2 m-1 weights 8ms
profiling 2/2 m-1 batch 1 2ms
m-1 is not served: its profile is zero
worker w1 is gone
`, out.String())
}

func TestVerdictOfTheDemo(t *testing.T) {
	for _, row := range []struct {
		name  string
		wrong []string
		total report.Summary
		says  string
	}{
		{"all well", nil, report.Summary{Requests: 100, OK: 100, InSLO: 100}, ""},
		{"a few misses are the machine's", nil,
			report.Summary{Requests: 100, OK: 98, InSLO: 96, Errors: []report.ErrorCount{{Code: protocol.DeadlineExceeded, Count: 2}}}, ""},
		{"many are not", nil,
			report.Summary{Requests: 100, OK: 75, InSLO: 75, Errors: []report.ErrorCount{{Code: protocol.DeadlineExceeded, Count: 25}}}, "25 of 100 requests missed"},
		{"one other error is too many", nil,
			report.Summary{Requests: 100, OK: 99, InSLO: 99, Errors: []report.ErrorCount{{Code: protocol.WorkerLost, Count: 1}}}, "WORKER_LOST"},
		{"so is one wrong text", []string{`"a" was read as "b"`}, report.Summary{Requests: 1, OK: 1, InSLO: 1}, `"a" was read as "b"`},
	} {
		err := verdict(row.total, row.wrong, 0.2)
		if row.says == "" && err != nil || row.says != "" && (err == nil || !strings.Contains(err.Error(), row.says)) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}
