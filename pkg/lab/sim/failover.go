package sim

import (
	"math/rand/v2"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// outage is what there is while no scheduler works.
type outage struct {
	dead bool            // there is none, so nothing reaches it
	died protocol.Time   // when
	slow time.Duration   // how long a standby takes to take over this time
	took []time.Duration // each takeover, from the death on
	past sched.Stats     // of those that died
}

// askAgain is how long a run without a controller waits for workers to answer.
const askAgain = time.Second

// failover kills the scheduler. The standby notices by the rule of all candidates,
// and takes over so long after it.
func (t *faultInjector) failover(_ *rand.Rand, length time.Duration) {
	s := t.world
	if !s.serving() {
		return
	}
	s.report.Faults.Failovers++
	s.past = forgotten(s.past, s.core.Stats())
	s.dead, s.died, s.slow, s.wake = true, s.now, length, protocol.Never
}

// forgotten adds up what schedulers counted that are no more.
func forgotten(sum, last sched.Stats) sched.Stats {
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

// takeOver has a standby hold the lease and wait for its activation.
func (s *world) takeOver() {
	core, err := sched.New(s.config.Policy, s.config.Core)
	if err != nil {
		panic(err) // it was made before
	}
	s.core = core
	s.elect()
	s.took = append(s.took, s.now.Sub(s.died))
	if s.controller != nil {
		s.controller.beat(s.controller.term, s.now)
		return
	}
	s.later(s.network.delay(), s.activateAnew)
}

// activateAnew gives a new scheduler the workers that answer; the others are
// announced when they are heard again.
func (s *world) activateAnew() {
	state := s.withoutWorkers()
	for _, h := range s.hosts {
		if !h.silent() {
			state.Workers = append(state.Workers, h.state())
		}
	}
	if len(state.Workers) == 0 {
		s.later(askAgain, s.activateAnew)
		return
	}
	s.later(s.network.delay(), func() { s.activate(state) })
}

// serve says that the scheduler is active. The workload begins with the first.
func (s *world) serve() {
	if s.begun {
		s.faults.schedulerBeat()
		return
	}
	s.begin()
}
