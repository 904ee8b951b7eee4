package integration

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clockwork/pkg/adapter/backend/zoo"
	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

var most = flag.Int("models", 0, "how many models TestTheMostModels loads (make models: 65,536)")

// mostWait bounds each step of TestTheMostModels.
const mostWait = 10 * time.Minute

// TestTheMostModels loads as many models as a stack may have, all of different names: as
// copies of 64 networks, and each by a load of its own; on brokers of 1 and of 8 MiB, each
// service in a process of its own. All that people ask a stack then has to answer, every
// service is killed and started again, and what it takes is logged.
func TestTheMostModels(t *testing.T) {
	if *most == 0 {
		t.Skip("takes minutes; make models runs it")
	}
	for _, payload := range []string{"1MiB", "8MiB"} {
		for _, way := range []struct {
			name string
			load func(*mostStack)
		}{{"copies", (*mostStack).loadCopies}, {"each", (*mostStack).loadEach}} {
			t.Run(payload+" "+way.name, func(t *testing.T) { newMost(t, payload).run(way.load) })
		}
	}
}

// mostStack is a stack of processes with very many models.
type mostStack struct {
	*cluster
	services map[string]*process
	metrics  string   // address of the controller's
	some     []string // models: the first, the middle and the last
}

var mostServices = []string{"nats", "controller", "front door", "scheduler-1", "scheduler-2", "profiler", "w1", "w2"}

func newMost(t *testing.T, payload string) *mostStack {
	s := &mostStack{cluster: startCluster(t, "--max-payload", payload), services: map[string]*process{}}
	s.services["nats"] = s.nats
	var err error
	if s.metrics, err = chaos.FreeAddress(); err != nil {
		t.Fatal(err)
	}
	for _, name := range mostServices[1:] {
		s.start(name)
	}
	s.awaitMost(func(state *protocol.StackState) bool { return state.WorkerCount == 2 })
	return s
}

// start starts a service, also again.
func (s *mostStack) start(name string) {
	s.t.Helper()
	switch name {
	case "controller":
		s.services[name] = s.service("controller", "--load-idle", "3s", "--front-door=false", "--log-level", "warn")
	case "front door":
		s.services[name] = s.service("frontdoor", "--metrics", s.metrics)
	case "scheduler-1", "scheduler-2":
		s.services[name] = s.service("scheduler")
	case "profiler":
		s.services[name] = s.service("profiler", "--profile-iterations", "2")
	default:
		s.services[name] = s.service("worker", "--name", name, "--log-level", "warn", "--gpus", "2", "--generate-inputs", "--scale", "0.001")
	}
}

// timed logs how long a step took.
func (s *mostStack) timed(step string, do func()) {
	s.t.Helper()
	began := time.Now()
	do()
	s.t.Logf("%-60s %8.2f s", step, time.Since(began).Seconds())
}

func (s *mostStack) run(load func(*mostStack)) {
	s.memory("idle")
	s.timed("every load is answered", func() { load(s) })
	s.timed("then: countdown of 3 s, profiles, ACTIVE", func() { s.awaitMost(s.serves) })
	s.timed("ls", s.list)
	s.timed("infer to the first, the middle and the last", s.inferSome)
	s.memory("serving")
	s.ask()
	s.again("w1", s.serves)
	s.again("controller", s.serves)
	s.again("front door", s.serves)
	s.again("scheduler-1", s.serves)
	s.again("scheduler-2", s.serves)
	s.again("profiler", s.serves)
	s.memory("at the end")
}

// loadCopies loads 64 networks, each as often as it has to.
func (s *mostStack) loadCopies() {
	paths := networks()
	var loads sync.WaitGroup
	for i, path := range paths {
		copies := (i+1)**most/len(paths) - i**most/len(paths)
		loads.Go(func() { s.loadOne(protocol.LoadRequest{Path: path, Copies: &copies}) })
	}
	loads.Wait()
}

