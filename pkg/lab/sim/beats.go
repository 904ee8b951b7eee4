package sim

import (
	"fmt"
	"time"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/core/liveness"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
)

// beats sends and watches heartbeats in a run with faults: every process follows
// the rules of package liveness, over the same network as all other messages.
// The watchers themselves are never paused here.
type beats struct {
	way     networkModel        // delays of heartbeats
	standby *liveness.Candidate // for the scheduler's lease
	taking  bool                // a takeover is under way
}

// standbyID is the id of the only candidate.
const standbyID = "standby"

// storeTime is the duration of a lease's compare-and-swap.
const storeTime = 2 * time.Millisecond

// startBeats starts the heartbeats, the watchers and the standby.
func (t *faultInjector) startBeats() {
	s := t.world
	t.way = networkModel{s.config.Network, t.heartbeatRNG}
	t.standby = liveness.NewCandidate(standbyID)
	every := s.config.pace.heartbeat
	for _, h := range s.hosts {
		t.each(every, h.beat)
	}
	t.startDoors()
	t.each(every, t.schedulerBeat)
	t.each(every, func() { s.schedulers(func(x *scheduler) { x.step(&sched.HeartbeatDue{}) }) })
	t.each(every, t.frontDoorWatches)
	t.each(every, func() {
		s.controller.workers.tick()
		s.controller.profiler.workers.tick()
	})
	t.each(every, func() {
		s.sendCall(nil, t.way.delay(), func() { t.standby.Step(liveness.Heard{ID: standbyID}) })
	})
	t.each(s.config.pace.campaign, t.campaign)
}

// each calls do periodically, first at a random time within one period, but not
// while the workload is over and the scheduler knows of every worker how it is.
func (t *faultInjector) each(every time.Duration, do func()) {
	var next func()
	next = func() {
		if !t.world.over() || !t.world.together() {
			do()
		}
		t.world.background(every, next)
	}
	t.world.background(between(t.heartbeatRNG, 0, every), next)
}

// beat sends a worker's heartbeat.
func (h *host) beat() {
	s := h.world
	if h.silent() {
		return
	}
	h.Step(&work.Tick{}) // as the service does with each heartbeat
	beat := h.Core.Heartbeat()
	beat.Service, beat.ID = protocol.Worker, h.ID()
	sent := s.now
	s.sendCall(h, s.faults.way.delay(), func() {
		if !s.scheduler.silent() {
			h.heard = max(h.heard, sent)
		}
		s.controller.workers.heard(beat)
		s.controller.profiler.workers.heard(beat)
		s.schedulers(func(x *scheduler) { x.step(&sched.WorkerBeat{Heartbeat: beat}) })
	})
}

// schedulerID is the id of the scheduler with this epoch.
func schedulerID(epoch uint64) string { return fmt.Sprintf("s%d", epoch) }

// schedulerBeat sends the schedulers' heartbeats to the front door, to the standby and to
// each other.
func (t *faultInjector) schedulerBeat() { t.world.schedulers(t.beatOf) }

func (t *faultInjector) beatOf(x *scheduler) {
	s := t.world
	if x.silent() || x.disconnectedUntil > s.now {
		return
	}
	beat, active := x.heartbeat(), x.serving()
	s.sendCall(nil, t.way.delay(), func() {
		t.standby.Step(liveness.Heard{ID: beat.ID})
		for _, d := range s.doors {
			if !d.away() {
				d.watch.Beat(beat) // no id has another incarnation
			}
		}
		if active && s.begun {
			s.frontDoorsHear(beat)
		}
		s.schedulers(func(other *scheduler) {
			if other.epoch != beat.Epoch {
				other.step(&sched.SchedulerBeat{Heartbeat: beat})
			}
		})
	})
}

// heartbeat returns what the scheduler's service would send.
func (x *scheduler) heartbeat() protocol.Heartbeat {
	h := x.term.Heartbeat(x.world.now)
	h.Service, h.ID, h.Incarnation = protocol.Scheduler, schedulerID(x.epoch), x.epoch
	return h
}

// frontDoorWatches reports lost schedulers to the front door.
func (t *faultInjector) frontDoorWatches() {
	for _, d := range t.world.doors {
		for _, c := range d.watch.Tick() {
			d.step(&frontdoor.SchedulerLost{Heartbeat: c.Heartbeat})
		}
	}
}

// campaign lets the standby read the lease.
func (t *faultInjector) campaign() {
	s := t.world
	if bid := t.standby.Step(liveness.LeaseRead{Held: true, Holder: schedulerID(s.epoch), Revision: s.epoch}); !bid.Take || t.taking {
		return
	}
	t.taking = true
	s.later(storeTime+s.slow, func() {
		t.taking = false
		s.takeOver()
	})
}
