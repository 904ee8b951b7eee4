package sched

import (
	"slices"

	"clockwork/pkg/protocol"
)

// courier is a core that gives each request to some worker at once.
type courier struct {
	Core
	epoch, issuer uint64
	members       map[string]uint64
	known         map[protocol.RequestID]bool
	last          protocol.ActionID
	health        map[string][]protocol.GPUBeat
	twice         bool // one incarnation was given to it twice
}

func (c *courier) Step(now protocol.Time, e Event) Output {
	out := Output{Wake: protocol.Never}
	switch e := e.(type) {
	case *Activate:
		c.epoch, c.issuer, c.members = e.Epoch, e.Issuer, map[string]uint64{}
		c.health = map[string][]protocol.GPUBeat{}
	case *GPUHealth:
		if c.members[e.ID] == e.Incarnation {
			c.health[e.ID] = e.GPUs
		}
	case *WorkerJoined:
		delete(c.health, e.State.ID)
		c.twice = c.twice || c.members[e.State.ID] == e.State.Incarnation
		c.members[e.State.ID] = e.State.Incarnation
	case *WorkerLost:
		if c.members[e.ID] == e.Incarnation {
			delete(c.members, e.ID)
		}
	case *Submit:
		if c.known[e.ID] {
			break
		}
		c.known[e.ID] = true
		if len(c.members) == 0 {
			out.Refusals = append(out.Refusals, protocol.Dispatch{ID: e.ID, Kind: protocol.Refuse, Refusal: protocol.Refusal(protocol.WorkerLost)})
			break
		}
		c.last++
		ids := make([]string, 0, len(c.members))
		for id := range c.members {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		id := ids[int(c.last)%len(ids)]
		out.Actions = append(out.Actions, Addressed{Worker: id, Action: protocol.Action{
			ID: c.last, Epoch: c.epoch, Issuer: c.issuer, Incarnation: c.members[id], Kind: protocol.Infer,
			Latest: now.Add(e.Budget), Requests: []protocol.RequestRef{{ID: e.ID, Batch: 1}}}})
	}
	return out
}

func (c *courier) Stats() Stats                       { return Stats{} }
func (c *courier) Capacity() (none protocol.Capacity) { return none }
func (c *courier) String() string                     { return "" }
