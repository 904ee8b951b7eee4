package measure

import (
	"fmt"

	"clockwork/pkg/protocol"
)

// This file handles the outcomes of actions: results, failures, timeouts and
// losses.

// result processes a result that a GPU is waiting for.
func (m *Machine) result(r *protocol.Result) {
	g := m.byToken[r.Action]
	if g == nil || g.storing || r.Issuer != m.cfg.Issuer || r.Worker != g.key.worker {
		return
	}
	m.timers.Remove(&g.timer)
	switch {
	case r.Code == protocol.StaleTerm:
		m.out.Confirm = true
		m.lose(g, describe(r))
	case r.Code.LosesWorker() || r.Code == protocol.StaleEpoch:
		m.lose(g, describe(r))
	case g.state == leaving:
		m.free(g)
	case r.Code == protocol.OK:
		m.done(g, r)
	default:
		m.failed(g, r)
	}
}

// done processes a successful step.
func (m *Machine) done(g *gpu, r *protocol.Result) {
	s := g.steps[0]
	g.failures = 0
	if s.kind == protocol.ClearCache {
		g.jams, g.suspect = 0, "" // the GPU works
	}
	if s.sampled {
		g.samples = append(g.samples, r.Exec.Device)
	}
	if !s.closes {
		m.next(g)
		return
	}
	words, absurd := g.unit.add(s, g.samples)
	if absurd != "" {
		m.fail(g, absurd)
		return
	}
	g.samples = nil
	m.wait(g)
	g.storing, g.words = true, words
	m.storing++
	m.out.Store = append(m.out.Store, Store{Token: g.waits, Profile: g.unit.known})
}

// profileStored continues on the GPU after its Store, so that an interrupted job
// can resume from the stored measurements.
func (m *Machine) profileStored(token protocol.ActionID) {
	m.storing--
	g := m.byToken[token]
	if g == nil {
		return // its job is over
	}
	doomed := g.doomed
	g.storing, g.doomed = false, false
	if g.state == working {
		m.progress(g, g.words)
	}
	switch {
	case doomed:
		m.lose(g, fmt.Sprintf("worker %s was lost", g.key.worker))
	case g.state == leaving:
		m.free(g)
	default:
		m.next(g)
	}
}

// failed processes a failed step: the step is sent again, or the unit gets a
// verdict.
func (m *Machine) failed(g *gpu, r *protocol.Result) {
	reason := describe(r)
	if r.Code.LosesWeights() && !g.clearing() {
		// As if the worker had been lost: the unit may have ended its executor, and the
		// weights that were loaded for it are gone.
		m.cost(g, reason)
		m.free(g)
		return
	}
	if r.Code.Row().Retryable || r.Code == protocol.BackendError || r.Code == protocol.Internal {
		g.failures++
		if g.failures < maxFailures {
			m.setback(ActionFailed, g, g.failures, reason)
			m.send(g)
			return
		}
		reason = fmt.Sprintf("%s (%d times in a row)", reason, g.failures)
	}
	if g.clearing() {
		m.jam(g, reason, paused) // the GPU may be in use, for as long as any action may take
		return
	}
	m.fail(g, reason)
}

// timedOut handles a missing result from a GPU whose worker is alive.
func (m *Machine) timedOut(g *gpu) {
	reason := fmt.Sprintf("%s on %s: no result within %v", g.steps[0].kind, g.key.worker, m.cfg.ActionTimeout)
	switch {
	case g.clearing() && g.state == working:
		m.jam(g, reason, idle)
	case g.clearing():
		m.free(g)
	default:
		g.suspect = g.unit.model.Name
		m.cost(g, reason)
		m.free(g)
	}
}

// jam counts a failed ClearCache. The unit is not blamed.
func (m *Machine) jam(g *gpu, reason string, after state) {
	g.jams++
	m.setback(NotCleared, g, g.jams, reason)
	u := g.unit
	m.free(g)
	m.giveBack(u)
	switch {
	case g.jams >= maxJams:
		g.state = hung
		m.out.Setbacks = append(m.out.Setbacks, Setback{Kind: GPUHung, Worker: g.key.worker, GPU: g.key.id, Type: g.kind, Times: g.jams, Reason: g.flaw()})
	case after == paused:
		g.state = paused
		m.timers.Set(&g.timer, int64(m.now.Add(m.cfg.ActionTimeout)), uint64(m.token))
	}
}

// lose removes a GPU of a lost worker from the job.
func (m *Machine) lose(g *gpu, reason string) {
	if g.storing {
		g.doomed = true // lose it when the store ends, so that a unit never has two outstanding stores
		return
	}
	if (g.state == working || g.state == leaving) && !g.clearing() {
		m.cost(g, reason)
	} else if g.state == working {
		m.giveBack(g.unit)
	}
	m.stop(g)
	g.state = lost
}

// cost blames the unit for a lost GPU or a missing result. The unit waits again
// or gets a verdict.
func (m *Machine) cost(g *gpu, reason string) {
	u := g.unit
	if g.state == working && u.complete() {
		m.measured(u) // only its eviction was left
		return
	}
	tooMany := m.blame(u.key())
	switch {
	case g.state == leaving:
		m.recount(u.key(), tooMany)
	case tooMany:
		m.setback(NotMeasured, g, m.tries[u.key()], reason)
		m.verdict(u, reason)
	default:
		m.setback(NoResult, g, m.tries[u.key()], reason)
		m.giveBack(u)
	}
}

// recount re-sorts the waiting units after an action of an earlier job changed a
// unit's tries, or gives the unit a verdict if tooMany. A unit on a GPU is
// judged there.
func (m *Machine) recount(key Key, tooMany bool) {
	j := m.job
	if j == nil || !j.planned {
		return // plan will use the new count
	}
	for i, u := range j.waiting {
		if u.key() == key && tooMany {
			j.waiting = append(j.waiting[:i:i], j.waiting[i+1:]...)
			m.verdict(u, givenUp())
			return
		}
	}
	m.sortWaiting()
}

// fail gives a GPU's unit a verdict.
func (m *Machine) fail(g *gpu, reason string) {
	if g.unit.complete() {
		m.measured(g.unit) // only its eviction was left; the next ClearCache does that
	} else {
		m.setback(NotMeasured, g, m.tries[g.unit.key()], reason)
		m.verdict(g.unit, reason)
	}
	m.free(g)
}

// setback outputs a setback of a GPU and its unit.
func (m *Machine) setback(kind SetbackKind, g *gpu, times int, reason string) {
	m.out.Setbacks = append(m.out.Setbacks, Setback{Kind: kind, Model: g.unit.model.Name, Worker: g.key.worker, GPU: g.key.id,
		Type: g.kind, Times: times, Reason: reason})
}

// describe returns a result as the reason of a setback.
func describe(r *protocol.Result) string { return fmt.Sprintf("%s: %s: %s", r.Kind, r.Code, r.Message) }
