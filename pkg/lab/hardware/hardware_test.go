package hardware

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/hostile"
)

const header = "t\taction_id\taction_type\tstatus\tworker_exec_duration\tworker_action_received\tworker_result_sent\tcontroller_result_enqueue\tmodel\tpadded_batch_size\n"

// line is an Infer in an action log.
func line(model string, batch int, took time.Duration) string {
	return fmt.Sprintf("1\t7\t2\t0\t%d\t200000\t%d\t%d\t%s\t%d\n", took, took+300_000, took+400_000, model, batch)
}

func measured(p50 time.Duration) protocol.Measurement {
	return protocol.Measurement{Samples: 10, Min: p50, P50: p50, P99: p50 * 11 / 10, Max: p50 * 11 / 10}
}

// stack is the models of a stack: two copies of one, with a profile.
func stack() (models []protocol.ModelState) {
	for _, name := range []string{"squeezenet-1", "squeezenet-2"} {
		models = append(models, protocol.ModelState{
			ModelSpec: protocol.ModelSpec{Name: name, Path: "squeezenet", WeightsBytes: 5 << 20,
				Inputs:  []protocol.TensorSpec{{Name: "x", Datatype: protocol.FP32, Shape: []int64{3, 224, 224}}},
				Outputs: []protocol.TensorSpec{{Name: "y", Datatype: protocol.FP32, Shape: []int64{1000}}}},
			Profile: []protocol.Profile{{GPUType: "cpu", LoadWeights: measured(time.Millisecond), Infer: []protocol.BatchMeasurement{
				{Batch: 1, Measurement: measured(3 * time.Millisecond)}, {Batch: 2, Measurement: measured(6 * time.Millisecond)},
			}}},
		})
	}
	return models
}

