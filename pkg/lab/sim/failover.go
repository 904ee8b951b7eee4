package sim

import (
	"math/rand/v2"
	"time"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/protocol"
)

// outage is the state while no scheduler is running.
type outage struct {
	died      protocol.Time   // when the scheduler died
	slow      time.Duration   // how long this takeover takes after its detection
	took      []time.Duration // the duration of each takeover, from the scheduler's death
	deadStats sched.Stats     // sums over dead schedulers
}

// failover kills the scheduler. The standby detects it by the rules of package
// liveness and takes over after a further delay of length.
func (t *faultInjector) failover(_ *rand.Rand, length time.Duration) {
	s := t.world
	if !s.serving() {
		return
	}
	s.report.Faults.Failovers++
	s.died, s.slow = s.now, length
	s.end()
}

// sleep has the scheduler stand still. A standby that takes it for dead takes over
// meanwhile; then two think that they lead.
func (t *faultInjector) sleep(_ *rand.Rand, length time.Duration) {
	s := t.world
	if !s.serving() || s.stopped > s.now {
		return
	}
	s.report.Faults.Sleeps++
	s.slow = 0
	s.stopped = s.now.Add(length)
	s.undisturbedSince = max(s.undisturbedSince, s.stopped)
}

// withDead adds the counts of a dead scheduler to sum.
func withDead(sum, last sched.Stats) sched.Stats {
	sum.Submitted += last.Submitted
	sum.Succeeded += last.Succeeded
	sum.Refused += last.Refused
	sum.Answered += last.Answered
	sum.Forgotten += last.Forgotten + last.Queued + last.InFlight
	sum.Duplicates += last.Duplicates
	sum.Replanned += last.Replanned
	sum.Strays += last.Strays
	sum.Lost += last.Lost
	return sum
}

// takeOver gives the lease to the standby, which waits for its activation.
func (s *world) takeOver() {
	core, err := policies.New(s.config.Policy, s.config.Core)
	if err != nil {
		panic(err) // the same config worked before
	}
	before := s.scheduler
	s.undisturbedSince = max(s.undisturbedSince, s.now)
	s.elect(core)
	if before.dead {
		s.took = append(s.took, s.now.Sub(s.died))
	} else {
		s.report.Faults.TwoLed++
		before.deposed = true
		s.deposed = append(s.deposed, before)
		before.wakeDeposed()
		s.later(max(0, before.stopped.Sub(s.now))+between(s.faults.heartbeatRNG, 0, liveness.RenewEvery), before.end)
	}
	s.controller.beat(s.controller.term, s.now)
}

// serve handles the scheduler's activation. The first activation starts the
// workload.
func (s *world) serve() {
	if s.begun {
		s.faults.schedulerBeat()
		return
	}
	s.begin()
}
