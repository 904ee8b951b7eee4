package work

import (
	"slices"

	"clockwork/pkg/protocol"
)

// results looks whether each belongs to an action, and is the only one of it.
func (c *checker) results(out *Output) {
	for i := range out.Results {
		r := &out.Results[i]
		k := c.actions[actionKey{r.Issuer, r.Action}]
		switch {
		case k == nil:
			c.failf("a result of action %d of %d, which never came", r.Action, r.Issuer)
		case k.result != nil:
			c.failf("G8: action %d of %d has two results, %s and %s", r.Action, r.Issuer, k.result.Code, r.Code)
		case r.Epoch != c.obeyed(r.Code) || r.Incarnation != c.config.Incarnation:
			c.failf("G7: a result of epoch %d, incarnation %d; the worker is at %d, %d", r.Epoch, r.Incarnation, c.obeyed(r.Code), c.config.Incarnation)
		case k != c.received && c.expect != "" && r.Code == c.expect:
			c.failf("%s of action %d went to another", r.Code, r.Action)
		}
		if r.Code == protocol.ExecutorLost || r.Code == protocol.ExecutorKilled {
			c.blames(k)
		}
		if r.Code == protocol.OK && k.action.Kind == protocol.Infer && !k.begun {
			c.failf("action %d of %d is OK and never ran", r.Action, r.Issuer)
		}
		sent := c.now
		if k.action.Epoch != 0 {
			sent = c.offset.Remote(sent)
		}
		if r.Sent != sent {
			c.failf("action %d of %d was sent at %v, says %v", r.Action, r.Issuer, sent, r.Sent)
		}
		copied := *r
		k.result = &copied
		c.open--
		delivered := slices.ContainsFunc(out.Deliver, func(o *Order) bool { return c.of(o) == k })
		if want := r.Code == protocol.OK && k.action.Kind == protocol.Infer && len(k.action.Requests) > 0; delivered != want {
			c.failf("G1: outputs of action %d of %d, which is %s: delivered %v", r.Action, r.Issuer, r.Code, delivered)
		}
	}
}

// obeyed is the epoch that a result names: who is refused as stale learns of the clock's.
func (c *checker) obeyed(code protocol.Code) uint64 {
	if code == protocol.StaleEpoch {
		return max(c.epoch, c.offset.Newest())
	}
	return c.epoch
}

// answers looks at what the action that has just come was answered.
func (c *checker) answers(out *Output) {
	k := c.received
	switch {
	case k == nil && len(out.Again) > 0:
		c.failf("G8: a result again that nobody asked for")
	case k == nil:
	case c.expect != "" && (k.result == nil || k.result.Code != c.expect):
		c.failf("G7: %+v is to be %s, was answered %+v", k.action, c.expect, k.result)
	case c.expect != "":
	case k.action.Kind == protocol.GetWorkerState && !c.twice && k.result == nil:
		if len(out.Again) != 1 || out.Again[0].State == nil {
			c.failf("a question for the state was not answered")
		}
		for _, m := range out.Again[0].State.Models {
			if c.removing(m.Name) {
				c.failf("%s is said to be there, and a ClearCache is still to remove it", m.Name)
			}
		}
		c.open--
		delete(c.actions, actionKey{k.action.Issuer, k.action.ID})
	case c.twice && (k.result != nil) != (len(out.Again) == 1):
		c.failf("G8: action %d of %d came twice; answered %d times", k.action.ID, k.action.Issuer, len(out.Again))
	case c.twice && k.result != nil && (out.Again[0].Code != k.result.Code || out.Again[0].Sent != k.result.Sent || out.Again[0].Action != k.result.Action):
		c.failf("G8: action %d of %d was %+v and is %+v now", k.action.ID, k.action.Issuer, k.result, out.Again[0])
	case !c.twice && k.result != nil && slices.Contains([]protocol.Code{protocol.StaleEpoch, protocol.StaleIncarnation, protocol.TooEarly, protocol.ShuttingDown}, k.result.Code):
		c.failf("%+v is answered %s without a reason", k.action, k.result.Code)
	}
}

// removing reports whether an accepted ClearCache is still to remove a model.
func (c *checker) removing(name string) bool {
	for _, k := range c.actions {
		if k.action.Kind == protocol.ClearCache && k.result == nil && slices.Contains(k.action.Models, name) {
			return true
		}
	}
	return false
}

// doubtful are the results that refuse what could have begun, as things stand.
func (c *checker) doubtful(results []protocol.Result) (list []protocol.Result) {
	for _, r := range results {
		if k := c.actions[actionKey{r.Issuer, r.Action}]; k != nil && k.action.Kind.OnGPU() && !c.reasonable(k, r.Code) {
			list = append(list, r)
		}
	}
	return list
}

// reasonable reports whether an action on a GPU has to be refused with a code, as
// things stand there.
func (c *checker) reasonable(k *known, code protocol.Code) bool {
	if k.action.GPU >= worldGPUs {
		return true
	}
	g, infer := &c.gpus[k.action.GPU], k.action.Kind == protocol.Infer
	held := g.weights[k.action.Model]
	moving := held != nil && (!held.loaded || held.evicting || held.lost)
	switch code {
	case protocol.StaleEpoch:
		return c.outdated(&k.action) && (k == c.received || !infer)
	case protocol.TooLate:
		return k.latest < c.now
	case protocol.InputMissing:
		return k.latest < c.now && k.order == nil
	case protocol.WeightsMissing:
		return k.begun || held == nil || infer && moving
	case protocol.WeightsInUse:
		return moving || held != nil && held.users > 0 && k.action.Kind == protocol.EvictWeights
	case protocol.AlreadyLoaded:
		return held != nil && !moving
	case protocol.WeightsChanged:
		return held != nil && k.generation != 0 && k.generation != held.generation
	case protocol.NoMemory:
		lanes, used := c.worker.gpus[k.action.GPU], 0
		for _, other := range g.weights {
			used += len(other.frames)
		}
		m := c.worker.library[k.action.Model]
		return infer && lanes.executions.Len() == c.config.MaxQueued || !infer && lanes.transfers.Len() == c.config.MaxQueued ||
			!infer && (m == nil || used+m.spec.Pages > c.config.GPUs[k.action.GPU].Pages)
	}
	return true
}