func observe(t testing.TB, text string) *Observed {
	t.Helper()
	o := NewObserved()
	if err := o.Read(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return o
}

// TestWhatIsExportedIsRead: profiles, durations of all copies, and messages come back, under the
// name of the zoo's model; sizes that did not run follow from those that did.
func TestWhatIsExportedIsRead(t *testing.T) {
	var log strings.Builder
	log.WriteString(header)
	for i := range 100 {
		took := 4*time.Millisecond + time.Duration(i)*10*time.Microsecond
		log.WriteString(line([]string{"squeezenet-1", "squeezenet-2"}[i%2], 1, took))
	}
	log.WriteString("1\t7\t2\t11\t999\t1\t2\t3\tsqueezenet-1\t1\n") // TOO_LATE
	log.WriteString("1\t7\t1\t0\t999\t1\t2\t3\tsqueezenet-1\t1\n")  // LoadWeights
	log.WriteString("1\t7\t2\t0\t99")                               // cut off
	made, err := Export(stack(), "", nil, observe(t, log.String()))
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	h, err := Read(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	m := h.Find("zoo/cpu_squeezenet")
	if len(h.Models) != 1 || m == nil || m.Input != 602112 || m.Output != 4000 {
		t.Fatalf("%s", body)
	}
	if n := h.Network(m.Path); n.Execution(1) != 3*time.Millisecond || n.Execution(2) != 6*time.Millisecond || n.Input.Bytes() != 602112 || n.Weights != 5<<20 {
		t.Errorf("its network is %+v", n)
	}
	for p, want := range map[float64]time.Duration{0: 4 * time.Millisecond, 0.5: 4490 * time.Microsecond, 1: 4990 * time.Microsecond} {
		if took, ok := m.Took(1, p); !ok || took != want {
			t.Errorf("at %v an execution took %v, expected %v", p, took, want)
		}
		if took, ok := m.Took(2, p); !ok || took != 2*want {
			t.Errorf("at %v an execution of two took %v, expected %v by the profile", p, took, 2*want)
		}
	}
	if base, jitter := h.Messages(); base != 200*time.Microsecond || jitter != 0 {
		t.Errorf("messages take %v and %v", base, jitter)
	}
	profile := protocol.Profile{Infer: []protocol.BatchMeasurement{{Batch: 1}, {Batch: 4}}}
	m.Profile(&profile)
	if profile.Infer[0].P50 != 3*time.Millisecond || profile.Infer[1].P50 != 0 || profile.LoadWeights.P50 != time.Millisecond {
		t.Errorf("its profile is %+v", profile)
	}
	if h.Network("zoo/resnet50_v2") == nil || h.Network("zoo/nothing") != nil || (*Hardware)(nil).Network(m.Path).Execution(1) == 3*time.Millisecond {
		t.Error("what was not measured is not the zoo's")
	}
}

// TestExportSaysWhatItLacks instead of writing half of a stack.
func TestExportSaysWhatItLacks(t *testing.T) {
	for want, change := range map[string]func(m *protocol.ModelState){
		"no model called like":  func(m *protocol.ModelState) { m.Path = "mine" },
		"no profile yet":        func(m *protocol.ModelState) { m.Profile = nil },
		"several types of GPUs": func(m *protocol.ModelState) { m.Profile = append(m.Profile, m.Profile[0]) },
	} {
		models := stack()
		change(&models[0])
		if _, err := Export(models, "", nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("expected %q, got %v", want, err)
		}
	}
	if _, err := Export(stack(), "tpu", nil, nil); err == nil {
		t.Error("a type of GPU that is not there")
	}
	models := stack()
	models[0].Path = "mine"
	if h, err := Export(models, "cpu", map[string]string{"mine": "zoo/null"}, nil); err != nil || h.Find("zoo/null") == nil {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestSamplesAreEven: of very many, those that are kept are from all of the time.
func TestSamplesAreEven(t *testing.T) {
	var s samples
	const n = 1_000_000
	for i := range n {
		s.add(time.Duration(i))
	}
	if len(s.kept) > maxKept || len(s.kept) < maxKept/4 {
		t.Fatalf("%d are kept", len(s.kept))
	}
	if !slices.IsSorted(s.kept) || s.kept[0] > n/100 || s.kept[len(s.kept)-1] < n*98/100 || s.kept[len(s.kept)/2] < n*45/100 || s.kept[len(s.kept)/2] > n*55/100 {
		t.Errorf("of %d, %v to %v are kept, in the middle %v", n, s.kept[0], s.kept[len(s.kept)-1], s.kept[len(s.kept)/2])
	}
}

// valid is a small file.
const valid = `{"format":1,"models":[{"path":"zoo/null","input_bytes":4,"output_bytes":4,"weights_bytes":4,
"load_weights":{"samples":1,"min_ns":1,"p50_ns":1,"p99_ns":1,"max_ns":1},
"infer":[{"batch":1,"samples":1,"min_ns":1,"p50_ns":1,"p99_ns":1,"max_ns":1,"took_ns":[1,2,3]}]}],"to_worker_ns":[1,2]}`

// TestHostileFilesAreRefused with little memory.
func TestHostileFilesAreRefused(t *testing.T) {
	if _, err := Read(strings.NewReader(valid)); err != nil {
		t.Fatal(err)
	}
	for was, is := range map[string]string{
		`"format":1`:                    `"format":2`,
		`"path":"zoo/null"`:             `"path":"../../etc/passwd"`,
		`"batch":1`:                     `"batch":0`,
		`"took_ns":[1,2,3]`:             `"took_ns":[3,2,1]`,
		`"took_ns":[1,2,3],`:            `"took_ns":[1],`,
		`"to_worker_ns":[1,2]`:          `"to_worker_ns":[1,9000000000000000]`,
		`"input_bytes":4`:               `"input_bytes":-4`,
		`"weights_bytes":4`:             `"weights_bytes":9223372036854775807`,
		`"p50_ns":1,"p99_ns":1,"max_ns`: `"p50_ns":5,"p99_ns":1,"max_ns`,
		`"models":[`:                    `"models":[{"path":"zoo/null"},`,
		`[{"path"`:                      `[],"more":[{"path"`,
	} {
		if !strings.Contains(valid, was) {
			continue // of two spellings
		}
		if _, err := Read(strings.NewReader(strings.Replace(valid, was, is, 1))); err == nil {
			t.Errorf("%s is read", is)
		}
	}
	for _, b := range hostile.JSON() {
		hostile.Within(t, 64*len(b.Body)+1<<20, b.Name, func() {
			if _, err := Read(bytes.NewReader(b.Body)); err == nil {
				t.Errorf("%s is read", b.Name)
			}
		})
	}
	for name, log := range map[string]string{"empty": "", "another header": "a\tb\n", "a long line": header + strings.Repeat("x", 1<<20)} {
		if err := NewObserved().Read(strings.NewReader(log)); err == nil {
			t.Errorf("%s is read", name)
		}
	}
	for name, log := range map[string]string{"negative": line("m", 1, -5), "of no model": line("M M", 1, 5), "of no batch": line("m", 0, 5), "of years": line("m", 1, 1<<62)} {
		if o := observe(t, header+log); o.Executions != 0 {
			t.Errorf("an execution that is %s counts", name)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(valid))
	for _, body := range hostile.Seeds() {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		h, err := Read(bytes.NewReader(body))
		if err != nil {
			return
		}
		for i := range h.Models {
			m := &h.Models[i]
			if n := h.Network(m.Path); n == nil || n.Execution(1) <= 0 || n.Input.Bytes() != m.Input || n.Output.Bytes() != m.Output {
				t.Errorf("%+v makes the network %+v", m, n)
			}
			for batch := range 40 {
				if took, seen := m.Took(batch, 0.3); seen && took < 0 {
					t.Errorf("%d take %v", batch, took)
				}
			}
		}
		if h.ToWorker != nil {
			h.Messages()
		}
	})
}

func FuzzActionLog(f *testing.F) {
	f.Add([]byte(header + line("m", 1, 5)))
	f.Add([]byte(header + "\t\t\t"))
	f.Fuzz(func(t *testing.T, text []byte) {
		o := NewObserved()
		if o.Read(bytes.NewReader(text)) != nil {
			return
		}
		kept := 0
		for key, s := range o.infer {
			kept += len(s.kept)
			if key.batch < 1 || slices.Min(s.kept) <= 0 || slices.Max(s.kept) > protocol.MaxMeasured {
				t.Errorf("%+v took %v", key, s.kept)
			}
		}
		if kept > o.Executions || o.Executions > o.Lines {
			t.Errorf("%d of %d executions in %d lines", kept, o.Executions, o.Lines)
		}
	})
}
