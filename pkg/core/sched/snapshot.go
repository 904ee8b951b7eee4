package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// Snapshot is how a core stands after its last Step. It shares no memory with the
// core; who takes many may have it written over (Core.Snapshot).
type Snapshot struct {
	Now    protocol.Time
	GPUs   []GPUSnapshot   // by worker and number
	Models []ModelSnapshot // in the order of the state
	// To and Back are what messages to workers and from them take, as learned of all.
	To, Back time.Duration
	// Wanted is how many models wait for a load.
	Wanted int
}

// GPUSnapshot is how a GPU stands.
type GPUSnapshot struct {
	Worker     string
	GPU        int
	Type       string
	Pages      int // in all
	Free       int // of those, not allocated or promised
	Copies     int // models whose weights are there
	Turns      int // models that wait for its execution lane
	Stalled    bool
	Pace       float64 // how much longer executions take than is usual; 1 where nothing is known
	To, Back   time.Duration
	Executions []ActionSnapshot // sent, without a result, in order
	Transfers  []ActionSnapshot // sent or promised, in order
	// ExecFree and LoadFree are when the lanes have done all that; now or before where
	// they are idle.
	ExecFree, LoadFree protocol.Time
}

// ActionSnapshot is work on a lane, as it is expected.
type ActionSnapshot struct {
	Kind       protocol.Kind
	Model      string
	Batch      int // 0 but for an Infer
	Requests   int
	Begin, End protocol.Time
}

// ModelSnapshot is how a model stands.
type ModelSnapshot struct {
	Name    string
	Copies  int // on GPUs, usable
	Loading int // on their way
	GPUs    int // that can hold it
	Queued  int // requests that wait
	// Submitted counts its requests since the epoch began.
	Submitted uint64
	// Exec and Load are the estimates in force of one item and of a transfer, on the
	// GPUs where it is fastest.
	Exec, Load time.Duration
}

// Snapshot implements Core.
func (c *engine) Snapshot(s *Snapshot) {
	gpus, models := s.GPUs[:0], s.Models[:0]
	*s = Snapshot{Now: c.now, To: c.fleetDelay.toWorker.value(), Back: c.fleetDelay.fromWorker.value(), Wanted: c.policy.wanting()}
	for _, g := range c.gpus {
		gpus = append(gpus, c.gpuSnapshot(g))
	}
	for _, m := range c.models {
		models = append(models, c.modelSnapshot(m))
	}
	s.GPUs, s.Models = gpus, models
}

func (c *engine) gpuSnapshot(g *gpu) GPUSnapshot {
	s := GPUSnapshot{
		Worker: g.worker.id, GPU: g.id, Type: c.kinds[g.kind], Pages: g.total, Free: g.vacant() - g.promised,
		Turns: len(g.runQueue), Stalled: g.stalled, Pace: max(1, g.slowdown.factor),
		To: g.worker.delay.toWorker.value(), Back: g.worker.delay.fromWorker.value(), ExecFree: g.free(c.now), LoadFree: c.now,
	}
	at := g.free(c.now)
	for i := len(g.infers) - 1; i >= 0; i-- {
		at = at.Add(-g.infers[i].takes)
	}
	for _, a := range g.infers {
		end := at.Add(a.takes)
		s.Executions = append(s.Executions, ActionSnapshot{protocol.Infer, a.replica.model.spec.Name, a.size, len(a.members), at, end})
		at = end
	}
	c.transfers(g, &s)
	return s
}

func (c *engine) transfers(g *gpu, s *GPUSnapshot) {
	add := func(kind protocol.Kind, r *replica, end protocol.Time) {
		s.Transfers = append(s.Transfers, ActionSnapshot{Kind: kind, Model: r.model.spec.Name, Begin: s.LoadFree, End: end})
		s.LoadFree = max(s.LoadFree, end)
	}
	for _, r := range g.replicas {
		if r.phase == resident {
			s.Copies++
		}
		if r.transfer != nil && r.phase == evicting {
			add(protocol.EvictWeights, r, s.LoadFree)
		}
	}
	if r := g.loading; r != nil {
		add(protocol.LoadWeights, r, max(c.now, r.transfer.expected))
	}
	for _, r := range g.pending {
		add(protocol.LoadWeights, r, s.LoadFree.Add(r.model.costs[g.kind].load.Value()))
	}
}

func (c *engine) modelSnapshot(m *model) ModelSnapshot {
	s := ModelSnapshot{Name: m.spec.Name, Copies: len(m.holders), GPUs: m.capableGPUs(), Queued: m.queued, Submitted: m.submitted}
	for _, r := range m.replicas {
		if r.phase == pending || r.phase == loading {
			s.Loading++
		}
	}
	s.Exec, s.Load = c.alone(m)
	return s
}
