package work

import (
	"bytes"
	"maps"
	"slices"

	"clockwork/pkg/core/clocksync"
	"clockwork/pkg/protocol"
)

// checker is what a world knows of one incarnation of a worker without looking into
// it, and what must be so after each event.
type checker struct {
	*world
	epoch    uint64
	stopping bool
	renewing bool          // it is to begin anew
	idle     protocol.Time // since when no action is open, Never while one is
	offset   clocksync.Offset
	actions  map[actionKey]*known
	open     int // actions without a result
	gpus     [worldGPUs]knownGPU
	handles  map[any]bool // open ones
	hung     overdues
	readers  map[*Order]bool          // loads being read; true: given up
	readAt   map[*Order]protocol.Time // since when each is read
	expect   protocol.Code
	received *known // of this step
	twice    bool
	arrived  map[protocol.RequestID]arrivedInput // before this step, if it brings a payload
}

// known is an action that arrived.
type known struct {
	action           protocol.Action
	earliest, latest protocol.Time // local
	arrived          protocol.Time
	order            *Order
	begun            bool // executes, transfers or did
	staged           bool
	using            int // reads of it by the driver that are under way
	released         bool
	executor         uint32 // of its GPU when it began
	generation       int    // of the weights when it was staged, 0 for none
	result           *protocol.Result
}

// knownGPU is a GPU: its weights, and what it does.
type knownGPU struct {
	weights              map[string]*weights
	executing, transfers *Order
	generations          int
	executor             uint32 // processes that ended
	start                knownStart
}

type weights struct {
	frames     []int
	loaded     bool
	evicting   bool
	generation int
	users      int
	lost       bool // with the process that held them; what uses them has not ended yet
}

func newChecker(w *world) *checker {
	c := &checker{world: w, idle: protocol.Never, actions: map[actionKey]*known{}, handles: map[any]bool{}, hung: overdues{}, readers: map[*Order]bool{}, readAt: map[*Order]protocol.Time{}}
	for i := range c.gpus {
		c.gpus[i].weights = map[string]*weights{}
	}
	return c
}

func (c *checker) of(o *Order) *known {
	k := c.actions[o.key()]
	if k == nil {
		c.failf("G8: an order of action %v that never came", o.key())
	}
	return k
}

// before learns what the event says, and what the worker owes for it.
func (c *checker) before(e Event) {
	c.received, c.twice, c.expect = nil, false, ""
	switch e := e.(type) {
	case *Input:
		c.arrived = maps.Clone(c.worker.inputs.arrived)
	case *Received:
		c.receive(&e.Action)
	case *Staged:
		k := c.of(e.Order)
		k.using--
		k.staged = e.Refusal == nil
	case *Executed:
		delete(c.hung, e.Order)
		g := &c.gpus[e.Order.GPU]
		c.of(e.Order).using--
		c.lostWith(e.Order, e.Refusal)
		held := g.weights[e.Order.Action.Model]
		if held.users--; held.users == 0 && held.lost {
			delete(g.weights, e.Order.Action.Model)
		}
		g.executing = nil
	case *Fetched:
		c.of(e.Order).using--
	case *Transferred:
		delete(c.hung, e.Order)
		c.lostWith(e.Order, e.Refusal)
		c.transferred(e)
	case *ExecutorLost:
		c.lose(e.GPU, e.Executor)
	case *ExecutorReady:
		c.gpus[e.GPU].start = knownStart{}
	case *ModelRead:
		delete(c.readers, e.Order)
		delete(c.readAt, e.Order)
		if e.Refusal == nil {
			c.handles[e.Handle] = true
		}
	case *ClockReading:
		c.offset.Add(e.Epoch, e.Asked, e.Answered, e.Remote)
	case *Stop:
		c.stopping = true
	}
}

