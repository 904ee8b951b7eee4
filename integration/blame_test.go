package integration

import (
	"encoding/json"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// poisoned starts a stack of processes whose emulated GPUs crash on inputs that begin with
// "crash" and hang on those that begin with "hang", with zoo/null and zoo/null_4k.
func poisoned(t *testing.T, schedulerArgs ...string) (c *cluster, scheduler *process, workers []*process) {
	t.Helper()
	c = startCluster(t)
	c.workerArgs = append(c.workerArgs, "--crash-input", "crash", "--hang-input", "hang")
	c.controller()
	c.service("profiler", "--profile-iterations", "3")
	scheduler = c.service(append([]string{"scheduler"}, schedulerArgs...)...)
	workers = []*process{c.worker("w1"), c.worker("w2")}
	c.awaitState("two workers", func(s *protocol.StackState) bool { return len(s.Workers) == 2 })
	c.load("zoo/null", 1)
	c.load("zoo/null_4k", 1)
	c.awaitStage(protocol.Active)
	c.awaitState("both serve", func(s *protocol.StackState) bool { return s.GPUsServing == 2 })
	return c, scheduler, workers
}

// send sends a request whose input begins with a text. It is served unless the text is
// poison.
func (c *cluster) send(model, text string, slo time.Duration) *protocol.Error {
	bytes := 256
	if model == "null_4k" {
		bytes = 4096
	}
	data := make([]byte, bytes)
	copy(data, text)
	ms := float64(slo) / float64(time.Millisecond)
	_, refusal := c.client.Infer(c.t.Context(), model, &protocol.InferRequest{Parameters: protocol.InferParameters{SLOMS: &ms},
		Inputs: []protocol.Tensor{{Name: "input", Datatype: protocol.FP32, Shape: []int64{1, int64(bytes / 4)}, Data: data}}}, 0)
	return refusal
}

func ended(s *protocol.StackState) (executors uint32) {
	for _, w := range s.Workers {
		for _, g := range w.GPUs {
			executors += g.Executor
		}
	}
	return executors
}

func isStalled(s *protocol.StackState) (gpus int) {
	for _, w := range s.Workers {
		for _, g := range w.GPUs {
			if g.Stalled != "" {
				gpus++
			}
		}
	}
	return gpus
}

// A request that ends its executor takes that one alone, and is told not to come again; its
// batch mates are served. A model with many such requests is quarantined for a while.
func TestPoisonTakesOneExecutor(t *testing.T) {
	c, scheduler, workers := poisoned(t, "--quarantine-for", "5s", "--quarantine-after", "4")
	if refusal := c.send("null", "crash", patience); refusal == nil || refusal.Code != protocol.ExecutionCrashed || refusal.Retryable {
		t.Fatalf("poison is answered %v", refusal)
	}
	c.awaitState("one executor ended, and its GPU is back", func(s *protocol.StackState) bool {
		return ended(s) == 1 && isStalled(s) == 0 && s.GPUsServing == 2
	})

	const mates = 40
	var sending sync.WaitGroup
	var poison *protocol.Error
	refused := make([]*protocol.Error, mates)
	for i := range mates {
		sending.Go(func() { refused[i] = c.send("null", "good", patience) })
		if i == mates/2 {
			sending.Go(func() { poison = c.send("null", "crash", patience) })
		}
	}
	sending.Wait()
	for _, r := range refused {
		if r != nil {
			t.Errorf("a batch mate of poison is answered %v", r)
		}
	}
	if poison == nil || poison.Code != protocol.ExecutionCrashed {
		t.Errorf("poison among others is answered %v", poison)
	}
	back := func() {
		t.Helper()
		c.awaitState("the GPUs are back", func(s *protocol.StackState) bool { return isStalled(s) == 0 && s.GPUsServing == 2 })
	}
	back()
	if n := ended(c.awaitState("the state", func(*protocol.StackState) bool { return true })); n < 2 || n > 3 {
		t.Errorf("%d executors ended; one before, and the second poison may take two", n)
	}

	var last *protocol.Error
	for range 4 {
		last = c.send("null", "crash", patience)
		back()
		if last != nil && last.Code == protocol.ModelQuarantined {
			break
		}
	}
	if last = c.send("null", "good", patience); last == nil || last.Code != protocol.ModelQuarantined || !last.Retryable || last.RetryMS <= 0 {
		t.Errorf("after too many crashes a request of the model is answered %v", last)
	}
	if refusal := c.send("null_4k", "good", patience); refusal != nil {
		t.Errorf("a request of another model is answered %v", refusal)
	}
	c.await("an event about the quarantine", func(e protocol.Event) bool {
		return e.Kind == protocol.EventQuarantine && e.Model == "null"
	})
	if n := ended(c.awaitState("the state", func(*protocol.StackState) bool { return true })); n > 5 {
		t.Errorf("%d executors ended, of six requests of which one or two were not the first to be refused", n)
	}
	for end := time.Now().Add(patience); c.send("null", "good", patience) != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the quarantine does not end")
		}
	}
	for _, words := range []string{"an executor ended while it executed the model", "model quarantined", `"model":"null"`} {
		if !strings.Contains(scheduler.Log(), words) {
			t.Errorf("the scheduler's log does not have %q", words)
		}
	}
	for i, w := range workers {
		if code := w.terminate(); code != 0 {
			t.Errorf("worker %d ended with %d", i, code)
		}
	}
}

