package measure

import (
	"fmt"
	"time"

	"clockwork/pkg/core/heap"
	"clockwork/pkg/protocol"
)

// gpuKey names a GPU in one incarnation of its worker.
type gpuKey struct {
	worker      string
	incarnation uint64
	id          int
}

// gpu is where units run. Of one that two jobs in a row have, the second knows
// what it was doing, and whether it hung.
//
// Invariants: unit is set while working or leaving and then alone; waits is the
// action or store that it waits for, set exactly then; its timer runs while it
// waits for an action or is paused.
type gpu struct {
	key   gpuKey
	epoch uint64 // the highest that the worker had seen
	kind  string // its type
	pages int

	state state
	unit  *unit
	// steps are what is left to do of the unit; the first one is at work.
	steps []step
	// samples are of the measurement that is being made, words what is told of it
	// once it is stored, passed how many are behind it in this try.
	samples []time.Duration
	words   string
	passed  int
	waits   protocol.ActionID
	storing bool // it waits for a store
	doomed  bool // it was lost meanwhile
	timer   heap.Node[*gpu]

	failures int // of the step at work, in a row
	jams     int // times in a row that it was not cleared
	// suspect is the model after which it gave no more results.
	suspect string
}

// state is what a GPU does.
type state uint8

const (
	idle    state = iota // it is free
	working              // on a unit of this job
	leaving              // it ends what the last job wanted
	paused               // it is in use, and not asked for a while
	hung                 // it gives no results; not used in this job
	lost                 // its worker is gone; not used in this job
)

func newGPU(key gpuKey) *gpu {
	g := &gpu{key: key}
	g.timer.Of = g
	return g
}

// flaw says of a hung GPU what is known.
func (g *gpu) flaw() string {
	text := fmt.Sprintf("GPU %d of worker %s gives no results", g.key.id, g.key.worker)
	if g.suspect != "" {
		text += " since it measured " + g.suspect
	}
	return text
}

// clearing reports whether the GPU has not begun with the unit.
func (g *gpu) clearing() bool { return g.steps[0].kind == protocol.ClearCache }

// reuse makes a GPU one of a new job.
func (m *Machine) reuse(g *gpu) {
	switch {
	case g.state == working || g.state == leaving:
		g.state = leaving // it waits for the end of its action
	case m.isLost(g.key):
		m.timers.Remove(&g.timer)
		g.state = lost
	case g.state == hung:
		g.state, g.jams = idle, maxJams-1 // one chance to show that it works
	case g.state != paused:
		g.state = idle
	}
}

// leave drops a GPU that is not part of the new job. Whoever gave that took its
// worker for lost.
func (m *Machine) leave(g *gpu) {
	if (g.state == working || g.state == leaving) && !g.clearing() {
		m.blame(g.unit.key())
	}
	m.stop(g)
}

// forgetActions lets nothing wait for results any more.
func (m *Machine) forgetActions() {
	for _, g := range m.gpus { // in any order: nothing is told
		if g.state == working || g.state == leaving || g.state == paused {
			g.state = idle
		}
		m.stop(g)
	}
}

// stop ends what a GPU waits for.
func (m *Machine) stop(g *gpu) {
	m.timers.Remove(&g.timer)
	delete(m.byToken, g.waits)
	g.waits, g.storing, g.doomed, g.unit, g.steps, g.samples = 0, false, false, nil, nil, nil
}

// begin has a GPU measure a unit.
func (m *Machine) begin(g *gpu, u *unit) {
	g.state, g.unit, g.steps = working, u, u.steps(m.cfg.Iterations)
	g.samples, g.passed, g.failures = nil, 0, 0
	m.send(g)
}

// next goes on behind the step that was done.
func (m *Machine) next(g *gpu) {
	for g.steps = g.steps[1:]; len(g.steps) > 0; g.steps = g.steps[1:] {
		if g.steps[0].stored == "" {
			m.send(g)
			return
		}
		m.progress(g, g.steps[0].stored)
	}
	m.measured(g.unit)
	m.free(g)
}

// measured ends a unit with its profile.
func (m *Machine) measured(u *unit) {
	delete(m.tries, u.key())
	m.job.report.Profiles = append(m.job.report.Profiles, u.known)
}

// free ends a unit on its GPU.
func (m *Machine) free(g *gpu) {
	m.stop(g)
	g.state = idle
}

// send gives out the action of a step.
func (m *Machine) send(g *gpu) {
	s := g.steps[0]
	m.wait(g)
	m.timers.Set(&g.timer, int64(m.now.Add(m.cfg.ActionTimeout)), uint64(m.token))
	m.out.Actions = append(m.out.Actions, WorkerAction{Worker: g.key.worker, Action: protocol.Action{
		ID: g.waits, Issuer: m.cfg.Issuer, Epoch: g.epoch, Incarnation: g.key.incarnation, Kind: s.kind,
		GPU: g.key.id, Model: g.unit.model.Name, Batch: s.batch, Latest: protocol.Never,
	}})
}

// wait gives the GPU a new token to wait for.
func (m *Machine) wait(g *gpu) {
	delete(m.byToken, g.waits)
	m.token++
	g.waits = m.token
	m.byToken[g.waits] = g
}
