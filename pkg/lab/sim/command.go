package sim

import (
	"maps"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// command is an action of the controller or the profiler that concerns a
// worker's memory, not its lanes.
type command struct {
	host   *host
	action protocol.Action
	answer func(protocol.Result)
}

// How long it takes to read a model from disk, and how many at a time.
const (
	concurrentLoads = 2
	diskLatency     = 20 * time.Millisecond
	diskBandwidth   = 1e9 // bytes a second
)

// commandKey names a command among all issuers'.
type commandKey struct {
	issuer uint64
	id     protocol.ActionID
}

func (c *command) key() commandKey { return commandKey{c.action.Issuer, c.action.ID} }

// command sends an action to a worker; answer has the result, if it comes back.
func (s *world) command(h *host, a protocol.Action, answer func(protocol.Result)) {
	s.send(h, s.link.delay(), event{kind: commanded, of: &command{h, a, answer}})
}

// obey has the action at its worker. One that comes again is answered from
// memory, once there is an answer.
func (c *command) obey() {
	h := c.host
	if r, known := h.commands[c.key()]; known {
		if r != nil {
			c.send(*r)
		}
		return
	}
	h.commands[c.key()] = nil
	switch {
	case c.action.Incarnation != 0 && c.action.Incarnation != h.Incarnation:
		c.reply(protocol.Result{Code: protocol.StaleIncarnation})
	case c.action.Kind == protocol.GetWorkerState:
		state := h.state()
		c.reply(protocol.Result{Code: protocol.OK, State: &state})
	case c.action.Kind == protocol.LoadModelFromDisk:
		c.load()
	case c.action.GPU >= 0:
		code := h.GPUs[c.action.GPU].Clear()
		if h.books != nil && code == protocol.OK {
			h.openBook(c.action.GPU)
		}
		c.reply(protocol.Result{Code: code})
	default:
		for _, name := range c.action.Models {
			delete(h.memory, name)
		}
		c.reply(protocol.Result{Code: protocol.OK})
	}
}

// load reads a model, when one of the worker's readers is free.
func (c *command) load() {
	h, s, life := c.host, c.host.world, c.host.Incarnation
	first := s.byName[c.action.Load.Names[0]]
	reader := 0
	for i := range h.disk {
		if h.disk[i] < h.disk[reader] {
			reader = i
		}
	}
	takes := diskLatency + time.Duration(float64(first.WeightsBytes)/diskBandwidth*1e9)
	h.disk[reader] = max(s.now, h.disk[reader]).Add(takes)
	s.later(h.disk[reader].Sub(s.now), func() {
		if h.Incarnation != life {
			return
		}
		r := protocol.Result{Code: protocol.OK}
		for _, name := range c.action.Load.Names {
			h.memory[name] = true
			r.Loaded = append(r.Loaded, s.byName[name].ModelSpec)
		}
		c.reply(r)
	})
}

// reply sends the result back, and remembers it unless it is a state.
func (c *command) reply(r protocol.Result) {
	a, h := &c.action, c.host
	r.Action, r.Issuer, r.Kind, r.Worker, r.Incarnation, r.Epoch = a.ID, a.Issuer, a.Kind, h.ID, h.Incarnation, h.Epoch()
	if h.commands[c.key()] = &r; r.State != nil {
		delete(h.commands, c.key())
	}
	c.send(r)
}

func (c *command) send(r protocol.Result) {
	c.host.world.sendCall(c.host, c.host.world.link.delay(), func() { c.answer(r) })
}

// inMemory returns the models in the worker's memory, by name.
func (h *host) inMemory() (specs []protocol.ModelSpec) {
	for _, name := range slices.Sorted(maps.Keys(h.memory)) {
		specs = append(specs, h.world.byName[name].ModelSpec)
	}
	return specs
}
