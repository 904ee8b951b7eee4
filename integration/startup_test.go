package integration

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
)

// ask sends a JSON request as any NATS client would, and returns the answer.
func ask(t *testing.T, nc *nats.Conn, subject, body string) map[string]any {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		m, err := nc.Request(subject, []byte(body), patience)
		if err == nil {
			var answer map[string]any
			if err := json.Unmarshal(m.Data, &answer); err != nil {
				t.Fatalf("%s answered %q: %v", subject, m.Data, err)
			}
			return answer
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", subject, err)
		}
		time.Sleep(50 * time.Millisecond) // no subscriber yet
	}
}

// codeOf returns the code of an error answer, OK for any other.
func codeOf(answer map[string]any) string {
	if e, ok := answer["error"].(map[string]any); ok {
		return fmt.Sprint(e["code"])
	}
	return "OK"
}

// TestStartupPhase goes through the rules of the startup phase with a plain NATS
// client, on separate processes.
func TestStartupPhase(t *testing.T) {
	c := startCluster(t)
	nc := c.client.Conn()
	c.controllerArgs = []string{"--load-idle", "1s", "--buffer-timeout", "3s"}
	c.controller()
	c.rest("w1")

	t.Log("it waits for loads, and nothing times out")
	c.awaitStage(protocol.AwaitingModels)

	t.Log("a request before activation is kept, and answered when its time is over")
	sent := time.Now()
	early := ask(t, nc, "clockwork.infer.resnet18_v2", `{"inputs":[]}`)
	if code := codeOf(early); code != "BUFFER_TIMEOUT" || time.Since(sent) < 3*time.Second {
		t.Fatalf("answered %s after %v", code, time.Since(sent))
	}
	if got := c.stages(); slices.Contains(got, "LOADING") {
		t.Fatalf("stages %v without a load", got)
	}

	t.Log("each load begins the countdown anew")
	var lastLoad time.Time
	for i := range 4 {
		answer := ask(t, nc, "clockwork.load", fmt.Sprintf(`{"path":"zoo/resnet18_v2","name":"m%d"}`, i))
		if codeOf(answer) != "OK" {
			t.Fatalf("load %d: %v", i, answer)
		}
		lastLoad = time.Now()
		time.Sleep(500 * time.Millisecond) // less than load-idle, in total more
		if got := c.stages(); slices.Contains(got, "PROFILING") && time.Since(lastLoad) < time.Second {
			t.Fatalf("stages %v within %v of a load", got, time.Since(lastLoad))
		}
	}

	t.Log("a request that comes during startup is served after activation")
	buffered := make(chan map[string]any, 1)
	go func() {
		m, err := nc.Request("clockwork.infer.m2", []byte(`{"id":"kept","inputs":[],"parameters":{"slo_ms":5000}}`), patience)
		var answer map[string]any
		if err == nil {
			err = json.Unmarshal(m.Data, &answer)
		}
		if err != nil {
			t.Errorf("buffered request: %v", err)
		}
		buffered <- answer
	}()
	c.awaitStage(protocol.Profiling)
	if waited := time.Since(lastLoad); waited < time.Second {
		t.Errorf("profiling began %v after a load, load-idle is 1s", waited)
	}
	state := c.activated()
	answer := <-buffered
	parameters, _ := answer["parameters"].(map[string]any)
	if ms, _ := parameters["buffered_ms"].(float64); answer["id"] != "kept" || ms <= 0 {
		t.Errorf("the buffered request got %v", answer)
	}

	t.Log("loading is closed")
	if answer := ask(t, nc, "clockwork.load", `{"path":"zoo/resnet18_v2","name":"late"}`); codeOf(answer) != "LOADING_CLOSED" {
		t.Errorf("a late load: %v", answer)
	}

	t.Log("the stages came in order")
	want := []string{"QUERYING", "AWAITING_MODELS", "LOADING", "PROFILING", "ACTIVE"}
	if got := c.stages(); !slices.Equal(got, want) {
		t.Errorf("stages %v, want %v", got, want)
	}

	t.Log("every model has a profile with what the backend takes, at every batch size")
	checkProfiles(t, state)
}

