package integration

import (
	"fmt"
	"testing"
	"time"

	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

// inOneProcess is a stack of two of each service in this process, where the race detector
// sees them, each behind a proxy of its own. Its requests take longer than they have, so that
// some are in flight at every moment.
type inOneProcess struct {
	*stack
	proxies map[string]*chaos.Proxy
	stops   map[string]func()
	starts  map[string]func() func()
}

func startInOneProcess(t *testing.T, loadIdle time.Duration) *inOneProcess {
	config := quick()
	config.controller.LoadIdle = loadIdle
	config.controller.NoClients = true // front doors are apart
	config.scale, config.gpus = 1, 2
	s := &inOneProcess{stack: startBroker(t, config), proxies: map[string]*chaos.Proxy{}, stops: map[string]func(){}}
	s.starts = map[string]func() func(){
		"controller": s.startController, "front door": s.startFrontDoor, "profiler": s.startProfiler, "scheduler": s.startScheduler,
		"worker": func() func() { return s.startWorker("w1") }, "second worker": func() func() { return s.startWorker("w2") },
	}
	for _, name := range []string{"controller", "front door", "profiler", "scheduler", "worker", "second worker"} {
		s.start(name)
	}
	s.awaitStage(protocol.AwaitingModels)
	s.awaitState("two workers", func(v *protocol.StackState) bool { return len(v.Workers) == 2 })
	for _, name := range []string{"standby controller", "standby profiler", "standby scheduler"} {
		s.starts[name] = s.starts[name[len("standby "):]]
		s.start(name)
	}
	return s
}

func (s *inOneProcess) start(name string) {
	s.proxies[name], s.stops[name] = s.proxied(s.starts[name])
}

// restart stops a service and starts it again.
func (s *inOneProcess) restart(name string) {
	s.stops[name]()
	s.start(name)
}

func (s *inOneProcess) traffic(rate float64, slo time.Duration) *chaos.Traffic {
	s.t.Helper()
	traffic, err := chaos.StartTraffic(s.broker.ClientURL(), chaos.Load{Models: []string{"resnet50_v2-1", "resnet50_v2-2"}, Rate: rate, SLO: slo})
	if err != nil {
		s.t.Fatal(err)
	}
	return traffic
}

// once checks that each request got one answer, except for those that were on their way to a
// front door whose connection broke at an instant, 0 for none: the broker has no copy.
func once(t *testing.T, what string, outcomes []chaos.Outcome, broke time.Duration) {
	t.Helper()
	codes := map[protocol.Code]int{}
	for i, o := range outcomes {
		onItsWay := broke > 0 && o.At > broke-readWithin && o.At < broke+readWithin
		if o.Replies > 1 || o.Replies == 0 && !onItsWay {
			t.Errorf("%s: request %d of %v has %d answers, the first %s at %v", what, i, o.At, o.Replies, o.Code, o.Answered)
		}
		codes[o.Code]++
	}
	t.Logf("%s: %d requests, answered %v", what, len(outcomes), codes)
}

// TestG1EveryRequestIsAnsweredOnceWhateverConnectionBreaks breaks the connections of each
// service for 0.4 s, which is longer than the 20 requests and more that are in flight have:
// no worker is heard meanwhile. Whoever owns their answers then gives them, and nobody else.
func TestG1EveryRequestIsAnsweredOnceWhateverConnectionBreaks(t *testing.T) {
	const slo = 300 * time.Millisecond
	s := startInOneProcess(t, 500*time.Millisecond)
	s.load("zoo/resnet50_v2", 2)
	s.activated()
	for _, name := range []string{"front door", "scheduler", "worker", "controller"} {
		for round := range 2 {
			traffic := s.traffic(100, slo)
			s.flows(traffic, 20)
			s.proxies["worker"].Cut()
			s.proxies["second worker"].Cut()
			time.Sleep(slo - 50*time.Millisecond)
			began := time.Since(traffic.Began)
			s.proxies[name].Break()
			time.Sleep(400 * time.Millisecond)
			for _, p := range s.proxies {
				p.Heal()
			}
			s.flows(traffic, 20)
			outcomes := traffic.Stop(patience)
			broke := time.Duration(0)
			if name == "front door" || name == "controller" { // the controller runs one too
				broke = began
			}
			once(t, fmt.Sprintf("%s, %d", name, round+1), outcomes, broke)
			inFlight := 0
			for _, o := range outcomes {
				if o.At < began && o.Answered > began {
					inFlight++
				}
			}
			if inFlight < 20 {
				t.Errorf("%d requests were in flight: this proves little", inFlight)
			}
		}
	}
}

// flows waits until so many more requests are served.
func (s *inOneProcess) flows(traffic *chaos.Traffic, more int) {
	s.t.Helper()
	for from, end := traffic.OK(), time.Now().Add(patience); traffic.OK() < from+more; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%d requests more are served within %v", traffic.OK()-from, patience)
		}
	}
}

// TestFailoversInOneProcess has requests wait for activation while their controller stops and
// the next one takes over the buffer, then stops each leader, and each other service, under
// load. make race runs it.
func TestFailoversInOneProcess(t *testing.T) {
	s := startInOneProcess(t, 3*time.Second)
	s.load("zoo/resnet50_v2", 2)
	early := s.traffic(100, 5*time.Second)
	s.awaitState("requests that wait", func(v *protocol.StackState) bool { return v.Buffered > 10 })
	s.restart("controller")
	s.activated()
	s.flows(early, 20)
	for _, name := range []string{"scheduler", "standby scheduler", "standby controller", "worker", "profiler"} {
		s.restart(name)
		s.activated()
		s.awaitState("two workers", func(v *protocol.StackState) bool { return len(v.Workers) == 2 })
		s.flows(early, 20)
	}
	once(t, "failovers", early.Stop(patience), 0)
}
