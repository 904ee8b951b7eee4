package measure

import (
	"fmt"

	"clockwork/pkg/core/heap"
	"clockwork/pkg/protocol"
)

// Machine is the decision core of a profiler. The zero value is not usable; see
// New.
//
// Invariants: one job runs at a time. Each of its units is on a GPU, waits, or
// has a profile or a verdict. A GPU has at most one outstanding action or store,
// and byToken maps its token to the GPU.
type Machine struct {
	cfg Config
	// now is the time of the current step; it never goes back.
	now protocol.Time
	// term is that of this profiler's lease, which every action names. terms are those of
	// the controllers whose jobs came.
	term  uint64
	terms protocol.Terms
	// job is the current job, nil for none.
	job *job
	// gpus are the GPUs of the current job or, without one, of the last job. The next
	// job inherits their state.
	gpus map[gpuKey]*gpu
	// timers hold the timeouts of actions and the ends of pauses. byToken maps the
	// token of an outstanding action or store to its GPU.
	timers  heap.Heap[*gpu]
	byToken map[protocol.ActionID]*gpu
	// token is the last token assigned. Actions and stores share the numbers.
	token protocol.ActionID
	// storing counts the outstanding Stores, those of earlier jobs included. Profiles
	// are read only while it is 0.
	storing int
	// lost maps the id of each lost worker to its incarnation at that time; at most
	// maxLost.
	lost map[string]uint64
	// tries counts the GPUs that each unit has cost since it was last measured or
	// reported. It outlives the job; units whose model is not in a new job are removed.
	tries map[Key]int
	// out is the output of the current step; the memory of its slices is reused.
	out Output
}

// New returns a machine without a job.
func New(c Config) (*Machine, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("check measure config: %w", err)
	}
	return &Machine{cfg: c, gpus: map[gpuKey]*gpu{}, byToken: map[protocol.ActionID]*gpu{},
		lost: map[string]uint64{}, tries: map[Key]int{}}, nil
}

// Job returns the id of the current job, 0 for none.
func (m *Machine) Job() uint64 {
	if m.job == nil {
		return 0
	}
	return m.job.id
}

// Heartbeat returns what a profiler tells the other services; its driver adds who it is. leads:
// it has the lease, and jobs reach it. The controller sends none to others, and sends one
// again that no heartbeat names.
func (m *Machine) Heartbeat(leads bool) protocol.Heartbeat {
	h := protocol.Heartbeat{Incarnation: m.cfg.Issuer, State: protocol.Standby, Job: m.Job()}
	switch {
	case h.Job != 0:
		h.State, h.InFlight = protocol.Busy, 1
	case leads:
		h.State = protocol.Idle
	}
	return h
}

// Step applies one event and returns the work to be done. If now is before the
// last instant, the last instant counts.
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

// apply changes the state by one event; Step then handles what is due.
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
		if m.lost[e.ID] == e.Incarnation { // another incarnation does not bring this one back
			delete(m.lost, e.ID)
		}
	case WorkerLost:
		m.workerLost(e)
	case Elected:
		m.term = e.Term
	case Abandon:
		m.job = nil
		m.forgetActions()
	}
}

// expire handles the actions that timed out and the pauses that ended.
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

// isLost reports whether the GPU's worker is lost.
func (m *Machine) isLost(key gpuKey) bool {
	incarnation, lost := m.lost[key.worker]
	return lost && incarnation == key.incarnation
}

// blame counts one more GPU that a unit cost, and reports whether that exceeds
// maxTries.
func (m *Machine) blame(key Key) bool {
	m.tries[key]++
	return m.tries[key] > maxTries
}
