package measure

import (
	"fmt"

	"clockwork/pkg/core/heap"
	"clockwork/pkg/protocol"
)

// Machine is a profiler's decisions. The zero value is not usable; see New.
//
// Invariants: one job is at work at a time; each of its units is with a GPU, waits,
// or has a profile or a verdict; a GPU waits for one action or one store at most,
// and byToken leads from it to the GPU.
type Machine struct {
	cfg  Config
	now  protocol.Time
	job  *job            // nil while there is none
	gpus map[gpuKey]*gpu // those of the last job
	// timers are the ends of actions and pauses; byToken are the GPUs that wait, by
	// action or store.
	timers  heap.Heap[*gpu]
	byToken map[protocol.ActionID]*gpu
	token   protocol.ActionID // the last one given out
	// storing is how many Stores have no answer.
	storing int
	// lost are the workers that fell silent, and their incarnation then.
	lost  map[string]uint64
	tries map[Key]int
	out   Output
}

// New returns a machine without a job.
func New(c Config) (*Machine, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("check measure config: %w", err)
	}
	return &Machine{cfg: c, gpus: map[gpuKey]*gpu{}, byToken: map[protocol.ActionID]*gpu{},
		lost: map[string]uint64{}, tries: map[Key]int{}}, nil
}

// Job returns the id of the job at work, 0 for none.
func (m *Machine) Job() uint64 {
	if m.job == nil {
		return 0
	}
	return m.job.id
}

// Step takes one event at an instant that is not before the last one (an
// earlier one counts as the last) and returns what is to be done.
func (m *Machine) Step(now protocol.Time, e Event) Output {
	m.now = max(m.now, now)
	m.out = Output{Actions: m.out.Actions[:0], Store: m.out.Store[:0], Progress: m.out.Progress[:0], Setbacks: m.out.Setbacks[:0]}
	m.apply(e)
	m.expire()
	m.settle()
	m.out.Wake = protocol.Never
	if first := m.timers.First(); first != nil {
		m.out.Wake = protocol.Time(first.Key)
	}
	return m.out
}

func (m *Machine) apply(e Event) {
	switch e := e.(type) {
	case JobGiven:
		m.give(e.Job)
	case ProfilesRead:
		m.profilesRead(e)
	case ProfileStored:
		m.profileStored(e.Token)
	case ActionResult:
		m.result(&e.Result)
	case WorkerSeen:
		if m.lost[e.ID] == e.Incarnation { // another incarnation changes nothing for this one
			delete(m.lost, e.ID)
		}
	case WorkerLost:
		m.workerLost(e)
	case Abandon:
		m.job = nil
		m.forgetActions()
	}
}

// expire ends the actions that gave no result in time, and the pauses.
func (m *Machine) expire() {
	for first := m.timers.First(); first != nil && protocol.Time(first.Key) <= m.now; first = m.timers.First() {
		g := first.Of
		m.timers.Remove(first)
		if g.state == paused {
			g.state = idle
			continue
		}
		m.timedOut(g)
	}
}

func (m *Machine) workerLost(e WorkerLost) {
	if _, known := m.lost[e.ID]; known || len(m.lost) < maxLost {
		m.lost[e.ID] = e.Incarnation
	}
	if m.job == nil {
		return
	}
	for _, g := range m.job.gpus {
		if g.key.worker == e.ID && g.key.incarnation == e.Incarnation {
			m.lose(g, fmt.Sprintf("worker %s was lost", e.ID))
		}
	}
}

// isLost reports whether a GPU's worker fell silent.
func (m *Machine) isLost(key gpuKey) bool {
	incarnation, lost := m.lost[key.worker]
	return lost && incarnation == key.incarnation
}

// blame counts a GPU that was lost, or gave no result, over a unit. It reports
// whether that was one too many.
func (m *Machine) blame(key Key) bool {
	m.tries[key]++
	return m.tries[key] > maxTries
}
