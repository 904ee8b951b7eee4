//go:build linux && !static

package integration

import (
	bytesof "encoding/binary"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// ints are INT32 as raw data.
func ints(values ...int32) (data []byte) {
	for _, v := range values {
		data = bytesof.LittleEndian.AppendUint32(data, uint32(v))
	}
	return data
}

// wantSums wants the sums and differences of one or two items of ints 1 to 4 or 8, and tens of them.
func wantSums(t *testing.T, how string, outputs []protocol.Tensor, want ...[]byte) {
	t.Helper()
	if len(outputs) != len(want) {
		t.Errorf("%s: %d outputs", how, len(outputs))
		return
	}
	for i, w := range want {
		if !slices.Equal(outputs[i].Data, w) {
			t.Errorf("%s: %s %v is % x, want % x", how, outputs[i].Name, outputs[i].Shape, outputs[i].Data, w)
		}
	}
}

// TestSeveralInputsAndOutputsEverywhere sends two inputs to a real model in every way there is.
func TestSeveralInputsAndOutputsEverywhere(t *testing.T) {
	s, url := startTriton(t, tritonRepository(t), "simple")
	a, b := ints(1, 2, 3, 4), ints(10, 20, 30, 40)
	sum, difference := ints(11, 22, 33, 44), ints(-9, -18, -27, -36)
	first := protocol.Tensor{Name: "INPUT0", Datatype: protocol.Int32, Shape: []int64{1, 4}, Data: a}
	second := protocol.Tensor{Name: "INPUT1", Datatype: protocol.Int32, Shape: []int64{1, 4}, Data: b}
	request := `{"parameters":{"slo_ms":5000},"inputs":[{"name":"INPUT1","shape":[1,4],"datatype":"INT32","data":[10,20,30,40]},{"name":"INPUT0","shape":[1,4],"datatype":"INT32","data":[[1,2,3,4]]}]}`

	t.Run("the Go client, in any order", func(t *testing.T) {
		for _, inputs := range [][]protocol.Tensor{{first, second}, {second, first}} {
			r, refusal := s.inferWith("simple", inputs...)
			if refusal != nil {
				t.Fatal(refusal)
			}
			wantSums(t, "msgpack", r.Outputs, sum, difference)
		}
		slo := 5000.0
		r, refusal := s.client.Infer(t.Context(), "simple", &protocol.InferRequest{Inputs: []protocol.Tensor{first, second}, Outputs: []string{"OUTPUT1"}, Parameters: protocol.InferParameters{SLOMS: &slo}}, patience)
		if refusal != nil {
			t.Fatal(refusal)
		}
		wantSums(t, "one output", r.Outputs, difference)
	})
	t.Run("JSON on the broker", func(t *testing.T) {
		reply, err := s.client.Conn().Request("clockwork.infer.simple", []byte(request), patience)
		if err != nil {
			t.Fatal(err)
		}
		r, fault := wire.DecodeResponse(reply.Data)
		if fault != nil {
			t.Fatalf("%v: %s", fault, reply.Data)
		}
		wantSums(t, "JSON", r.Outputs, sum, difference)
	})
	t.Run("JSON over HTTP", func(t *testing.T) {
		status, body := postHTTP(t, url+"/v2/models/simple/infer", request)
		r, fault := wire.DecodeResponse([]byte(body))
		if status != http.StatusOK || fault != nil {
			t.Fatalf("%d %v: %s", status, fault, body)
		}
		wantSums(t, "JSON", r.Outputs, sum, difference)
	})
	t.Run("raw data over HTTP", func(t *testing.T) {
		status, header, body := overHTTP(t, http.MethodPost, url+"/v2/models/simple/infer", slices.Concat(a, b), wire.HeaderLength, "0")
		if status != http.StatusOK || !slices.Equal(body[len(body)-32:], slices.Concat(sum, difference)) {
			t.Errorf("%d %v %q", status, header, body)
		}
	})
	t.Run("the command line", func(t *testing.T) {
		dir := t.TempDir()
		write(t, slices.Concat(a, b), dir, "one")
		write(t, slices.Concat(a, ints(5, 6, 7, 8), b, ints(50, 60, 70, 80)), dir, "two")
		write(t, []byte(request), dir, "json")
		write(t, a, dir, "half")
		for _, c := range []struct{ args, says string }{
			{"infer simple --slo 5s --input one", "output OUTPUT0 INT32[1,4], 16 B\n    11 22 33 44\n  output OUTPUT1 INT32[1,4], 16 B\n    -9 -18 -27 -36\n"},
			{"infer simple --slo 5s --input json", "    11 22 33 44\n  output OUTPUT1 INT32[1,4], 16 B\n    -9 -18 -27 -36\n"},
			{"infer simple --slo 5s --input two", "    11 22 33 44\n    55 66 77 88\n  output OUTPUT1 INT32[2,4], 32 B\n    -9 -18 -27 -36\n    -45 -54 -63 -72\n"},
			{"infer simple --slo 5s --items 3", "output OUTPUT1 INT32[3,4]"},
			{"infer simple --slo 5s --input half", "!half holds 16 bytes: neither a request nor a multiple of the 32 bytes that an item of simple takes (INT32[4] INT32[4])"},
			{"ls", "INT32[4] INT32[4]"},
			{"bench fixed --model simple --copies 1 --rate 20 --length 1s --warmup 0s --slo 5s --payload random --json", `"simple"`},
			{"bench fixed --model simple --copies 1 --rate 20 --length 1s --warmup 0s --slo 5s --json --input one", `"simple"`},
		} {
			args := strings.Fields(strings.Replace(c.args, "--input ", "--input "+dir+"/", 1))
			out, err := exec.Command(binary, append(args, "--nats", s.client.Conn().ConnectedUrl())...).CombinedOutput()
			says, fails := strings.CutPrefix(c.says, "!")
			if (err != nil) != fails || !strings.Contains(string(out), says) {
				t.Errorf("%s: %v\n%s\nwant %s", c.args, err, out, says)
			}
			if strings.HasPrefix(c.args, "bench") {
				var report struct {
					Total struct {
						Offered, OK int
					}
				}
				if err := json.Unmarshal(out, &report); err == nil && (report.Total.OK == 0 || report.Total.OK != report.Total.Offered) {
					t.Errorf("%s: %s", c.args, out)
				}
			}
		}
	})
}

// TestExamples runs the programs of docs/examples as they are against a stack.
func TestExamples(t *testing.T) {
	models := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "run", "../docs/examples/simplemodel", models).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s, url := startTriton(t, models, "simple")
	host := strings.TrimPrefix(url, "http://")
	python := "python3"
	if *clientsIn != "" {
		python = filepath.Join(*clientsIn, "bin", "python")
	}
	for name, args := range map[string][]string{
		"Python, standard library": {python, "../docs/examples/infer.py", url},
		"Python, tritonclient":     {python, "../docs/examples/infer_tritonclient.py", host},
		"JavaScript":               {"node", "../docs/examples/infer.mjs", url},
		"Go, net/http":             {"go", "run", "../docs/examples/gohttp", url},
		"Go, pkg/client":           {"go", "run", "../docs/examples/goclient", s.client.Conn().ConnectedUrl()},
	} {
		t.Run(name, func(t *testing.T) {
			if *clientsIn == "" && strings.Contains(name, "tritonclient") {
				t.Skip("needs Python packages; make clients installs and runs it")
			}
			runExample(t, args...)
		})
	}
}

// runExample runs a program, which shows both outputs, and what a refusal looks like.
func runExample(t *testing.T, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(args[0]); err != nil {
		t.Skipf("this example needs %s: %v", args[0], err)
	}
	out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
	text := strings.ReplaceAll(string(out), ",", "")
	for _, says := range []string{"OUTPUT0: [11 22 33 44]", "OUTPUT1: [-9 -18 -27 -36]", "after ", "within 1 us: DEADLINE_"} {
		if err != nil || !strings.Contains(text, says) {
			t.Errorf("%v: %v, without %q\n%s", args, err, says, out)
		}
	}
}
