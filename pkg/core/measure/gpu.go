package measure

import (
	"fmt"
	"time"

	"clockwork/pkg/core/heap"
	"clockwork/pkg/protocol"
)

// gpuKey identifies a GPU in one incarnation of its worker.
type gpuKey struct {
	worker      string
	incarnation uint64
	id          int // index in the worker's GPUs
}

// gpu is a GPU of a job. If two consecutive jobs include the same GPU, the
// second job inherits its current action and whether it hung.
//
// Invariants: unit is set exactly in the states working and leaving, and no
// other GPU has it in this job. waits is the token of the outstanding action or
// store, set exactly while one is outstanding. timer runs while an action is
// outstanding or the GPU is paused.
type gpu struct {
	key gpuKey
	// epoch is the worker's epoch as the job gives it. Actions carry it; the worker
	// refuses them once it has seen a higher one.
	epoch uint64
	// kind is the GPU type; pages is the number of its weight pages, of pageSize bytes each.
	kind     string
	pages    int
	pageSize int64
	// lacks are the models that the worker does not hold.
	lacks []protocol.Lack

	state state
	unit  *unit
	// steps are the remaining steps of the unit; steps[0] is in progress.
	steps []step
	// samples belong to the current measurement. words describes it in the progress
	// event once it is stored. passed counts the finished measurements of this try.
	samples []time.Duration
	words   string
	passed  int
	// waits is 0 for none. A result under another token is ignored.
	waits protocol.ActionID
	// storing: waits is a store's token. doomed: the worker was lost during the store;
	// the GPU leaves the job when the store ends.
	storing bool
	doomed  bool
	// timer is in Machine.timers, keyed by the end of the timeout or pause.
	timer heap.Node[*gpu]

	// failures counts the failures of the current step in a row; maxFailures of them end
	// the try.
	failures int
	// jams counts the failed ClearCache in a row, over all units; with maxJams of them
	// the GPU is hung.
	jams int
	// suspect is the model being measured when the GPU stopped giving results, "" if a
	// ClearCache has succeeded since.
	suspect string
}

// state is the state of a GPU.
type state uint8

const (
	idle    state = iota // free
	working              // measuring a unit of this job
	leaving              // finishing an action or store of the previous job
	paused               // in use elsewhere; not cleared again before the timer ends
	hung                 // gives no results; not used in this job
	lost                 // worker lost; not used in this job
)

func newGPU(key gpuKey) *gpu {
	g := &gpu{key: key}
	g.timer.Of = g
	return g
}

// flaw describes a hung GPU.
func (g *gpu) flaw() string {
	text := fmt.Sprintf("GPU %d of worker %s gives no results", g.key.id, g.key.worker)
	if g.suspect != "" {
		text += " since it measured " + g.suspect
	}
	return text
}

// isLacking reports whether the GPU's worker does not hold a model.
func (g *gpu) isLacking(model string) bool {
	w := protocol.WorkerState{Lacks: g.lacks}
	return w.Lacking(model)
}

// clearing reports whether the GPU is still at ClearCache, before the unit's
// measurements.
func (g *gpu) clearing() bool { return g.steps[0].kind == protocol.ClearCache }

// reuse sets the state of a GPU for a new job.
func (m *Machine) reuse(g *gpu) {
	switch {
	case g.state == working || g.state == leaving:
		g.state = leaving // finish the outstanding action first
	case m.isLost(g.key):
		m.timers.Remove(&g.timer)
		g.state = lost
	case g.state == hung:
		g.state, g.jams = idle, maxJams-1 // one more failed ClearCache and it is hung again
	case g.state != paused:
		g.state = idle
	}
}

// leave stops a GPU that is not part of the new job. The issuer of the new job
// considers its worker lost.
func (m *Machine) leave(g *gpu) {
	if (g.state == working || g.state == leaving) && !g.clearing() {
		m.blame(g.unit.key())
	}
	m.stop(g)
}

// forgetActions drops all outstanding actions and stores, because the job is over.
// Their results are ignored.
func (m *Machine) forgetActions() {
	for _, g := range m.gpus { // map order does not matter: nothing is output
		if g.state == working || g.state == leaving || g.state == paused {
			g.state = idle
		}
		m.stop(g)
	}
}

// stop removes a GPU's timer, outstanding token and unit.
func (m *Machine) stop(g *gpu) {
	m.timers.Remove(&g.timer)
	delete(m.byToken, g.waits)
	g.waits, g.storing, g.doomed, g.unit, g.steps, g.samples = 0, false, false, nil, nil, nil
}

// begin starts a unit on a GPU.
func (m *Machine) begin(g *gpu, u *unit) {
	g.state, g.unit, g.steps = working, u, u.steps(m.cfg.Iterations)
	g.samples, g.passed, g.failures = nil, 0, 0
	m.send(g)
}

// next starts the step after the finished one.
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

// measured adds the profile of a finished unit to the report.
func (m *Machine) measured(u *unit) {
	delete(m.tries, u.key())
	m.job.report.Profiles = append(m.job.report.Profiles, u.known)
}

// free makes a GPU idle.
func (m *Machine) free(g *gpu) {
	m.stop(g)
	g.state = idle
}

// send outputs the action of the current step.
func (m *Machine) send(g *gpu) {
	s := g.steps[0]
	m.wait(g)
	m.timers.Set(&g.timer, int64(m.now.Add(m.cfg.ActionTimeout)), uint64(m.token))
	m.out.Actions = append(m.out.Actions, WorkerAction{Worker: g.key.worker, Action: protocol.Action{
		ID: g.waits, Issuer: m.cfg.Issuer, Epoch: g.epoch, Incarnation: g.key.incarnation, Kind: s.kind,
		GPU: g.key.id, Model: g.unit.model.Name, Batch: s.batch, Latest: protocol.Never,
		Leader: protocol.Leader{Service: protocol.Profiler, Term: m.term},
	}})
}

// wait assigns the GPU a new token.
func (m *Machine) wait(g *gpu) {
	delete(m.byToken, g.waits)
	m.token++
	g.waits = m.token
	m.byToken[g.waits] = g
}
