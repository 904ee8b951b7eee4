package worker

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/backend"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/clocksync"
	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/livestats"
)

// agent is a running worker, from the moment it holds its name. One lock owns
// its core: NATS callbacks take it to pass actions and inputs, a GPU's
// goroutines to pass the ends of orders. Nothing blocks under the lock; devices
// are called outside of it.
type agent struct {
	config      Config
	bus         *bus.Bus
	backend     backend.Backend
	incarnation uint64

	mu       sync.Mutex // guards everything down to the blank line
	core     *work.Worker
	timer    *time.Timer                        // fires at the core's Wake
	wake     protocol.Time                      // when the timer fires
	staging  []*work.Order                      // small inputs, staged within the current step
	reads    map[*work.Order]context.CancelFunc // of models, under way
	models   map[backend.Model]struct{}
	received work.Received // reused for every event, as input is
	input    work.Input
	pace     clocksync.Pace // of queries of the clock

	gpus       []*gpu
	results    *bus.Batch[protocol.Result]
	outputs    *outputs
	unsent     chan struct{} // wakes the sender
	sender     sync.WaitGroup
	clockWake  chan struct{} // query the clock now
	subs       []*nats.Subscription
	stats      *livestats.Worker // has its own lock
	shown      *bus.LiveStats
	heartbeats *bus.Heartbeater
	unregister func()          // removes the worker from the hub
	leave      func()          // takes no more inputs from within the process
	ctx        context.Context // of loads and of the clock; ends when the worker stops
	cancel     context.CancelFunc
	work       sync.WaitGroup
}

