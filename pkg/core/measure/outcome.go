package measure

import (
	"fmt"

	"clockwork/pkg/protocol"
)

// What actions came to: results, failures, silence and loss.

// result takes the result of an action that a GPU waits for.
func (m *Machine) result(r *protocol.Result) {
	g := m.byToken[r.Action]
	if g == nil || g.storing || r.Issuer != m.cfg.Issuer || r.Worker != g.key.worker {
		return
	}
	m.timers.Remove(&g.timer)
	switch {
	case r.Code == protocol.ShuttingDown || r.Code == protocol.StaleIncarnation:
		m.lose(g, describe(r))
	case g.state == leaving:
		m.free(g)
	case r.Code == protocol.OK:
		m.done(g, r)
	default:
		m.failed(g, r)
	}
}

// done takes a step that went well.
func (m *Machine) done(g *gpu, r *protocol.Result) {
	s := g.steps[0]
	g.failures = 0
	if s.kind == protocol.ClearCache {
		g.jams, g.suspect = 0, "" // it works
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

// profileStored goes on once a measurement was stored, so that an interrupted job
// goes on there.
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

// failed takes a step that was refused or failed: once more, or it is a verdict.
func (m *Machine) failed(g *gpu, r *protocol.Result) {
	reason := describe(r)
	if r.Code.Row().Retryable || r.Code == protocol.BackendError || r.Code == protocol.Internal {
		g.failures++
		if g.failures < maxFailures {
			m.setback(ActionFailed, g, g.failures, reason)
			m.send(g)
			return
		}
		reason = fmt.Sprintf("%s (%d times in a row)", reason, g.failures)
		if g.clearing() {
			m.jam(g, reason, paused) // what holds it may end; that takes as long as any action may
			return
		}
	}
	m.fail(g, reason)
}

// timedOut takes silence of a GPU whose worker lives.
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

// jam counts a GPU that was not cleared; a unit is not to blame for that.
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

// lose takes a GPU out of the job because its worker is gone.
func (m *Machine) lose(g *gpu, reason string) {
	if g.storing {
		g.doomed = true // when that has ended, so that no two stores of a unit meet
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

// cost counts a GPU that was lost or gave no result over its unit, and gives the
// unit to others, or up.
func (m *Machine) cost(g *gpu, reason string) {
	u := g.unit
	if g.state == working && u.complete() {
		m.measured(u) // it was only to be evicted
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

// recount follows the tries of a unit that changed by what an earlier job did: it
// waits behind others now, or is given up. One that is with a GPU is decided there.
func (m *Machine) recount(key Key, tooMany bool) {
	j := m.job
	if j == nil || !j.planned {
		return // plan will look
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

// fail is a verdict on a unit that a GPU has.
func (m *Machine) fail(g *gpu, reason string) {
	if g.clearing() {
		g.jams = 0
	}
	if g.unit.complete() {
		m.measured(g.unit) // it was only to be evicted; the next ClearCache does that
	} else {
		m.setback(NotMeasured, g, m.tries[g.unit.key()], reason)
		m.verdict(g.unit, reason)
	}
	m.free(g)
}

func (m *Machine) setback(kind SetbackKind, g *gpu, times int, reason string) {
	m.out.Setbacks = append(m.out.Setbacks, Setback{Kind: kind, Model: g.unit.model.Name, Worker: g.key.worker, GPU: g.key.id,
		Type: g.kind, Times: times, Reason: reason})
}

func describe(r *protocol.Result) string { return fmt.Sprintf("%s: %s: %s", r.Kind, r.Code, r.Message) }
