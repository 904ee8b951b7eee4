package integration

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// TestG7AControllerThatSleptChangesNothing stops a controller (SIGSTOP) while a worker loads
// a model for it. Another one leads the stack to ACTIVE, with the model that the worker holds
// by then. The first one wakes with the worker's result before it, or with the time of the
// load over: it neither answers OK nor has the worker drop what is served.
func TestG7AControllerThatSleptChangesNothing(t *testing.T) {
	for what, timeout := range map[string]string{"the load goes on": "60s", "the load's time is over": "2s"} {
		t.Run(what, func(t *testing.T) {
			c := startCluster(t)
			c.controllerArgs = []string{"--load-idle", "1s", "--load-timeout", timeout}
			first := c.controller()
			w := c.worker("w1")
			c.awaitStage(protocol.AwaitingModels)
			c.load("zoo/resnet18_v2", 1)
			second := c.controller()
			c.service("profiler", "--profile-iterations", "3")
			c.service("scheduler")

			loads := make(chan struct{}, 100)
			sub, err := c.client.Conn().Subscribe("clockwork.worker.w1.action", func(m *nats.Msg) {
				actions, _ := wire.Actions.Decode(m.Data)
				for _, a := range actions {
					if a.Kind == protocol.LoadModelFromDisk {
						loads <- struct{}{}
					}
				}
			})
			c.must(err)
			c.must(c.client.Conn().Flush())
			w.freeze()
			answered := make(chan *protocol.Error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				one := 1
				_, fault := c.client.Load(ctx, protocol.LoadRequest{Path: "zoo/resnet50_v2", Copies: &one})
				answered <- fault
			}()
			select {
			case <-loads:
			case <-time.After(patience):
				t.Fatal("the worker is told nothing")
			}
			first.freeze()
			c.must(w.Signal(syscall.SIGCONT))
			_ = sub.Unsubscribe()
			c.awaitStage(protocol.Active)
			time.Sleep(2 * time.Second) // longer than a load may take
			c.must(first.Signal(syscall.SIGCONT))

			if fault := <-answered; fault == nil {
				t.Error("the load is answered OK by a controller that does not lead")
			}
			c.awaitLog(first, "leads now")
			state := c.activated()
			if len(state.Models) == 0 {
				t.Fatal("nothing is served")
			}
			for _, m := range state.Models {
				if _, fault := c.infer(m.Name, 5*time.Second, 0); fault != nil {
					t.Errorf("%s, which is served: %v", m.Name, fault)
				}
			}
			c.checkForward(t)
			if strings.Contains(second.Log(), "leads now") {
				t.Error("the second controller gave up")
			}
		})
	}
}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// awaitLog waits until a process has logged a text.
func (c *cluster) awaitLog(p *process, text string) {
	c.t.Helper()
	for end := time.Now().Add(patience); !strings.Contains(p.Log(), text); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("no %q within %v in\n%s", text, patience, p.Log())
		}
	}
}
