package integration

import (
	"flag"
	"fmt"
	"syscall"
	"testing"
	"time"

	"clockwork/pkg/client"
	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

var starts = flag.Int("starts", 6, "how often TestWhatAProcessLeftNeverStopsItsNextStart starts a stack again (make starts: 200)")

// startedStack is `clockwork up` on a data directory, started again and again.
type startedStack struct {
	t    *testing.T
	url  string
	args []string
}

// start runs the stack until it is in a stage.
func (s *startedStack) start(stage protocol.Stage) (*process, *client.Client) {
	s.t.Helper()
	p := startProcess(s.t, s.args...)
	var last any
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		select {
		case <-p.Done():
			code := p.wait()
			s.t.Fatalf("the stack ended by itself with exit code %d:\n%s", code, p.Log())
		default:
		}
		c, err := client.Connect(s.url, "")
		if err != nil {
			last = err
			continue
		}
		state, refusal := c.State(s.t.Context())
		if refusal == nil && state.Stage == stage && (stage != protocol.Active || state.GPUsServing == 2) {
			return p, c
		}
		last = fmt.Sprintf("%+v, %v", state, refusal)
		c.Close()
	}
	s.t.Fatalf("the stack is not %s: %v\n%s", stage, last, p.Log())
	return nil, nil
}

// TestWhatAProcessLeftNeverStopsItsNextStart ends a stack by SIGINT and SIGKILL in turns,
// while it serves or soon after its start, and starts it again on what it kept: it must
// neither end by itself nor wait for ever.
func TestWhatAProcessLeftNeverStopsItsNextStart(t *testing.T) {
	t.Parallel()
	address, err := chaos.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	s := &startedStack{t, "nats://" + address, []string{"up", "--listen", address, "--data", t.TempDir(), "--gpus", "2",
		"--load-idle", "300ms", "--profile-iterations", "2", "--generate-inputs", "--scale", "0.1"}}
	p, c := s.start(protocol.AwaitingModels)
	copies := 12
	if _, refusal := c.Load(t.Context(), protocol.LoadRequest{Path: "zoo/resnet18_v2", Copies: &copies}); refusal != nil {
		t.Fatal(refusal)
	}
	c.Close()
	for i := range *starts {
		if i > 0 {
			p, c = s.start(protocol.Active)
			model := fmt.Sprintf("resnet18_v2-%d", 1+i%copies)
			slo := float64(patience.Milliseconds())
			request := &protocol.InferRequest{Parameters: protocol.InferParameters{SLOMS: &slo}}
			if _, refusal := c.Infer(t.Context(), model, request, patience); refusal != nil {
				t.Fatalf("start %d: %v\n%s", i, refusal, p.Log())
			}
			c.Close()
		}
		if i%2 == 0 {
			p.Kill()
			continue
		}
		if err := p.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if code := p.wait(); code != 0 {
			t.Fatalf("start %d ended with %d:\n%s", i, code, p.Log())
		}
	}
}