func newAgent(config Config, b *bus.Bus, back backend.Backend) *agent {
	a := &agent{
		config:      config,
		bus:         b,
		backend:     back,
		incarnation: bus.RandomID(),
		wake:        protocol.Never,
		models:      map[backend.Model]struct{}{},
		reads:       map[*work.Order]context.CancelFunc{},
		unsent:      make(chan struct{}, 1),
		clockWake:   make(chan struct{}, 1),
		unregister:  func() {},
		leave:       func() {},
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.results = bus.NewBatch(maxResults, a.sendResults)
	a.outputs = newOutputs(b, config.Name)
	for i, device := range back.Devices() {
		a.gpus = append(a.gpus, newGPU(a, i, device))
	}
	core := a.coreConfig()
	a.core = work.New(core)
	config.Observers.Begin(core)
	a.timer = time.AfterFunc(time.Hour, a.tick)
	a.stats = livestats.NewWorker(len(a.gpus))
	back.Watch(a.onNotice)
	return a
}

func (a *agent) coreConfig() work.Config {
	c := work.Defaults()
	c.Name, c.Incarnation = a.config.Name, a.incarnation
	c.Backend, c.BackendVersion = a.backend.Name(), a.backend.Version()
	c.GenerateInputs, c.Ahead, c.InputWait = a.config.GenerateInputs, a.config.Ahead, a.config.InputWait
	c.MaxQueued, c.MaxInputs, c.MaxInputBytes = a.config.MaxQueued, a.config.MaxInputs, a.config.MaxInputBytes
	c.MaxModels, c.MaxOutput = a.config.MaxModels, a.outputs.limit()
	c.Overdue, c.RestartWithin = a.config.Overdue, a.config.RestartWithin
	for _, g := range a.gpus {
		c.GPUs = append(c.GPUs, work.GPU{UUID: g.info.UUID, Type: g.info.Type, Pages: g.info.Pages, PageSize: g.info.PageSize, Processor: g.info.Processor})
	}
	return c
}

// start starts the GPUs, the subscriptions and the heartbeats.
func (a *agent) start() error {
	a.sender.Go(a.send)
	for _, g := range a.gpus {
		g.start()
	}
	s, name := a.bus.Subjects, a.config.Name
	for _, sub := range []struct {
		nc      *nats.Conn
		subject string
		handle  nats.MsgHandler
	}{
		{a.bus.Control, s.Action(name), a.onAction},
		{a.bus.Payload, s.Input(name), a.onInputs},
	} {
		subscription, err := a.bus.Subscribe(sub.nc, sub.subject, sub.handle)
		if err != nil {
			return err
		}
		a.subs = append(a.subs, subscription)
	}
	a.leave = a.bus.Local.Worker(name, a.takeInputs)
	var err error
	if a.shown, err = a.bus.StartLiveStats(protocol.Worker, name, &shown{a.stats, a}); err != nil {
		return err
	}
	for _, nc := range []*nats.Conn{a.bus.Control, a.bus.Payload} {
		if err := nc.Flush(); err != nil { // the broker has the subscriptions now
			return err
		}
	}
	heartbeats := a.bus.StartHeartbeats(protocol.Worker, name, a.heartbeat)
	a.mu.Lock() // beatNow may be called already
	a.heartbeats = heartbeats
	a.mu.Unlock()
	if err := a.startClock(); err != nil {
		return err
	}
	a.unregister = a.config.Telemetry.Register(a.source())
	a.bus.Log.Info("worker is up", "worker", name, "backend", a.backend.Name(), "version", a.backend.Version(), "gpus", len(a.gpus),
		"processors", a.processors())
	return nil
}

// stop accepts no more actions, finishes the running ones within Config.Finish,
// and releases everything.
func (a *agent) stop() error {
	defer a.unregister()
	a.finish()
	a.mu.Lock()
	a.step(&work.Abandon{})
	a.unlock()
	a.drain()
	a.endBusy()
	a.work.Wait() // loads and the clock
	a.timer.Stop()
	for _, g := range a.gpus {
		g.stop()
	}
	close(a.unsent)
	a.sender.Wait()
	if a.heartbeats != nil {
		a.heartbeats.Stop()
	}
	a.shown.Stop()
	a.mu.Lock()
	for _, g := range a.gpus {
		g.evictAll()
	}
	a.closeAll()
	a.mu.Unlock()
	return a.backend.Close() // which may wait for a notice to be taken
}

// finish waits for the worker's actions to end. The heartbeats report that the
// worker is stopping, so that it gets no more actions; further ones are answered
// SHUTTING_DOWN.
func (a *agent) finish() {
	a.mu.Lock()
	a.step(&work.Stop{})
	a.mu.Unlock()
	a.cancel() // loads from disk are useless now
	if a.heartbeats == nil {
		return
	}
	a.heartbeats.Now()
	look := time.NewTicker(finishLook)
	defer look.Stop()
	late := time.After(a.config.Finish)
	for busy := true; busy; {
		select {
		case <-late:
			return
		case <-look.C:
		}
		a.mu.Lock()
		busy = a.core.InFlight() > 0
		a.mu.Unlock()
	}
	a.flush() // before the heartbeat that reports nothing in flight
	a.heartbeats.Now()
}

// finishLook is the interval between checks whether a stopping worker is done.
const finishLook = 2 * time.Millisecond

// unlock releases the lock and sends the results.
func (a *agent) unlock() {
	a.mu.Unlock()
	a.results.Flush()
}

// sendSoon releases the lock after a lane's step. While lanes execute, outputs
// and results are left to the sender: this lane can start its next order, and
// lanes that end together fill one message.
func (a *agent) sendSoon() {
	last := a.core.Executing() == 0
	a.mu.Unlock()
	if last {
		a.flush()
		return
	}
	select {
	case a.unsent <- struct{}{}:
	default: // the sender is already due
	}
}

// send sends the outputs and results left by lanes, the outputs first. It yields
// the processor once before: lanes that are about to end then do so, and their
// outputs are sent along. On an idle machine there are none, and nothing is
// delayed.
func (a *agent) send() {
	for range a.unsent {
		runtime.Gosched()
		a.flush()
	}
	a.flush()
}

// flush sends outputs and results.
func (a *agent) flush() {
	a.outputs.flush()
	a.results.Flush()
}

// drainWait bounds the wait for the end of the subscriptions.
const drainWait = time.Second

// drain ends the subscriptions after their pending messages are processed.
func (a *agent) drain() {
	a.leave()
	closed := make(chan struct{}, len(a.subs))
	for _, sub := range a.subs {
		sub.SetClosedHandler(func(string) { closed <- struct{}{} })
		if err := sub.Drain(); err != nil { // the connection is already closed
			closed <- struct{}{}
		}
	}
	late := time.After(drainWait)
	for range a.subs {
		select {
		case <-closed:
		case <-late:
			return
		}
	}
}

func (a *agent) heartbeat() protocol.Heartbeat {
	a.mu.Lock()
	defer a.unlock()
	a.step(&work.Tick{})
	return a.core.Heartbeat()
}
