package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/backend/emulated"
	"clockwork/pkg/adapter/backend/zoo"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/services/worker"
)

// manyModels is a number of models whose names alone do not fit into a message of 64 KiB,
// nor what is known of them into ten.
const manyModels = 20_000

// TestManyModelsOnABrokerOfSmallMessages loads more models than fit into a message, restarts
// a worker and the controller, and asks for all of it. Copies of twenty networks, so that
// copies are neighbours by name and others are not.
func TestManyModelsOnABrokerOfSmallMessages(t *testing.T) {
	t.Parallel()
	config := quick()
	config.pages, config.scale = 1376, 0
	s := startSmallBroker(t, config, 64<<10)
	stop := s.startController()
	s.startProfiler()
	s.startScheduler()
	stopWorker := s.startManyWorker("w1")
	s.startManyWorker("w2")
	paths := zoo.Paths()
	for i := range 20 {
		if reply := s.load(paths[i*3], manyModels/20); len(reply.Models) != manyModels/20 || reply.Copies != manyModels/20 {
			t.Fatalf("load %s: %d names of %d copies", paths[i*3], len(reply.Models), reply.Copies)
		}
	}
	check := func(when string) {
		t.Helper()
		s.awaitBrief(when, func(st *protocol.StackState) bool {
			return st.Stage == protocol.Active && st.Epoch != 0 && st.GPUsServing == 2 && st.WorkerCount == 2
		})
		state, refusal := s.client.State(t.Context())
		if refusal != nil {
			t.Fatal(refusal)
		}
		if len(state.Models) != manyModels || state.ModelCount != manyModels || state.WorkerCount != 2 || state.Next != "" {
			t.Errorf("%s: the state shows %d of %d models, %d of %d workers", when, len(state.Models), state.ModelCount, len(state.Workers), state.WorkerCount)
		}
		for _, w := range state.Workers {
			if len(w.Lacks) > 0 {
				t.Errorf("%s: %s lacks %d models, first %+v", when, w.ID, len(w.Lacks), w.Lacks[0])
			}
		}
		list, refusal := s.client.Models(t.Context())
		if refusal != nil || len(list.Models) != manyModels || list.Total != manyModels {
			t.Fatalf("%s: ls: %v", when, refusal)
		}
		if !slices.IsSortedFunc(list.Models, func(a, b protocol.ModelState) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("%s: ls is not sorted by name", when)
		}
		if brief, refusal := s.client.Brief(t.Context()); refusal != nil || brief.ModelCount != manyModels || len(brief.Models) > 0 {
			t.Errorf("%s: the brief state: %+v, %v", when, brief, refusal)
		}
		for _, i := range []int{0, manyModels / 2, manyModels - 1} {
			s.served(list.Models[i].Name)
		}
	}
	check("at first")
	stop()
	s.startController()
	check("after a restart of the controller")
	stopWorker()
	s.awaitBrief("one worker", func(st *protocol.StackState) bool { return st.WorkerCount == 1 })
	s.startManyWorker("w1")
	check("after a restart of a worker")
}

// awaitBrief polls the numbers of the stack's state until they match.
func (s *stack) awaitBrief(what string, match func(*protocol.StackState) bool) {
	s.t.Helper()
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(50 * time.Millisecond) {
		state, refusal := s.client.Brief(s.t.Context())
		if refusal == nil && match(state) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not within %v; state %+v, error %v", what, 2*patience, state, refusal)
		}
	}
}

// served asks a model until it answers: its worker may just have joined.
func (s *stack) served(model string) {
	s.t.Helper()
	slo := 5000.0
	var refusal *protocol.Error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if _, refusal = s.client.Infer(s.t.Context(), model, &protocol.InferRequest{Parameters: protocol.InferParameters{SLOMS: &slo}}, patience); refusal == nil {
			return
		}
	}
	s.t.Errorf("%s is not served: %v", model, refusal)
}

func (s *stack) startManyWorker(name string) (stop func()) {
	config := worker.DefaultConfig(name, func([]string) (backend.Backend, error) {
		options := emulated.Defaults(name)
		options.Scale = 0.001 // durations that can be measured
		return emulated.New(options)
	})
	config.GenerateInputs = true
	service, err := worker.New(config, s.bus())
	return s.run("worker "+name, service, err)
}

// startSmallBroker is startBroker with a broker that carries messages of this size at most.
func startSmallBroker(t *testing.T, config stackConfig, payload int) *stack {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	text := fmt.Sprintf("host: 127.0.0.1\nport: -1\nmax_payload: %d\njetstream { store_dir: %q }\n", payload, t.TempDir())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return withBroker(t, config, bus.ServerConfig{ConfigFile: file})
}