// checkProfiles compares profiles with the zoo's times of resnet18_v2, at the
// workers' scale of 0.1. An emulated GPU is never faster; how much slower it
// appears depends on the machine.
func checkProfiles(t *testing.T, state *protocol.StackState) {
	t.Helper()
	const scale = 0.1
	transfer := 3810 * time.Microsecond
	exec := map[int]time.Duration{1: 1320 * time.Microsecond, 2: 1810 * time.Microsecond, 4: 2480 * time.Microsecond, 8: 4420 * time.Microsecond, 16: 7120 * time.Microsecond}
	least := func(d time.Duration) time.Duration { return time.Duration(float64(d) * scale) }
	if len(state.Models) != 4 {
		t.Errorf("%d models are served, want 4", len(state.Models))
	}
	for _, m := range state.Models {
		if len(m.Profile) != 1 || !m.Profile[0].Complete(m.ModelSpec) {
			t.Errorf("%s: profile %+v", m.Name, m.Profile)
			continue
		}
		p := m.Profile[0]
		if p.LoadWeights.Min < least(transfer) || p.LoadWeights.Samples != 3 {
			t.Errorf("%s: weights take %+v, a GPU takes %v", m.Name, p.LoadWeights, least(transfer))
		}
		for _, b := range p.Infer {
			if b.Min < least(exec[b.Batch]) || b.Samples != 3 {
				t.Errorf("%s: batch %d takes %+v, a GPU takes %v", m.Name, b.Batch, b.Measurement, least(exec[b.Batch]))
			}
		}
	}
}

// TestAControllerMayDieInEveryStage kills and restarts the controller: it
// continues where it was; no stage goes back, and the loaded models are served.
func TestAControllerMayDieInEveryStage(t *testing.T) {
	for _, stage := range []protocol.Stage{protocol.Querying, protocol.AwaitingModels, protocol.Loading, protocol.Profiling, protocol.Active} {
		t.Run(stage.String(), func(t *testing.T) {
			c := startCluster(t)
			c.controllerArgs = []string{"--load-idle", "1s"}
			c.workerArgs = []string{"--generate-inputs"} // at full scale profiling takes seconds
			first := c.controller()
			if stage == protocol.Querying {
				c.awaitStage(stage)
				first.Kill()
				first = c.controller()
			}
			c.rest("w1")
			c.awaitStage(protocol.AwaitingModels)
			if stage == protocol.AwaitingModels {
				first.Kill()
				first = c.controller()
			}
			c.load("zoo/resnet50_v2", 2)
			c.awaitStage(max(stage, protocol.Loading))
			if stage >= protocol.Loading {
				first.Kill()
				c.controller()
			}
			state := c.activated()
			if len(state.Models) != 2 {
				t.Errorf("%d models are served, want 2", len(state.Models))
			}
			if response, refusal := c.infer("resnet50_v2-2", 5*time.Second, 0); refusal != nil {
				t.Errorf("request: %v", refusal)
			} else if response.Parameters.BatchSize != 1 {
				t.Errorf("response %+v", response)
			}
			c.checkForward(t)
		})
	}
}

// checkForward fails if a stage was announced after a later one.
func (c *cluster) checkForward(t *testing.T) {
	t.Helper()
	last := protocol.Stage(0)
	for _, name := range c.stages() {
		stage, ok := protocol.ParseStage(name)
		if !ok || stage < last {
			t.Errorf("stages %v", c.stages())
			return
		}
		last = stage
	}
}

// TestG3ABufferedRequestSurvivesItsController checks that a request stored by
// one controller is submitted by the next.
func TestG3ABufferedRequestSurvivesItsController(t *testing.T) {
	c := startCluster(t)
	c.controllerArgs = []string{"--load-idle", "3s"}
	first := c.controller()
	c.rest("w1")
	c.awaitStage(protocol.AwaitingModels)
	c.load("zoo/resnet18_v2", 1)
	answered := make(chan *protocol.Error, 1)
	go func() {
		_, refusal := c.infer("resnet18_v2", 5*time.Second, patience)
		answered <- refusal
	}()
	c.awaitState("a buffered request", func(s *protocol.StackState) bool { return s.Buffered == 1 })
	first.Kill()
	c.controller()
	select {
	case refusal := <-answered:
		if refusal != nil {
			t.Errorf("the buffered request: %v", refusal)
		}
	case <-time.After(2 * patience):
		t.Fatal("the buffered request has no answer")
	}
}