// loadEach loads each model by itself, 64 at a time.
func (s *mostStack) loadEach() {
	var loads sync.WaitGroup
	var next atomic.Int64
	for range 64 {
		loads.Go(func() {
			for i := int(next.Add(1)) - 1; i < *most; i = int(next.Add(1)) - 1 {
				s.loadOne(protocol.LoadRequest{Path: networks()[i%64], Name: fmt.Sprintf("model-%05d", i)})
			}
		})
	}
	loads.Wait()
}

// networks are the zoo's that take time.
func networks() []string {
	return slices.DeleteFunc(zoo.Paths(), func(path string) bool {
		return strings.HasPrefix(path, "zoo/null") || strings.HasPrefix(path, zoo.Prefix+zoo.OnProcessor)
	})
}

func (s *mostStack) loadOne(r protocol.LoadRequest) {
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		_, refusal := s.client.Load(s.t.Context(), r)
		if refusal == nil {
			return
		}
		if refusal.Code != protocol.StateUnavailable || time.Now().After(end) { // the controller may not lead yet
			s.t.Errorf("load %s: %v", r.Path, refusal)
			return
		}
	}
}

// serves reports whether all models are served on all GPUs.
func (s *mostStack) serves(state *protocol.StackState) bool {
	return state.Stage == protocol.Active && state.Epoch != 0 && state.GPUsServing == 4 && state.WorkerCount == 2 && state.ModelCount == *most
}

func (s *mostStack) awaitMost(match func(*protocol.StackState) bool) {
	s.t.Helper()
	for end := time.Now().Add(mostWait); ; time.Sleep(20 * time.Millisecond) {
		state, refusal := s.client.Brief(s.t.Context())
		if refusal == nil && match(state) {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("not within %v: %+v, %v", mostWait, state, refusal)
		}
	}
}

func (s *mostStack) inferSome() {
	for _, model := range s.some {
		s.served(model)
	}
}

// ask runs what people ask a stack.
func (s *mostStack) ask() {
	for _, args := range [][]string{
		{"ls"}, {"ls", "--json"}, {"state"}, {"state", "--json"}, {"healthcheck"}, {"healthcheck", "--service", "worker", "--name", "w1"},
		{"top", "--once"}, {"top", "--once", "--json"}, {"explain"}, {"infer", s.some[2], "--slo", "1s"},
	} {
		var out, errors bytes.Buffer
		s.timed(fmt.Sprintf("clockwork %v", args), func() {
			command := exec.Command(binary, append(args, "--nats", s.url)...)
			command.Stdout, command.Stderr = &out, &errors
			if err := command.Run(); err != nil {
				s.t.Errorf("%v: %v\n%s", args, err, errors.String())
			}
		})
		s.t.Logf("%60s %8d bytes", "", out.Len())
	}
	s.timed("scrape /metrics of the front door", func() {
		answer, err := http.Get("http://" + s.metrics + "/metrics")
		if err != nil {
			s.t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		s.t.Logf("%60s %8d bytes, %v", "", len(body), err)
	})
}

// list reads all models.
func (s *mostStack) list() {
	list, refusal := s.client.Models(s.t.Context())
	if refusal != nil || len(list.Models) != *most || list.Total != *most {
		s.t.Fatalf("ls: %v", refusal)
	}
	s.some = []string{list.Models[0].Name, list.Models[*most/2].Name, list.Models[*most-1].Name}
}

// again kills a service, sees that the others go on, and starts it again.
func (s *mostStack) again(name string, back func(*protocol.StackState) bool) {
	s.services[name].Kill()
	if name != "front door" {
		s.timed("kill -9 "+name+"; until a request is served", func() { s.served(s.some[1]) })
	}
	s.timed("start "+name+"; until all is served by all", func() {
		s.start(name)
		time.Sleep(time.Second) // heartbeats of the killed one are over
		s.awaitMost(back)
	})
	s.inferSome()
}

// memory logs how much memory each process has.
func (s *mostStack) memory(when string) {
	text := ""
	for _, name := range mostServices {
		resident, err := s.services[name].Resident()
		if err != nil {
			s.t.Fatal(err)
		}
		text += fmt.Sprintf(" %s %.0f", name, mib(resident))
	}
	s.t.Logf("MiB %s:%s", when, text)
}
