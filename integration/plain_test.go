package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/vmihailenco/msgpack/v5"
)

// TestAnyNATSClientWorks uses JSON and msgpack with plain nats.go, from the load
// to the outputs, and checks an error with its headers.
func TestAnyNATSClientWorks(t *testing.T) {
	s := startStack(t, quick())
	nc := s.plain()
	load := ask(t, nc, "clockwork.load", `{"path":"zoo/null","name":"tiny"}`)
	if fmt.Sprint(load["models"]) != "[tiny]" || load["input"] == nil || load["output"] == nil || load["batch_sizes"] == nil {
		t.Fatalf("load answered %v", load)
	}
	s.activated()

	numbers := make([]string, 64)
	for i := range numbers {
		numbers[i] = fmt.Sprint(i)
	}
	t.Run("JSON", func(t *testing.T) {
		body := `{"id":"j","parameters":{"slo_ms":5000},"inputs":[{"name":"input","shape":[1,64],"datatype":"FP32","data":[` + strings.Join(numbers, ",") + `]}]}`
		answer := ask(t, nc, "clockwork.infer.tiny", body)
		outputs, _ := answer["outputs"].([]any)
		if answer["id"] != "j" || answer["model_name"] != "tiny" || len(outputs) != 1 {
			t.Fatalf("answer %v", answer)
		}
		out := outputs[0].(map[string]any)
		if data, _ := out["data"].([]any); out["datatype"] != "FP32" || len(data) != 64 {
			t.Errorf("output %v", out)
		}
	})
	t.Run("msgpack", func(t *testing.T) {
		body, err := msgpack.Marshal(map[string]any{"id": "m", "parameters": map[string]any{"slo_ms": 5000},
			"inputs": []any{map[string]any{"name": "input", "shape": []int{2, 64}, "datatype": "FP32", "data": make([]byte, 512)}}})
		if err != nil {
			t.Fatal(err)
		}
		m, err := nc.Request("clockwork.infer.tiny", body, patience)
		if err != nil {
			t.Fatal(err)
		}
		var answer map[string]any
		if err := msgpack.Unmarshal(m.Data, &answer); err != nil {
			t.Fatal(err)
		}
		out := answer["outputs"].([]any)[0].(map[string]any)
		if answer["id"] != "m" || len(out["data"].([]byte)) != 512 {
			t.Errorf("answer %v", answer)
		}
	})
	t.Run("the SLO as a header", func(t *testing.T) {
		m := nats.NewMsg("clockwork.infer.tiny")
		m.Header.Set("Clockwork-Timeout", "never")
		m.Data = []byte(`{"inputs":[]}`)
		reply, err := nc.RequestMsg(m, patience)
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, reply, "INVALID_DEADLINE", "400")
	})
	t.Run("an error with its headers", func(t *testing.T) {
		reply, err := nc.Request("clockwork.infer.nobody", []byte(`{"inputs":[]}`), patience)
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, reply, "UNKNOWN_MODEL", "404")
	})
	t.Run("control endpoints are found", func(t *testing.T) {
		reply, err := nc.Request("$SRV.INFO.clockwork", nil, patience)
		if err != nil {
			t.Fatal(err)
		}
		for _, subject := range []string{"clockwork.load", "clockwork.ls", "clockwork.state"} {
			if !strings.Contains(string(reply.Data), subject) {
				t.Errorf("no endpoint %s in %s", subject, reply.Data)
			}
		}
	})
}

func wantError(t *testing.T, m *nats.Msg, code, number string) {
	t.Helper()
	var answer map[string]any
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		t.Fatal(err)
	}
	if got := codeOf(answer); got != code || m.Header.Get("Nats-Service-Error-Code") != number || m.Header.Get("Nats-Service-Error") == "" {
		t.Errorf("got %v with headers %v, want %s and %s", answer, m.Header, code, number)
	}
}

// TestTheDocumentedProgram runs the program in docs/clients.md. Its SLO is
// realistic; a busy machine may need a few attempts to meet it.
func TestTheDocumentedProgram(t *testing.T) {
	program, err := os.ReadFile("example/main.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(program), "package main\n")
	if !strings.Contains(string(page), strings.TrimSpace(shown)) {
		t.Error("docs/clients.md shows another program than integration/example/main.go")
	}
	s := startStack(t, quick())
	s.load("zoo/resnet50_v2", 1)
	s.activated()
	if _, refusal := s.infer("resnet50_v2", 5*time.Second, 0); refusal != nil { // the weights are there now
		t.Fatal(refusal)
	}
	for range 30 {
		out, err := exec.Command("go", "run", "./example", s.broker.ClientURL()).CombinedOutput()
		if err != nil && strings.Contains(string(out), " DEADLINE_") {
			continue
		}
		if err != nil || !strings.HasPrefix(string(out), "cat-1: output [1 1000], 4000 bytes") {
			t.Errorf("it printed %q, %v", out, err)
		}
		return
	}
	t.Error("its deadline was never met")
}
