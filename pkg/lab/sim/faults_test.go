package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// faulty runs 12 models on 2 workers of 2 GPUs for 4 s, with everything checked
// that can be.
func faulty(t *testing.T, seed uint64, change func(c *Config)) *Report {
	t.Helper()
	c := Defaults("clockwork")
	c.Workers, c.GPUs, c.Pages, c.Seed, c.Thorough = 2, 2, 41, seed, true
	change(&c)
	w, err := workload.Named("open", workload.Options{Seed: seed, Length: 4 * time.Second, Copies: 12, Rate: 700, SLO: workload.Within(60 * time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newWorld(c, w)
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	s.run(nil)
	s.checkRest()
	if s.err != nil {
		t.Fatalf("%v\n%+v\n%v", s.err, c.Faults, s.core)
	}
	checkMirror(t, s)
	s.finish()
	return s.report
}

// checkMirror compares what the scheduler believes of each GPU, as it draws
// itself, with what the GPU holds (G6). Nothing is under way any more.
func checkMirror(t *testing.T, s *world) {
	t.Helper()
	mirror, gpu := map[string][]string{}, ""
	for _, line := range strings.Split(s.core.String(), "\n") {
		fields := strings.Fields(line)
		switch {
		case strings.Contains(line, " gpu "):
			gpu = fields[0] + " " + fields[2]
			mirror[gpu] = nil
		case strings.HasSuffix(line, " busy"):
			mirror[gpu] = append(mirror[gpu], fields[0]+" "+strings.TrimSuffix(fields[1], ","))
		}
	}
	for _, h := range s.hosts {
		for _, g := range h.GPUs {
			var want []string
			for _, model := range h.Core.Resident(g.ID) {
				want = append(want, model+" resident")
			}
			held, known := mirror[fmt.Sprintf("%s#%d %d", h.ID(), h.Incarnation(), g.ID)]
			slices.Sort(held)
			if !known || !slices.Equal(held, want) {
				t.Errorf("seed %d: %v holds %v, the scheduler believes %v", s.config.Seed, g, want, held)
			}
		}
	}
}

func often(length time.Duration) FaultTiming {
	return FaultTiming{Every: 400 * time.Millisecond, For: length}
}

// Each fault alone: the test shows that it did happen while there was work, and
// the run that every guarantee held.
func TestEachFaultHappensAndNoGuaranteeIsBroken(t *testing.T) {
	for _, row := range []struct {
		name   string
		faults Faults
		hit    func(h FaultCounts) bool
	}{
		{"loss", Faults{Loss: 0.02}, func(h FaultCounts) bool { return h.Lost > 50 }},
		{"duplicates", Faults{Duplicate: 0.02}, func(h FaultCounts) bool { return h.Doubled > 50 }},
		{"reordering", Faults{Reorder: 0.05, ReorderBy: 20 * time.Millisecond}, func(h FaultCounts) bool { return h.Reordered > 50 }},
		{"kills that are noticed", Faults{Kill: often(1500 * time.Millisecond)}, func(h FaultCounts) bool {
			return h.Kills > 1 && h.Voided > 0 && h.Dropped > 0 && h.Missed > 0 && h.Joined > 2
		}},
		{"kills of a moment", Faults{Kill: often(30 * time.Millisecond)}, func(h FaultCounts) bool { return h.Kills > 1 && h.Voided > 0 && h.Joined > 2 }},
		{"pauses", Faults{Pause: often(300 * time.Millisecond)}, func(h FaultCounts) bool { return h.Pauses > 1 && h.Held > 10 }},
		{"long pauses", Faults{Pause: often(1500 * time.Millisecond)}, func(h FaultCounts) bool { return h.Pauses > 1 && h.Missed > 0 && h.Joined > 2 }},
		{"cuts", Faults{Cut: often(200 * time.Millisecond)}, func(h FaultCounts) bool { return h.Cuts > 1 && h.Silenced > 10 }},
		{"long cuts", Faults{Cut: often(1500 * time.Millisecond)}, func(h FaultCounts) bool { return h.Cuts > 1 && h.Missed > 0 && h.Joined > 2 }},
		{"slow GPUs", Faults{Slow: often(300 * time.Millisecond)}, func(h FaultCounts) bool { return h.Slowdowns > 1 && h.Slowed > 10 }},
		{"hung GPUs", Faults{Hang: often(200 * time.Millisecond)}, func(h FaultCounts) bool { return h.Hangs > 1 && h.Stuck > 0 }},
		{"schedulers", Faults{Scheduler: FaultTiming{Every: 1500 * time.Millisecond, For: 300 * time.Millisecond}}, func(h FaultCounts) bool {
			return h.Failovers > 0 && h.Waited > 10 && h.Joined > 2
		}},
		{"schedulers that stand still", Faults{Sleep: FaultTiming{Every: 1500 * time.Millisecond, For: 900 * time.Millisecond}}, func(h FaultCounts) bool {
			return h.Sleeps > 0 && h.TwoLed > 0
		}},
		{"front doors", Faults{FrontDoor: FaultTiming{Every: 600 * time.Millisecond, For: 300 * time.Millisecond}}, func(h FaultCounts) bool {
			return h.FrontDoors > 2 && h.DoorCuts > 0 && h.Owed > 2
		}},
		{"brokers", Faults{Broker: FaultTiming{Every: 1500 * time.Millisecond, For: 200 * time.Millisecond}}, func(h FaultCounts) bool {
			return h.Brokers > 0 && h.Unanswered > 0
		}},
		{"clocks", Faults{Offset: time.Hour, Drift: 100e-6}, func(h FaultCounts) bool { return h.ClockError > 0 && h.ClockError < 2*time.Millisecond }},
	} {
		hit := false
		for seed := uint64(1); seed <= 3; seed++ {
			r := faulty(t, seed, func(c *Config) { c.Faults = row.faults })
			hit = hit || row.hit(r.Faults)
			t.Logf("%s, seed %d: %.3f in SLO, %v, %+v", row.name, seed, r.Share(), r.Failures, r.Faults)
			if r.Share() < 0.1 {
				t.Errorf("%s, seed %d: only %.3f of the requests in SLO", row.name, seed, r.Share())
			}
		}
		if !hit {
			t.Errorf("%s: it did not happen, the test proves nothing", row.name)
		}
	}
}

// A request with time enough survives the scheduler that had it: the front door
// submits it to the next one.
func TestG7RequestsInFlightSurviveTheirScheduler(t *testing.T) {
	for _, withStartup := range []bool{false, true} {
		again, stale := 0, 0
		for seed := uint64(1); seed <= 5; seed++ {
			c := Defaults("clockwork")
			c.Workers, c.GPUs, c.Pages, c.Seed, c.Thorough = 2, 2, 41, seed, true
			c.Faults.Scheduler = FaultTiming{Every: 2 * time.Second, For: 300 * time.Millisecond}
			c.Startup.On = withStartup
			o := workload.Options{Seed: seed, Length: 5 * time.Second, Copies: 12, Rate: 300, SLO: workload.Within(5 * time.Second)}
			r := named(t, c, "open", o)
			again, stale = again+r.Faults.Resubmitted, stale+r.Failures[protocol.StaleEpoch]
			if r.OK() != r.Offered {
				t.Errorf("seed %d: %d of %d OK, %v; all have 5 s", seed, r.OK(), r.Offered, r.Codes)
			}
		}
		if again < 100 {
			t.Errorf("%d requests were submitted again, the test proves nothing", again)
		}
		t.Logf("startup %v: %d submitted again, %d actions of an old epoch refused", withStartup, again, stale)
	}
}

// TestG7AStandbyTakesOverAsSoonAsInProduction: the same rule of silence, and not the
// lease's time to live. The services measure 0.4 to 0.7 s (docs/adr/0012).
func TestG7AStandbyTakesOverAsSoonAsInProduction(t *testing.T) {
	earliest := (liveness.TakeoverBeats - 2) * protocol.HeartbeatEvery
	latest := (liveness.TakeoverBeats+1)*protocol.HeartbeatEvery + liveness.CampaignEvery
	takeovers := 0
	for seed := uint64(1); seed <= 5; seed++ {
		c := Defaults("clockwork")
		c.Seed = seed
		c.Faults.Scheduler = FaultTiming{Every: 2 * time.Second, For: time.Millisecond}
		w, err := workload.Named("open", workload.Options{Seed: seed, Length: 10 * time.Second, Copies: 2, Rate: 100})
		if err != nil {
			t.Fatal(err)
		}
		s, err := newWorld(c, w)
		if err != nil {
			t.Fatal(err)
		}
		s.start()
		s.run(nil)
		for _, took := range s.took {
			takeovers++
			if took < earliest || took > latest {
				t.Errorf("seed %d: taken over after %v, expected %v to %v", seed, took, earliest, latest)
			}
		}
	}
	if takeovers < 10 {
		t.Errorf("%d takeovers, the test proves nothing", takeovers)
	}
}

func TestWorldsOfDrawnFaultsKeepEveryGuarantee(t *testing.T) {
	var sum FaultCounts
	for seed := uint64(1); seed <= 30; seed++ {
		for _, policy := range []string{"clockwork", "simple"} {
			r := faulty(t, seed, func(c *Config) {
				c.Policy, c.Faults = policy, DrawFaults(seed, 4*time.Second)
				c.Startup.On = seed%3 == 0
				c.Pages = []int{13, 20, 27, 41}[seed%4] // a model takes 7: up to 20 copies have room, or 4
			})
			f := r.Faults
			sum.Lost, sum.Doubled, sum.Reordered = sum.Lost+f.Lost, sum.Doubled+f.Doubled, sum.Reordered+f.Reordered
			sum.Kills, sum.Pauses, sum.Cuts = sum.Kills+f.Kills, sum.Pauses+f.Pauses, sum.Cuts+f.Cuts
			sum.Slowed, sum.Stuck, sum.Restarts = sum.Slowed+f.Slowed, sum.Stuck+f.Stuck, sum.Restarts+f.Restarts
			sum.Failovers, sum.TwoLed, sum.Resigned = sum.Failovers+f.Failovers, sum.TwoLed+f.TwoLed, sum.Resigned+f.Resigned
			sum.FrontDoors, sum.DoorCuts, sum.Owed, sum.Brokers = sum.FrontDoors+f.FrontDoors, sum.DoorCuts+f.DoorCuts, sum.Owed+f.Owed, sum.Brokers+f.Brokers
		}
	}
	t.Logf("%+v", sum)
	if sum.Lost < 100 || sum.Doubled < 100 || sum.Reordered < 100 || sum.Kills < 10 || sum.Pauses < 10 || sum.Cuts < 10 ||
		sum.Slowed < 100 || sum.Stuck < 10 || sum.Restarts < 3 || sum.Failovers < 10 || sum.TwoLed < 5 || sum.Resigned == 0 ||
		sum.FrontDoors < 10 || sum.DoorCuts < 3 || sum.Owed < 3 || sum.Brokers < 5 {
		t.Errorf("too little happened, the test proves nothing: %+v", sum)
	}
}

// Where nothing goes wrong the scheduler's mirror is right at every moment: no
// worker refuses anything because of what is or is not on its GPUs.
func TestG6WithoutFaultsNoWorkerIsAskedForWhatItCannotDo(t *testing.T) {
	evictions := 0
	for seed := uint64(1); seed <= 8; seed++ {
		for _, policy := range []string{"clockwork", "faithful", "simple"} {
			r := faulty(t, seed, func(c *Config) { c.Policy, c.Pages = policy, []int{13, 20, 27}[seed%3] })
			for _, code := range []protocol.Code{protocol.WeightsMissing, protocol.WeightsInUse, protocol.AlreadyLoaded, protocol.StaleIncarnation, protocol.InvalidBatch} {
				if n := r.Failures[code]; n > 0 {
					t.Errorf("%s, seed %d: %d actions were %s", policy, seed, n, code)
				}
			}
			for _, g := range r.GPUs {
				evictions += g.Evicted
			}
		}
	}
	if evictions < 100 {
		t.Errorf("%d evictions, the test proves nothing", evictions)
	}
}

func TestG10TheSameSeedGivesTheSameHistoryWithFaults(t *testing.T) {
	all, err := ParseFaults("all,loss=1%,kill=1s:500ms,pause=1s,cut=1s,slow=1s,hang=1s,controller=2s")
	if err != nil {
		t.Fatal(err)
	}
	with := func(seed uint64) uint64 {
		return faulty(t, seed, func(c *Config) { c.Faults, c.Startup = all, Startup{On: true, Early: 20} }).Hash
	}
	if first, again := with(5), with(5); first != again {
		t.Errorf("two runs of one seed: %x and %x", first, again)
	}
	if with(5) == with(6) {
		t.Error("another seed gives the same history")
	}
}

// A seed for each concern: what is drawn for one fault does not change with
// another.
func TestOneFaultMoreLeavesTheOthersWhereTheyWere(t *testing.T) {
	kills := Faults{Kill: FaultTiming{Every: time.Second, For: 500 * time.Millisecond}}
	more := kills
	more.Slow = often(100 * time.Millisecond)
	a := faulty(t, 4, func(c *Config) { c.Faults = kills })
	b := faulty(t, 4, func(c *Config) { c.Faults = more })
	if a.Faults.Kills == 0 || a.Faults.Kills != b.Faults.Kills || b.Faults.Slowdowns == 0 {
		t.Errorf("%d kills alone, %d with %d slow GPUs beside", a.Faults.Kills, b.Faults.Kills, b.Faults.Slowdowns)
	}
}

func TestFaultsAreReadAsTheyAreWritten(t *testing.T) {
	f, err := ParseFaults("loss=0.5%, reorder=2%:7ms, kill, pause=3s, clock=20ms:50ppm")
	want := Faults{
		Loss: 0.005, Reorder: 0.02, ReorderBy: 7 * time.Millisecond, Kill: FaultTiming{20 * time.Second, time.Second},
		Pause: FaultTiming{3 * time.Second, 300 * time.Millisecond}, Offset: 20 * time.Millisecond, Drift: 50e-6,
	}
	if err != nil || f != want {
		t.Errorf("%+v, %v", f, err)
	}
	for text, says := range map[string]string{
		"": "expected all", "fire": "expected all, or some of loss", "loss=1": "loss=0.1%", "loss=80%": "from 0% to 50%", "kill=often": "kill=20s:1s",
		"kill=1ms": "at most every 100ms", "clock=1s:2": "ppm", "pause=1s:2h": "for at most 1m0s", "all=1%": "no fault", "loss=NaN%": "50%",
	} {
		if _, err := ParseFaults(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, expected an error with %q", text, err, says)
		}
	}
	if f, err := ParseFaults("all"); err != nil || f.Loss == 0 || f.Controller.Every == 0 || f.Drift == 0 {
		t.Errorf("all: %+v, %v", f, err)
	}
}

// Poison ends one executor after the other, and never more than two for one request; what
// never ends has its executor ended. Each is answered, none is OK, and the rest is served.
func TestPoisonIsPlayed(t *testing.T) {
	run := func() *Report {
		return faulty(t, 5, func(c *Config) {
			c.Faults = Faults{Poison: 0.002, Endless: 0.001, ExecutorAfter: 200 * time.Millisecond}
		})
	}
	r := run()
	f := r.Faults
	if f.Poisoned == 0 || f.Endless == 0 || r.Codes[protocol.ExecutionCrashed] == 0 {
		t.Fatalf("too little poison, the test proves nothing: %+v, %v", f, r.Codes)
	}
	poison := int(0.003 * float64(r.Offered) * 3) // three times as many as are expected
	if f.Poisoned > 2*poison {
		t.Errorf("%d executors ended, of %d requests", f.Poisoned, r.Offered)
	}
	if r.Codes[protocol.OK] < r.Offered/3 {
		t.Errorf("%d of %d requests were served: %v", r.Codes[protocol.OK], r.Offered, r.Codes)
	}
	if again := run(); again.Hash != r.Hash {
		t.Error("G10: two runs differ")
	}
}
