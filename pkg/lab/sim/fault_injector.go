package sim

import (
	"math/rand/v2"
	"time"

	"clockwork/pkg/core/work"
	"clockwork/pkg/core/work/virtual"
	"clockwork/pkg/protocol"
)

// faultInjector injects the Faults of a run.
type faultInjector struct {
	Faults
	world                    *world
	loss, duplicate, reorder *rand.Rand
	beats
	heartbeatRNG *rand.Rand
	doorRNG      *rand.Rand // who gets a request
}

// startupFaults is how long faults are injected before activation: later ones
// could restart the countdown for ever.
const startupFaults = protocol.Time(30 * time.Second)

// newFaultInjector schedules the faults of a run.
func newFaultInjector(s *world) *faultInjector {
	f, seed := s.config.Faults, s.config.Seed
	t := &faultInjector{
		Faults: f, world: s, loss: newRNG(seed, seedOfLoss), duplicate: newRNG(seed, seedOfDuplicates),
		reorder: newRNG(seed, seedOfReordering), heartbeatRNG: newRNG(seed, seedOfHeartbeats),
		doorRNG: newRNG(seed, seedOfDoors),
	}
	t.plan(f.Kill, newRNG(seed, seedOfKills), t.kill)
	t.plan(f.Pause, newRNG(seed, seedOfPauses), t.pause)
	t.plan(f.Cut, newRNG(seed, seedOfCuts), t.cut)
	t.plan(f.Slow, newRNG(seed, seedOfSlowGPUs), t.slow)
	t.plan(f.Hang, newRNG(seed, seedOfHangs), t.hang)
	t.plan(f.Scheduler, newRNG(seed, seedOfFailovers), t.failover)
	t.plan(f.FrontDoor, newRNG(seed, seedOfDoorDeaths), t.killDoor)
	t.plan(f.Broker, newRNG(seed, seedOfBrokers), t.restartBroker)
	t.plan(f.Sleep, newRNG(seed, seedOfSleeps), t.sleep)
	if s.controller != nil {
		t.plan(f.Controller, newRNG(seed, seedOfRestarts), t.restart)
	}
	return t
}

// plan schedules a recurring fault.
func (t *faultInjector) plan(of FaultTiming, d *rand.Rand, happen func(d *rand.Rand, length time.Duration)) {
	if of.Every == 0 {
		return
	}
	var next func()
	next = func() {
		t.world.background(max(time.Millisecond, exponential(d, of.Every)), func() {
			if t.world.over() {
				return
			}
			if length := max(time.Millisecond, between(d, 0, 2*of.For)); !t.healed() {
				happen(d, length)
			}
			next()
		})
	}
	next()
}

func exponential(d *rand.Rand, mean time.Duration) time.Duration {
	return time.Duration(d.ExpFloat64() * float64(mean))
}

// healed reports whether no more faults are injected.
func (t *faultInjector) healed() bool {
	s := t.world
	switch {
	case !s.begun:
		return s.now > startupFaults
	case s.length > 0:
		return s.now >= s.zero.Add(s.length)
	}
	return s.over()
}

// carry delivers a message from or to worker h (nil: no worker) after d, with
// the faults: the message may be lost, duplicated or delayed.
func (t *faultInjector) carry(h *host, d time.Duration, e event) {
	s, counts := t.world, &t.world.report.Faults
	if s.brokerBack > s.now {
		counts.Lost++
		if h != nil {
			h.missed = s.now
		}
		return
	}
	if h != nil && h.cutOff > s.now {
		counts.Silenced++
		h.missed = s.now
		return
	}
	if !t.healed() {
		if t.Loss > 0 && t.loss.Float64() < t.Loss {
			counts.Lost++
			if h != nil {
				h.missed = s.now
			}
			return
		}
		if t.Duplicate > 0 && t.duplicate.Float64() < t.Duplicate {
			counts.Doubled++
			s.after(d+exponential(t.duplicate, 5*time.Millisecond), e)
		}
		if t.Reorder > 0 && t.reorder.Float64() < t.Reorder {
			counts.Reordered++
			d += exponential(t.reorder, t.ReorderBy)
		}
	}
	s.after(d, e)
}

// holds reports whether an event must not happen now: it waits until its paused
// worker continues, or is lost with its dead worker. Events of a paused worker
// happen when it continues, in the same order.
func (t *faultInjector) holds(e event) bool {
	var h *host
	switch of := e.of.(type) {
	case *sent:
		h = of.to
	case *virtual.Run:
		h = of.GPU.Worker.World().(*host)
	case *host:
		h = of
	}
	if h == nil || e.kind == dispatched || e.kind == answered {
		return false
	}
	switch {
	case h.down && (e.kind == ordered || e.kind == staged):
		t.world.report.Faults.Dropped++
		return true
	case h.stopped > t.world.now:
		t.world.report.Faults.Held++
		t.world.after(h.stopped.Sub(t.world.now), e)
		return true
	}
	return false
}

// healthy draws a worker, nil if a fault has hit that worker.
func (t *faultInjector) healthy(d *rand.Rand) *host {
	h := t.world.hosts[d.IntN(len(t.world.hosts))]
	if h.silent() {
		return nil
	}
	return h
}

func (t *faultInjector) kill(d *rand.Rand, length time.Duration) {
	h := t.healthy(d)
	if h == nil {
		return
	}
	counts := &t.world.report.Faults
	counts.Kills++
	counts.Voided += h.Core.InFlight()
	h.die()
	t.world.later(length, func() {
		h.down = false
		h.beat()
	})
}

func (t *faultInjector) pause(d *rand.Rand, length time.Duration) {
	if h := t.healthy(d); h != nil {
		t.world.report.Faults.Pauses++
		h.stopped = t.world.now.Add(length)
	}
}

func (t *faultInjector) cut(d *rand.Rand, length time.Duration) {
	if h := t.healthy(d); h != nil {
		t.world.report.Faults.Cuts++
		h.cutOff = t.world.now.Add(length)
	}
}

func (t *faultInjector) gpu(d *rand.Rand) *virtual.GPU {
	h := t.world.hosts[d.IntN(len(t.world.hosts))]
	return h.GPUs[d.IntN(len(h.GPUs))]
}

func (t *faultInjector) slow(d *rand.Rand, length time.Duration) {
	if g := t.gpu(d); g.Slow == 1 {
		t.world.report.Faults.Slowdowns++
		g.Slow = 2 + 8*d.Float64()
		t.world.later(length, func() { g.Slow = 1 })
	}
}

func (t *faultInjector) hang(d *rand.Rand, length time.Duration) {
	g := t.gpu(d)
	t.world.report.Faults.Hangs++
	execution, transfer := g.Worker.Core.Running(g.ID)
	for _, o := range []*work.Order{execution, transfer} {
		if o != nil {
			t.world.report.Faults.Stuck++
		}
	}
	g.Hung = max(g.Hung, g.Worker.World().Now().Add(length))
}

func (t *faultInjector) restart(_ *rand.Rand, length time.Duration) {
	if t.world.controller.stop() {
		t.world.report.Faults.Restarts++
		t.world.later(length, t.world.controller.start)
	}
}