// receive says by rules of its own how an action that arrives must be answered at
// once, "" for those that may go on.
func (c *checker) receive(a *protocol.Action) {
	key := actionKey{a.Issuer, a.ID}
	if k := c.actions[key]; k != nil {
		c.received, c.twice = k, true
		return
	}
	k := &known{action: *a, earliest: a.Earliest, latest: a.Latest, arrived: c.now}
	if a.Epoch != 0 {
		k.earliest, k.latest = c.offset.Local(a.Earliest), c.offset.Local(a.Latest)
	}
	c.actions[key], c.received = k, k
	c.open++
	switch {
	case c.stopping || c.renewing:
		c.expect = protocol.ShuttingDown
	case a.Incarnation != 0 && a.Incarnation != c.config.Incarnation:
		c.expect = protocol.StaleIncarnation
	case c.outdated(a):
		c.expect = protocol.StaleEpoch
	case k.latest < k.earliest:
		c.expect = protocol.InvalidAction
	case k.latest < c.now:
		c.expect = protocol.TooLate
	case k.earliest > c.now.Add(c.config.Ahead):
		c.expect = protocol.TooEarly
	case a.Kind == protocol.Renew && a.Incarnation == 0:
		c.expect = protocol.InvalidAction
	case a.Kind == protocol.Renew:
		c.renewing, c.idle = true, protocol.Never
	}
	if c.expect != protocol.ShuttingDown && c.expect != protocol.StaleIncarnation && c.expect != protocol.StaleEpoch {
		c.epoch = max(c.epoch, a.Epoch)
	}
}

// outdated reports whether an action is of an earlier epoch than one that was seen.
func (c *checker) outdated(a *protocol.Action) bool {
	return a.Epoch != 0 && a.Epoch < max(c.epoch, c.offset.Newest()) || a.Epoch == 0 && c.epoch > 0 && a.Kind.OnGPU()
}

func (c *checker) transferred(e *Transferred) {
	o := e.Order
	g := &c.gpus[o.GPU]
	g.transfers = nil
	if o.Action.Kind == protocol.ClearCache {
		for _, name := range o.Dropping {
			if slices.Contains(e.Kept, name) && !g.weights[name].lost {
				g.weights[name].evicting = false
			} else {
				delete(g.weights, name)
			}
		}
		return
	}
	c.of(o).using--
	held := g.weights[o.Action.Model]
	switch load := o.Action.Kind == protocol.LoadWeights; {
	case held.lost:
		delete(g.weights, o.Action.Model)
	case load == (e.Refusal == nil):
		held.loaded, held.evicting = true, false
		if load {
			g.generations++
			held.generation = g.generations
		}
	default:
		delete(g.weights, o.Action.Model)
	}
}

// after looks at everything that the worker said, and at the worker.
func (c *checker) after(e Event, out *Output) {
	doubtful := c.doubtful(out.Results) // before what begins in this step, or after
	c.begins(out)
	for _, r := range c.doubtful(doubtful) {
		k := c.actions[actionKey{r.Issuer, r.Action}]
		c.failf("%+v is answered %s without a reason; there is %+v", k.action, r.Code, c.gpus[k.action.GPU].weights[k.action.Model])
	}
	c.results(out)
	c.loads(out)
	c.answers(out)
	c.reads(out)
	c.releases(out)
	c.dropped(e, out)
	c.renews(out)
	c.state()
}

func (c *checker) begins(out *Output) {
	for _, o := range out.Stage {
		k := c.of(o)
		if k.order != nil || k.result != nil {
			c.failf("G8: action %v is staged twice, or after its result", o.key())
		}
		k.order = o
		k.using++
		if held := c.gpus[o.GPU].weights[o.Action.Model]; held != nil && held.loaded && !held.evicting && !held.lost {
			k.generation = held.generation
		}
		c.inputs(o)
	}
	for _, o := range out.Execute {
		k, g := c.of(o), &c.gpus[o.GPU]
		c.begin(k, o)
		held := g.weights[o.Action.Model]
		switch {
		case g.executing != nil:
			c.failf("GPU %d executes two actions", o.GPU)
		case !k.staged:
			c.failf("action %v begins before its inputs are staged", o.key())
		case held == nil || !held.loaded || held.evicting || held.lost:
			c.failf("G6: action %v executes without weights", o.key())
		case k.generation != 0 && k.generation != held.generation:
			c.failf("action %v was staged for other weights", o.key())
		}
		held.users++
		g.executing = o
	}
	for _, o := range out.Fetch {
		c.of(o).using++
	}
	for _, o := range out.Transfer {
		c.transfer(o)
	}
	c.overdue(out)
	c.starts(out)
	c.checkReaders()
}

// reads: what an accepted ClearCache is still to remove is not read before.
func (c *checker) reads(out *Output) {
	for _, o := range out.Read {
		for _, name := range o.Action.Load.Names {
			if !o.Action.Load.Compare && c.removing(name) {
				c.failf("%s is read, and a ClearCache is still to remove it", name)
			}
		}
	}
}

