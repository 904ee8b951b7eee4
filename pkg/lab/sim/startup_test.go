package sim

import (
	"testing"
	"time"

	"clockwork/pkg/core/measure"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// started runs 12 models on 2 workers of 2 GPUs after a startup.
func started(t *testing.T, change func(c *Config)) *Report {
	t.Helper()
	return faulty(t, 1, func(c *Config) {
		c.Startup.On = true
		change(c)
	})
}

func TestAStartupLoadsCountsDownAndMeasures(t *testing.T) {
	r := started(t, func(*Config) {})
	s := r.Startup
	if s.Loads != 1 || s.Measured != 6*measure.DefaultConfig().Iterations { // 12 copies of one model: its weights and 5 batch sizes
		t.Errorf("%d loads, %d measured actions", s.Loads, s.Measured)
	}
	if s.Took < 10*time.Second || s.Took > 15*time.Second {
		t.Errorf("activation after %v; the countdown is 10 s", s.Took)
	}
	if r.Share() < 0.99 || r.Took > 5*time.Second || len(r.Series) > 5 {
		t.Errorf("%.3f in SLO, %v and %d windows: expected the workload's 4 s alone", r.Share(), r.Took, len(r.Series))
	}
}

// The scheduler plans with what was measured. On GPUs of less exact times that
// is not what is true.
func TestProfilesAreMeasuredNotTrue(t *testing.T) {
	exact := started(t, func(c *Config) { c.Noise.Spread = 0 })
	if exact.Startup.Error != 0 {
		t.Errorf("profiles of exact GPUs are wrong by %v", exact.Startup.Error)
	}
	var given protocol.ClockworkState
	r := started(t, func(c *Config) {
		c.Noise.Spread = 0.1
		c.Observe = func(_ protocol.Time, e sched.Event, _ *sched.Output) {
			if a, is := e.(*sched.Activate); is {
				given = a.State
			}
		}
	})
	if r.Startup.Error < 0.005 || r.Startup.Error > 0.3 {
		t.Errorf("profiles of GPUs with a spread of 10 %% are wrong by %v", r.Startup.Error)
	}
	if len(given.Profiles) != 1 || len(given.Models) != 12 || given.Profiles[0].LoadWeights.Samples != measure.DefaultConfig().Iterations || !given.Profiles[0].Complete(given.Models[0]) {
		t.Fatalf("the scheduler was given %+v", given)
	}
	for _, m := range append(given.Profiles[0].Infer, protocol.BatchMeasurement{Measurement: given.Profiles[0].LoadWeights}) {
		if m.P99 <= m.P50 || m.P99 >= m.Max { // the simulator's own profiler rounded it up to the largest
			t.Errorf("the 99th percentile of 10 samples lies between the two largest: %+v", m)
		}
	}
}

func TestG3EarlyRequestsAreAnsweredOrHandedOnInOrder(t *testing.T) {
	last, submitted := uint64(0), 0
	r := started(t, func(c *Config) {
		c.Startup.Early = 50
		c.Network.Jitter = 0 // else messages overtake each other
		c.Observe = func(_ protocol.Time, e sched.Event, _ *sched.Output) {
			if s, is := e.(*sched.Submit); is && submitted < 100 {
				if submitted++; s.ID.Seq <= last {
					t.Errorf("request %d is submitted after %d", s.ID.Seq, last)
				}
				last = s.ID.Seq
			}
		}
	})
	s := r.Startup
	if s.TimedOut < 20 || s.HandedOn < 300 || s.Early != s.TimedOut+s.HandedOn {
		t.Errorf("%d early requests: %d timed out, %d handed on", s.Early, s.TimedOut, s.HandedOn)
	}
	if s.OK == 0 || s.OK > s.HandedOn {
		t.Errorf("%d of %d that were handed on were OK", s.OK, s.HandedOn)
	}
	sum := 0
	for _, n := range r.Codes {
		sum += n
	}
	if sum != r.Offered {
		t.Errorf("%d offered, %d answered: early requests are not among them", r.Offered, sum)
	}
}

// A controller that is restarted in every stage goes on in the one that is
// stored, and the countdown begins anew.
func TestTheControllerMayBeRestartedInAnyStage(t *testing.T) {
	for _, stage := range []protocol.Stage{protocol.Querying, protocol.AwaitingModels, protocol.Loading, protocol.Profiling, protocol.Active} {
		hit := 0
		for seed := uint64(1); seed <= 10; seed++ {
			if restartIn(t, stage, seed) {
				hit++
			}
		}
		if hit < 5 {
			t.Errorf("%d of 10 were restarted in %v, the test proves little", hit, stage)
		}
	}
}

// restartIn restarts the controller a while after a stage began; false if it was
// over then.
func restartIn(t *testing.T, stage protocol.Stage, seed uint64) (hit bool) {
	t.Helper()
	c := Defaults("clockwork")
	c.Workers, c.Seed, c.Thorough, c.Startup = 2, seed, true, Startup{On: true, Early: 5}
	w, err := workload.Named("open", workload.Options{Seed: seed, Length: time.Second, Copies: 6, Rate: 100})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newWorld(c, w)
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	d := newRNG(seed, 99)
	wait := map[protocol.Stage]time.Duration{protocol.Loading: 10 * time.Second, protocol.Profiling: 200 * time.Millisecond}[stage]
	restart := func() {
		hit = s.controller.store.stage == stage
		s.controller.stop()
		s.later(between(d, time.Millisecond, time.Second), s.controller.start)
	}
	var watch func()
	watch = func() {
		if s.controller.store.stage < stage {
			s.later(100*time.Microsecond, watch)
			return
		}
		s.later(between(d, 0, wait), restart)
	}
	watch()
	s.run(nil)
	s.checkRest()
	if s.err != nil || s.report.OK() < 50 || s.controller.store.stage != protocol.Active {
		t.Fatalf("%v, seed %d: %v, %d OK, now %v", stage, seed, s.err, s.report.OK(), s.controller.store.stage)
	}
	return hit
}

func TestWorkersMayComeAndGoDuringStartup(t *testing.T) {
	kills, late := 0, 0
	for seed := uint64(1); seed <= 10; seed++ {
		r := faulty(t, seed, func(c *Config) {
			c.Workers, c.GPUs = 3, 1
			c.Startup.On = true
			c.Faults.Kill = FaultTiming{Every: 8 * time.Second, For: time.Second}
		})
		kills += r.Faults.Kills
		if r.Startup.Took > 20*time.Second {
			late++ // a catch-up began the countdown anew
		}
	}
	if kills < 10 || late == 0 {
		t.Errorf("%d kills, %d of the startups took longer: the test proves nothing", kills, late)
	}
}

// A lost load, or the lost result of one, is sent again; without that the names
// could not be loaded any more, and the startup would never end.
func TestLoadsAndTheirResultsMayBeLost(t *testing.T) {
	lost := 0
	for seed := uint64(1); seed <= 10; seed++ {
		r := faulty(t, seed, func(c *Config) {
			c.Workers, c.GPUs = 3, 1
			c.Startup.On = true
			c.Faults.Loss = 0.3
		})
		lost += r.Faults.Lost
		if r.Startup.Took > startupFaults.Sub(0)+measure.DefaultConfig().ActionTimeout+5*time.Second { // the last loss may be a measurement's
			t.Errorf("seed %d: activation after %v", seed, r.Startup.Took)
		}
	}
	if lost < 100 {
		t.Errorf("%d messages were lost: the test proves nothing", lost)
	}
}
