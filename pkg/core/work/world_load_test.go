package work

import (
	"maps"
	"slices"

	"clockwork/pkg/protocol"
)

// endRead ends what the driver does for a load that was given up: soon, and now and then the
// model was read just before.
func (w *world) endRead(o *Order) {
	w.happened["given up"]++
	for i := range w.coming {
		e, is := w.coming[i].event.(*ModelRead)
		if !is || e.Order != o || w.coming[i].driver == 0 {
			continue
		}
		if at := w.now.Add(w.millis(0, 6)); at < w.coming[i].at {
			w.coming[i].at = at
		}
		if e.Refusal == nil && w.one(4) {
			w.happened["read after all"]++
			return
		}
		e.Refusal, e.Handle = protocol.Refusal(protocol.BackendError), nil
		return
	}
	w.failf("the load %v is given up, and is not being read", o.key())
}

// loads looks whether loads end when their time is over: one that is being read is given up
// then, once, and the driver ends it; the others are answered.
func (c *checker) loads(out *Output) {
	for _, o := range out.Read {
		c.readers[o], c.readAt[o] = false, c.now
	}
	for _, o := range out.GivenUp {
		if told, reads := c.readers[o]; told || !reads || c.now < c.due(c.of(o)) {
			c.failf("the load %v is given up twice, too early, or is not being read", o.key())
		}
		c.readers[o] = true
	}
	for o, told := range c.readers {
		if !told && c.now > c.due(c.of(o)) {
			c.failf("the load %v is not given up after %v", o.key(), o.Action.Load.Within)
		}
	}
	for _, k := range c.actions {
		if k.action.Kind != protocol.LoadModelFromDisk || k.result != nil || c.beingRead(k) {
			continue
		}
		if c.now > c.due(k) {
			c.failf("the load %d waits for a reader after %v", k.action.ID, k.action.Load.Within)
		}
	}
	for i := range out.Results {
		r := &out.Results[i]
		k := c.actions[actionKey{r.Issuer, r.Action}]
		if r.Kind != protocol.LoadModelFromDisk || r.Code != protocol.TooLate && r.Code != protocol.OK {
			continue
		}
		late := c.now >= c.due(k)
		if r.Begin == 0 && r.Code == protocol.TooLate && late {
			c.world.happened["given up unread"]++
		}
		if r.Code == protocol.TooLate && !late || r.Code == protocol.OK && c.now > c.due(k) {
			c.failf("the load %d is %s at %v, due %v", r.Action, r.Code, c.now, c.due(k))
		}
	}
}

// checkReaders looks whether as many loads are read at most as there are readers, and as many
// slow ones.
func (c *checker) checkReaders() {
	quick := 0
	for _, since := range c.readAt {
		if c.now < since.Add(c.config.SlowLoad) {
			quick++
		}
	}
	if most := c.config.ConcurrentLoads; quick > most || len(c.readAt) > 2*most {
		c.failf("G11: %d models are read at a time, %d of them not for long", len(c.readAt), quick)
	}
	if len(c.readAt) > c.config.ConcurrentLoads {
		c.world.happened["read beside slow loads"]++
	}
}

// readerDue is when a load that waits is to be read at the latest; Never if none waits but for
// a ClearCache, or none can be read.
func (c *checker) readerDue() protocol.Time {
	most := c.config.ConcurrentLoads
	waits := func(k *known) bool {
		return k.action.Kind == protocol.LoadModelFromDisk && k.result == nil && !c.beingRead(k) &&
			(k.action.Load.Compare || !slices.ContainsFunc(k.action.Load.Names, c.removing))
	}
	if len(c.readAt) >= 2*most || !slices.ContainsFunc(slices.Collect(maps.Values(c.actions)), waits) {
		return protocol.Never
	}
	since := slices.Sorted(maps.Values(c.readAt))
	if len(since) < most {
		return 0
	}
	return since[len(since)-most].Add(c.config.SlowLoad)
}

// due is when a load's time is over.
func (c *checker) due(k *known) protocol.Time {
	if k.action.Load.Within == 0 {
		return protocol.Never
	}
	return k.arrived.Add(k.action.Load.Within)
}

func (c *checker) beingRead(k *known) bool {
	for o := range c.readers {
		if c.of(o) == k {
			return true
		}
	}
	return false
}