// begin is what holds for whatever begins on a GPU.
func (c *checker) begin(k *known, o *Order) {
	switch {
	case k.begun:
		c.failf("G8: action %v begins twice", o.key())
	case k.result != nil:
		c.failf("G8: action %v begins after its result", o.key())
	case c.now < k.earliest || c.now > k.latest || o.Late(c.now) != nil:
		c.failf("G2: action %v begins outside [%v, %v]", o.key(), k.earliest, k.latest)
	}
	k.begun, k.executor = true, c.gpus[o.GPU].executor
	k.using++
}

func (c *checker) inputs(o *Order) {
	for i, r := range o.Action.Requests {
		if r.Generated {
			continue
		}
		if !bytes.Equal(o.Inputs[i], payload(r.ID, r.Batch*itemBytes)) {
			c.failf("action %v has the input %v for request %v", o.key(), o.Inputs[i], r.ID)
		}
	}
}

func (c *checker) transfer(o *Order) {
	k, g := c.of(o), &c.gpus[o.GPU]
	if g.transfers != nil {
		c.failf("GPU %d transfers twice at a time", o.GPU)
	}
	g.transfers = o
	if o.Action.Kind == protocol.ClearCache {
		for _, name := range o.Dropping {
			c.evict(g, name)
		}
		return
	}
	c.begin(k, o)
	if c.outdated(&o.Action) {
		c.failf("G7: action %v of epoch %d changes the pages; the worker is at %d", o.key(), o.Action.Epoch, c.epoch)
	}
	if o.Action.Kind == protocol.EvictWeights {
		c.evict(g, o.Action.Model)
		return
	}
	if g.weights[o.Action.Model] != nil {
		c.failf("G6: %s is loaded twice", o.Action.Model)
	}
	for name, held := range g.weights {
		for _, f := range o.Frames {
			if slices.Contains(held.frames, f) {
				c.failf("G6: page %d of %s is given to %s", f, name, o.Action.Model)
			}
		}
	}
	g.weights[o.Action.Model] = &weights{frames: slices.Clone(o.Frames)}
}

func (c *checker) evict(g *knownGPU, name string) {
	held := g.weights[name]
	if held == nil || !held.loaded || held.evicting || held.users > 0 || held.lost {
		c.failf("G6: %s is evicted, and is in use or not there: %+v", name, held)
	}
	held.evicting = true
}

func (c *checker) releases(out *Output) {
	if c.received != nil && c.received.result != nil && !c.twice {
		c.received.order = nil
	}
	for _, o := range out.Ended {
		if k := c.actions[o.key()]; k != nil && k.begun {
			k.using = 0
		}
	}
	for _, o := range out.Release {
		k := c.of(o)
		if k.released || k.using > 0 {
			c.failf("action %v is released twice, or while it is read", o.key())
		}
		k.released = true
	}
	for _, m := range out.Close {
		h := m.Handle
		if !c.handles[h] {
			c.failf("model %v is closed, and is not open", h)
		}
		delete(c.handles, h)
		for _, k := range c.actions {
			if k.order != nil && k.using > 0 && k.order.Model.Handle == h {
				c.failf("model %v is closed, and action %d reads it", h, k.action.ID)
			}
		}
	}
}

// dropped looks whether a payload really had no room, and the oldest that nobody claimed made
// room before it was dropped itself.
func (c *checker) dropped(e Event, out *Output) {
	if len(out.Dropped) == 0 {
		return
	}
	in, held, came := &c.worker.inputs, c.worker.Snapshot(), e.(*Input)
	unclaimed := c.unclaimed()
	last := out.Dropped[len(out.Dropped)-1]
	if last == came.ID {
		if len(out.Dropped) > 1 || held.InputBytes-unclaimed+came.Bytes <= c.config.MaxInputBytes {
			c.failf("payload %v is dropped, and there is room: %d of %d bytes, %d of them unclaimed", last, held.Inputs, held.InputBytes, unclaimed)
		}
		return
	}
	freed := len(out.Ended) > 0 // by an order that ended over this payload, after room was made for it
	if !freed && held.Inputs < c.config.MaxInputs && held.InputBytes+c.arrived[last].bytes <= c.config.MaxInputBytes {
		c.failf("payload %v makes room, and there was room: %d of %d bytes", last, held.Inputs, held.InputBytes)
	}
	for _, id := range out.Dropped {
		for other, p := range in.arrived {
			if was, here := c.arrived[id]; !here || other != came.ID && p.at < was.at {
				c.failf("payload %v makes room, and %v is older, or the first is claimed", id, other)
			}
		}
	}
}

