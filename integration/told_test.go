package integration

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"clockwork/pkg/protocol"
)

// says runs a command of the binary and returns what it prints.
func (c *cluster) says(args ...string) string {
	out, _ := exec.Command(binary, append(args, "--nats", c.url)...).CombinedOutput() // its exit code is not at issue
	return string(out)
}

// A stage that waits for a profiler says so everywhere, and goes on when one comes. A stack
// whose workers can hold no model is neither ready nor healthy; one whose pages are of another
// size than those that were loaded serves.
func TestWhatIsMissingIsTold(t *testing.T) {
	c := startCluster(t)
	c.controllerArgs = append(c.controllerArgs, "--front-door=false")
	controller := c.controller()
	_, ready := c.frontDoorWithProbe()
	c.service("scheduler")
	w := c.worker("w1")
	c.awaitState("a worker", func(s *protocol.StackState) bool { return len(s.Workers) == 1 })
	c.load("zoo/resnet18_v2", 1)
	const missing = "no profiler is connected; start one with clockwork profiler"
	c.awaitState("no profiler", func(s *protocol.StackState) bool {
		return s.Stage == protocol.Profiling && s.Profiler == protocol.ServiceAbsent && s.Blocked == missing
	})
	if well, says := c.healthy(); well || !strings.Contains(says, missing) {
		t.Errorf("healthcheck: %s", says)
	}
	for _, args := range [][]string{{"state"}, {"infer", "resnet18_v2", "--wait-timeout", "1ms"}} {
		if says := c.says(args...); !strings.Contains(says, missing) {
			t.Errorf("%s says nothing of a profiler: %s", args[0], says)
		}
	}
	c.awaitLog(controller, missing)
	c.service("profiler", "--profile-iterations", "3")
	c.awaitStage(protocol.Active)
	ready.await(http.StatusOK, "ready")

	again := func(args ...string) {
		t.Helper()
		w.Kill()
		c.awaitState("no worker", func(s *protocol.StackState) bool { return len(s.Workers) == 0 })
		w = c.service(append([]string{"worker", "--name", "w1"}, append(c.workerArgs, args...)...)...)
		c.awaitState("the worker", func(s *protocol.StackState) bool { return len(s.Workers) == 1 })
	}
	again("--pages", "1") // it takes three
	c.awaitState("a model that nobody holds", func(s *protocol.StackState) bool { return s.ModelsUnavailable == 1 && s.ModelsServed == 1 })
	ready.await(http.StatusServiceUnavailable, "no served model is held by a GPU in service")
	if well, says := c.healthy(); well || !strings.Contains(says, "no served model is held") {
		t.Errorf("healthcheck: %s", says)
	}

	again("--page-size", "1MiB")
	ready.await(http.StatusOK, "ready")
	if s := c.awaitState("the worker", func(s *protocol.StackState) bool { return len(s.Workers) == 1 }); len(s.Workers[0].Lacks) > 0 {
		t.Errorf("with pages of another size it lacks %+v", s.Workers[0].Lacks)
	}
	if _, refusal := c.infer("resnet18_v2", patience, patience); refusal != nil {
		t.Errorf("with pages of another size: %v", refusal)
	}
	if well, says := c.healthy(); !well {
		t.Errorf("healthcheck: %s", says)
	}
}
