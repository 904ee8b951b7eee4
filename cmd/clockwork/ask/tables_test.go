package ask

import (
	"strings"
	"testing"
	"time"

	"clockwork/pkg/lab/report"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/command"
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

func TestModelsTable(t *testing.T) {
	var out strings.Builder
	if err := PrintModels(&out, 0, models()); err != nil {
		t.Fatal(err)
	}
	command.Printed(t, `
model    input                           weights  pages  batch     load    infer
ocr_rec  FP32[3,48,192]                 10.0 MiB      1    1-8  1.20 ms  12.0 ms
voice    FP32[3,48,192] FP32[3,48,192]     900 B      1      1        -        -
voice is not served: its profile is zero
`, out.String())
}

func TestModelsTableHasARowForEachTypeOfGPU(t *testing.T) {
	two := models()[:1]
	two[0].Profile = append(two[0].Profile, profiled("v100", time.Millisecond, 3*time.Millisecond))
	var out strings.Builder
	if err := PrintModels(&out, 0, two); err != nil {
		t.Fatal(err)
	}
	command.Printed(t, `
model    input            weights  pages  batch     load    infer  GPU type
ocr_rec  FP32[3,48,192]  10.0 MiB      1    1-8  1.20 ms  12.0 ms  cpu
                                                 1.00 ms  3.00 ms  v100
`, out.String())
}

func TestModelsTableNamesVersionsAndWorkersWithoutThem(t *testing.T) {
	list := models()
	list[0].Version = 3
	list[0].Profile = append(list[0].Profile, profiled("v100", time.Millisecond, 3*time.Millisecond))
	list[1].Lacking = []protocol.WorkerError{{Worker: "w1", Code: protocol.ModelNotFound},
		{Worker: "w2", Code: protocol.ModelChanged, Message: "voice/1 is 0123 now, 4567 was loaded"}}
	var out strings.Builder
	if err := PrintModels(&out, 0, list); err != nil {
		t.Fatal(err)
	}
	command.Printed(t, `
model    version  input                           weights  pages  batch     load    infer  GPU type
ocr_rec        3  FP32[3,48,192]                 10.0 MiB      1    1-8  1.20 ms  12.0 ms  cpu
                                                                         1.00 ms  3.00 ms  v100
voice          -  FP32[3,48,192] FP32[3,48,192]     900 B      1      1        -        -
voice is not served: its profile is zero
voice is not served by worker w1: MODEL_NOT_FOUND: There is no model at this path.
voice is not served by worker w2: MODEL_CHANGED: voice/1 is 0123 now, 4567 was loaded
`, out.String())
	list[1].Lacking = make([]protocol.WorkerError, maxLacking+7)
	out.Reset()
	if err := PrintModels(&out, 0, list); err != nil || !strings.Contains(out.String(), "and 7 more such") || strings.Count(out.String(), "\n") > 30 {
		t.Errorf("%v, %s", err, out.String())
	}
}

func TestNoModelsSaysHowToLoadOne(t *testing.T) {
	var out strings.Builder
	if err := PrintModels(&out, 0, nil); err != nil || !strings.Contains(out.String(), "clockwork load") {
		t.Errorf("%v, %q", err, out.String())
	}
}

func TestTablesFitNarrowTerminals(t *testing.T) {
	var out strings.Builder
	if err := PrintModels(&out, 40, models()[:1]); err != nil {
		t.Fatal(err)
	}
	command.Printed(t, `
model    pages  batch     load    infer
ocr_rec      1    1-8  1.20 ms  12.0 ms
(too narrow for: weights, input)
`, out.String())
	out.Reset()
	run := report.New([]report.Sample{{Model: "resnet50_v2-1", Code: protocol.OK, Latency: 1500 * time.Millisecond}}, time.Second)
	if err := PrintSummary(&out, 40, run); err != nil {
		t.Fatal(err)
	}
	command.Printed(t, `
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
			if err := PrintSummary(&out, 0, report.New(row.samples, 2*time.Second)); err != nil {
				t.Fatal(err)
			}
			command.Printed(t, row.want, out.String())
		})
	}
}
