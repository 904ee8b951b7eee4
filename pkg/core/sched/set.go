package sched

import (
	"slices"

	"clockwork/pkg/protocol"
)

// A set of models serves until another set takes its place, in one step: there is no time at
// which a request finds neither, and no request is submitted again.

// maxRetired bounds the models of earlier sets that are remembered, so that their weights are
// found and evicted on a worker that was away during the switch, and their requests are refused
// by name. Beyond it those that came first are forgotten.
const maxRetired = 65536

// switchSet replaces the models by those of another set.
func (c *engine) switchSet(to *protocol.ClockworkState) {
	if !c.active || to.Set <= c.set {
		return
	}
	c.set = to.Set
	stays := make(map[string]bool, len(to.Models))
	for i := range to.Models {
		stays[to.Models[i].Name] = true
	}
	staying := c.models[:0:0]
	var leaving []*model
	for _, m := range c.models {
		if stays[m.spec.Name] {
			staying = append(staying, m)
		} else {
			leaving = append(leaving, m)
		}
	}
	c.models = staying
	for _, m := range leaving {
		c.retire(m)
	}
	c.adopt(to.Profiles)
	c.revive(to.Models)
	c.addModels(to.Models)
	for i := range to.Workers {
		c.hostsNow(&to.Workers[i])
	}
	c.recount = true
}

// retire takes a model that is no longer in engine.models out of service.
func (c *engine) retire(m *model) {
	delete(c.names, m.spec.Name)
	m.retired = true
	for m.head != nil {
		c.refuseRetired(m.head)
	}
	m.rejectedDemandUntil = 0
	for _, g := range c.gpus {
		delete(g.failures, m)
		if c.capable(g, m) {
			c.canHold(g, m, -1)
		}
	}
	for _, r := range slices.Clone(m.replicas) {
		c.release(r)
	}
	c.markModel(m)
	if len(c.retired) >= maxRetired {
		c.forgetRetired()
	}
	c.retired[m.spec.Name] = m
}

// release evicts a copy of a retired model as soon as it is idle. One that is being loaded
// follows when its load has ended.
func (c *engine) release(r *replica) {
	switch r.phase {
	case pending:
		c.remove(r)
	case resident:
		c.unhold(r)
		r.phase = draining
		r.gpu.leaving += r.pages()
		c.markGPU(r.gpu)
		c.idle(r)
	}
}

// revive takes models of earlier sets back that are again what they were.
func (c *engine) revive(specs []protocol.ModelSpec) {
	for i := range specs {
		m := c.retired[specs[i].Name]
		if m == nil || m.spec.Differs(&specs[i]) != "" {
			continue
		}
		delete(c.retired, m.spec.Name)
		m.retired = false
		c.addModel(m)
		c.price(m)
		for _, r := range m.replicas {
			c.markGPU(r.gpu) // what drains may stay
		}
	}
}

// hostsNow sets what a worker has of a new set in host memory.
func (c *engine) hostsNow(state *protocol.WorkerState) {
	for _, w := range c.workers {
		if w.id == state.ID && w.incarnation == state.Incarnation {
			c.setHosted(w, *state)
		}
	}
}

// heldAs returns the model whose weights a worker holds under a name: of this set, or of an
// earlier one of the epoch. It returns nil if there is none.
func (c *engine) heldAs(name string) *model {
	if m := c.names[name]; m != nil {
		return m
	}
	m := c.retired[name]
	if m != nil {
		c.extend(m)
	}
	return m
}

// forgetRetired forgets the retired model that came first.
func (c *engine) forgetRetired() {
	var first *model
	for _, m := range c.retired { // map order does not matter: indexes differ
		if first == nil || m.index < first.index {
			first = m
		}
	}
	delete(c.retired, first.spec.Name)
}

// refuseRetired refuses a request that was admitted before its model was retired.
func (c *engine) refuseRetired(r *request) {
	r.tried = WhyRetired
	c.refuse(r, retiredModel(r.model))
}

// retiredModel returns the refusal of the requests of a retired model.
func retiredModel(m *model) *protocol.Error {
	return protocol.Errorf(protocol.ModelRetired, "model %s is not served any more", m.spec.Name)
}