// A GPU that hangs is stalled, and everybody says so: requests of another model are served
// elsewhere, the hanging one is not run again, and the GPU comes back with another executor.
func TestAHangTakesOneGPUForAWhile(t *testing.T) {
	c, scheduler, _ := poisoned(t)
	hanging := make(chan *protocol.Error, 1)
	go func() { hanging <- c.send("null", "hang", patience) }()
	c.awaitState("a stalled GPU", func(s *protocol.StackState) bool { return isStalled(s) == 1 })
	for i := range 12 {
		if refusal := c.send("null_4k", "good", patience); refusal != nil {
			t.Errorf("request %d of another model is answered %v", i, refusal)
		}
	}
	if r := <-hanging; r == nil || r.Code != protocol.ExecutionCrashed || r.Retryable {
		t.Errorf("the hanging request is answered %v", r)
	}
	c.awaitState("the GPU is back", func(s *protocol.StackState) bool {
		return ended(s) == 1 && isStalled(s) == 0 && s.GPUsServing == 2
	})
	if n := strings.Count(scheduler.Log(), "GPU stalled"); n != 1 {
		t.Errorf("%d lines say that a GPU is stalled", n)
	}
	if !strings.Contains(scheduler.Log(), "GPU serves again") {
		t.Error("no line says that the GPU serves again")
	}
}

// While a GPU hangs that is never ended, state, top and healthcheck say so.
func TestAStalledGPUIsSeen(t *testing.T) {
	c := startCluster(t)
	c.workerArgs = append(c.workerArgs, "--hang-input", "hang", "--kill-overdue-floor", "10m")
	c.controller()
	c.rest("w1", "w2")
	c.awaitState("two workers", func(s *protocol.StackState) bool { return len(s.Workers) == 2 })
	c.load("zoo/null", 1)
	c.awaitStage(protocol.Active)
	c.awaitState("both serve", func(s *protocol.StackState) bool { return s.GPUsServing == 2 })
	hang := func() (answer chan *protocol.Error) {
		answer = make(chan *protocol.Error, 1)
		go func() { answer <- c.send("null", "hang", patience) }()
		return answer
	}
	first := hang()
	c.awaitState("a stalled GPU", func(s *protocol.StackState) bool { return isStalled(s) == 1 && s.GPUsServing == 1 })
	if r := <-first; r == nil || r.Code != protocol.ExecutionCrashed {
		t.Errorf("the first hanging request is answered %v", r)
	}
	if refusal := c.send("null", "good", patience); refusal != nil {
		t.Errorf("with one GPU stalled a request is answered %v", refusal)
	}
	ask := func(args ...string) (string, error) {
		out, err := exec.Command(binary, append(args, "--nats", c.url)...).CombinedOutput()
		return string(out), err
	}
	if out, err := ask("healthcheck"); err != nil || !strings.Contains(out, "1 GPU stalled") {
		t.Errorf("healthcheck: %v\n%s", err, out)
	}
	if out, err := ask("state"); err != nil || !strings.Contains(out, "is stalled: executes null for") {
		t.Errorf("state: %v\n%s", err, out)
	}
	out, err := ask("top", "--once", "--json")
	var seen struct {
		GPUs []struct {
			Stalled string `json:"stalled"`
		} `json:"gpus"`
	}
	if err != nil || json.Unmarshal([]byte(out), &seen) != nil || len(seen.GPUs) != 2 || (seen.GPUs[0].Stalled == "") == (seen.GPUs[1].Stalled == "") {
		t.Errorf("top: %v\n%s", err, out)
	}
	<-hang()
	c.awaitState("both GPUs stalled", func(s *protocol.StackState) bool { return isStalled(s) == 2 && s.GPUsServing == 0 })
	if r := c.send("null", "good", patience); r == nil || r.Code != protocol.DeadlineUnmeetable {
		t.Errorf("with all GPUs stalled a request is answered %v", r)
	}
	if out, err := ask("healthcheck"); err == nil || !strings.Contains(out, "every GPU that could is stalled") {
		t.Errorf("healthcheck with all GPUs stalled: %v\n%s", err, out)
	}
}