// unclaimed counts the bytes of the payloads that no action has claimed.
func (c *checker) unclaimed() (bytes int64) {
	for _, p := range c.worker.inputs.arrived {
		bytes += p.bytes
	}
	return bytes
}

// state compares the worker with what is known of it.
func (c *checker) state() {
	s := c.worker.Snapshot()
	switch n := c.unclaimed(); {
	case n != c.worker.inputs.unclaimed:
		c.failf("G11: %d bytes are unclaimed, the worker says %d", n, c.worker.inputs.unclaimed)
	case s.InFlight != c.open:
		c.failf("G13: %d actions have no result, the worker says %d", c.open, s.InFlight)
	case s.Inputs > c.config.MaxInputs || s.InputBytes > c.config.MaxInputBytes || s.InputBytes < 0:
		c.failf("G11: %d inputs of %d bytes", s.Inputs, s.InputBytes)
	case s.Models > c.config.MaxModels || c.worker.loading > c.config.MaxLoads:
		c.failf("G11: %d models, %d loads", s.Models, c.worker.loading)
	}
	for i := range c.gpus {
		c.gpu(i)
	}
	for key, k := range c.actions {
		if k.action.Kind.OnGPU() && k.result == nil && !k.begun && k.latest < c.now {
			c.failf("G1: action %v can begin no more since %v and has no result", key, k.latest)
		}
		g := k.action.GPU
		ready := k.result == nil && !k.begun && k.earliest <= c.now
		if ready && k.action.Kind == protocol.Infer && k.staged && c.gpus[g].executing == nil ||
			ready && (k.action.Kind == protocol.LoadWeights || k.action.Kind == protocol.EvictWeights) && c.gpus[g].transfers == nil {
			c.failf("action %v may begin since %v, and GPU %d is idle", key, k.earliest, g)
		}
	}
}

func (c *checker) gpu(i int) {
	g, pages := &c.gpus[i], 0
	var loaded, moving []string
	for name, held := range g.weights {
		pages += len(held.frames)
		if held.loaded && !held.evicting && !held.lost {
			loaded = append(loaded, name)
		} else {
			moving = append(moving, name)
		}
	}
	slices.Sort(loaded)
	slices.Sort(moving)
	if is := c.worker.gpus[i].pages.Moving(); !slices.Equal(is, moving) {
		c.failf("G6: GPU %d moves %v, the worker says %v", i, moving, is)
	}
	if used, total := c.worker.Pages(i); used != pages || used > total {
		c.failf("G6: GPU %d uses %d of %d pages, its weights have %d", i, used, total, pages)
	}
	if is := c.worker.Resident(i); !slices.Equal(is, loaded) {
		c.failf("G6: GPU %d has %v, the worker says %v", i, loaded, is)
	}
	if n, m := c.worker.gpus[i].executions.Len(), c.worker.gpus[i].transfers.Len(); n > c.config.MaxQueued || m > c.config.MaxQueued {
		c.failf("G11: %d executions and %d transfers wait for GPU %d", n, m, i)
	}
}

// rest is how everything is when nothing comes any more.
func (c *checker) rest() {
	s := c.worker.Snapshot()
	if c.open > 0 || s.Inputs > 0 || s.InputBytes != 0 || len(c.worker.inputs.waiting) > 0 {
		c.failf("G13: at rest %d actions have no result; %d inputs of %d bytes, %d are waited for", c.open, s.Inputs, s.InputBytes, len(c.worker.inputs.waiting))
	}
	used := map[any]bool{}
	for name, m := range c.worker.library {
		used[m.shared.Handle] = true
		if m.orders != 0 {
			c.failf("at rest %s is needed by %d actions", name, m.orders)
		}
	}
	if len(used) != len(c.handles) {
		c.failf("G11: %d models are open, %d are needed", len(c.handles), len(used))
	}
	for _, k := range c.actions {
		if k.action.Kind == protocol.Infer && !k.released {
			c.failf("action %d of %d was never released", k.action.ID, k.action.Issuer)
		}
	}
}
