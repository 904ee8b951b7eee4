package scheduler

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
	"clockwork/pkg/watch/explain"
	"clockwork/pkg/wire"
)

// term is the time in which this process holds the lease. One lock owns the
// core: whoever brings an event, a callback of NATS or a timer, steps it and
// sends what it decided. A goroutine between the two would cost each request
// another switch.
type term struct {
	id     uint64 // of this process
	issuer uint64 // of this term: its actions are numbered from 1
	bus    *bus.Bus
	hub    *watch.Hub
	caller *bus.Caller
	starts *wire.Parcels[protocol.ClockworkState]
	joins  *wire.Parcels[protocol.WorkerState]
	over   chan struct{} // closed when the term must not go on

	epoch  atomic.Uint64
	active atomic.Bool
	queued atomic.Int64
	asking sync.WaitGroup

	mu      sync.Mutex // guards what follows
	core    sched.Core
	live    *explain.Live        // follows the core
	timer   *time.Timer          // of the core's wake
	wake    protocol.Time        // when it is set to
	beat    func()               // sends a heartbeat now; nil until the term serves
	ended   bool                 // the term is over; nothing more is decided
	started bool                 // Activate was given to the core
	models  []protocol.ModelSpec // of the epoch; every worker that joins holds all of them
	joining map[string]protocol.WorkerState
	synced  map[string]synced
	members map[string]uint64 // workers that the core has, and their incarnation
	away    map[string]uint64 // workers that the core lost, and their incarnation
	doors   map[uint64]*box[protocol.Dispatch]
	workers map[string]*box[protocol.Action]
	refs    []protocol.RequestRef // of the actions in workers
	submit  sched.Submit          // used for each, as result is
	result  sched.Result
	full    []flusher // of doors and workers, those with something to send
	unsent  int       // submissions and results since the last flush
	waitFor time.Time // until then activation waits for clocks

	ledgers   ledgers
	doorBeats *bus.Liveness
	tooMany   bool   // it was said that not all can be kept
	missed    uint64 // how often the broker did not get through to here
	question  uint64 // the last one about a door
}

// Bounds of queues, and of the wait for the workers' clocks at activation.
const (
	maxDispatches = 2048
	maxActions    = 256
	maxDoors      = 4096
	clockWait     = 2 * time.Second
	askWait       = 2 * time.Second
)

// stateActive is what the heartbeat says once requests are taken.
const stateActive = "active"

func newTerm(config Config, id uint64, b *bus.Bus, epoch uint64) (*term, error) {
	core, err := sched.New(config.Policy, config.Core)
	if err != nil {
		return nil, err
	}
	t := &term{
		id:      id,
		issuer:  bus.RandomID(),
		starts:  wire.NewParcels(wire.Start),
		joins:   wire.NewParcels(wire.Join),
		bus:     b,
		hub:     config.Telemetry,
		core:    core,
		over:    make(chan struct{}),
		joining: map[string]protocol.WorkerState{},
		synced:  map[string]synced{},
		members: map[string]uint64{},
		away:    map[string]uint64{},
		doors:   map[uint64]*box[protocol.Dispatch]{},
		workers: map[string]*box[protocol.Action]{},
		wake:    protocol.Never,

		ledgers:  ledgers{doors: map[uint64]*ledger{}},
		missed:   b.Reconnects() + uint64(b.Dropped()),
		question: bus.RandomID(),
	}
	t.epoch.Store(epoch)
	t.timer = time.AfterFunc(time.Hour, t.tick)
	return t, nil
}

// serve works until ctx ends or the lease is lost. beat has the term's heartbeat
// sent now.
func (t *term) serve(ctx context.Context, lease *bus.Lease, beat func()) error {
	ctx, cancel := context.WithCancel(ctx)
	stop, err := t.listen(ctx)
	defer func() {
		cancel()
		stop()
		t.end()
		t.asking.Wait()
	}()
	if err != nil {
		return err
	}
	for _, nc := range []*nats.Conn{t.bus.Control, t.bus.Payload} {
		if err := nc.Flush(); err != nil {
			return nil // the broker is gone; campaign again
		}
	}
	beat()
	t.locked(func() { t.beat = beat })
	t.bus.Log.Info("holding the lease", "epoch", t.epoch.Load())
	t.wait(ctx, lease)
	return nil
}

// admitEvery is how often it is looked whether activation can go on; news of
// workers do it at once.
const admitEvery = 50 * time.Millisecond

// wait returns when the term is over.
func (t *term) wait(ctx context.Context, lease *bus.Lease) {
	look := time.NewTicker(admitEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-lease.Lost():
			t.bus.Log.Warn("another scheduler holds the lease now")
			return
		case <-t.over:
			return
		case <-look.C:
			t.locked(func() {})
			if t.active.Load() {
				look.Stop()
			}
		}
	}
}

// locked runs f as the owner of the core, lets workers in that are ready, and
// sends what was decided.
func (t *term) locked(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	f()
	t.admit()
	t.flush()
}

func (t *term) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.timer.Stop()
	t.ledgers.clear()
}

func (t *term) tick() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended {
		t.wake = protocol.Never
		t.step(&sched.Tick{})
		t.flush()
	}
}

func (t *term) heartbeat() protocol.Heartbeat {
	h := protocol.Heartbeat{Incarnation: t.id, Epoch: t.epoch.Load(), State: "ready", InFlight: int(t.queued.Load())}
	if t.active.Load() {
		h.State = stateActive
	}
	return h
}

// step gives the core one event; what it decided leaves with the next flush.
func (t *term) step(e sched.Event) {
	out := t.core.Step(clock.Now(), e)
	t.order(out.Actions)
	t.dispatch(out.Dispatches)
	t.dispatch(out.Refusals)
	// A timer that rings too early is set anew then: that is less work than to
	// set it back with each event.
	if out.Wake < t.wake {
		t.wake = out.Wake
		t.timer.Reset(max(0, out.Wake.Sub(clock.Now())))
	}
}

func (t *term) order(actions []sched.Addressed) {
	for _, a := range actions {
		box := t.workers[a.Worker]
		if box == nil {
			// Without them, their results will be overdue.
			box = newBox(t.bus, t.bus.Subjects.Action(a.Worker), wire.Actions, maxActions)
			t.workers[a.Worker] = box
		}
		first := len(t.refs)
		t.refs = append(t.refs, a.Action.Requests...) // the core uses its own again
		a.Action.Requests = t.refs[first:len(t.refs):len(t.refs)]
		if box.add(a.Action) {
			t.full = append(t.full, box)
		}
	}
}

func (t *term) dispatch(decisions []protocol.Dispatch) {
	for _, d := range decisions {
		door := d.ID.Door
		box := t.doors[door]
		if box == nil {
			if len(t.doors) >= maxDoors {
				t.bus.Log.Warn("dispatch dropped: too many front doors", "limit", maxDoors) // its deadline answers it
				continue
			}
			// Without them, deadlines answer.
			box = newBox(t.bus, t.bus.Subjects.Dispatch(door), wire.Dispatches, maxDispatches)
			t.doors[door] = box
		}
		if box.add(d) {
			t.full = append(t.full, box)
		}
	}
}

// flush sends every worker and every door what was decided for it.
func (t *term) flush() {
	for _, box := range t.full {
		box.flush()
	}
	clear(t.full)
	t.full, t.refs, t.unsent = t.full[:0], t.refs[:0], 0
	stats := t.core.Stats()
	t.queued.Store(int64(stats.Queued + stats.InFlight))
}

// listen subscribes to everything that reaches a scheduler.
func (t *term) listen(ctx context.Context) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}
	t.caller = t.bus.NewCaller(bus.RandomID(), askWait)
	s := t.bus.Subjects
	for _, sub := range []struct {
		nc      *nats.Conn
		subject string
		handle  nats.MsgHandler
	}{
		{t.bus.Control, s.Submissions(), t.onSubmit},
		{t.bus.Control, s.Result("*"), t.onResult},
		{t.bus.Control, s.Clock("*"), t.onClock},
		{t.bus.Payload, s.SchedulerStart(), t.onStart},
		{t.bus.Payload, s.SchedulerJoin(), t.onJoin},
	} {
		subscription, err := t.bus.Subscribe(sub.nc, sub.subject, sub.handle)
		if err != nil {
			return stop, err
		}
		stops = append(stops, func() { _ = subscription.Unsubscribe() })
	}
	questions, err := t.bus.Answer(protocol.Scheduler, t.answer)
	if err != nil {
		return stop, err
	}
	stops = append(stops, func() { _ = questions.Unsubscribe() })
	workers, err := t.bus.WatchHeartbeats(protocol.Worker,
		func(h protocol.Heartbeat) { t.locked(func() { t.workerBeat(ctx, h) }) },
		func(h protocol.Heartbeat) { t.locked(func() { t.workerLost(h) }) })
	if err != nil {
		return stop, err
	}
	stops = append(stops, workers.Stop)
	doors, err := t.bus.WatchHeartbeats(protocol.FrontDoor, t.doorBeat,
		func(h protocol.Heartbeat) { t.locked(func() { t.doorLost(h) }) })
	if err != nil {
		return stop, err
	}
	stops = append(stops, doors.Stop)
	t.mu.Lock()
	t.doorBeats = doors
	t.mu.Unlock()
	return stop, nil
}

// maxUnsent bounds how many submissions and results are worked off before what
// was decided is sent.
const maxUnsent = 32

// flushLast is flush once no message of the subscription waits behind this one,
// or when enough has come together.
func (t *term) flushLast(sub *nats.Subscription, events int) {
	t.unsent += events
	if waiting, _, err := sub.Pending(); err != nil || waiting <= 1 || t.unsent >= maxUnsent {
		t.flush()
	}
}

func (t *term) onResult(m *nats.Msg) {
	results, fault := t.bus.DecodeResults(m, t.issuer)
	if fault != nil {
		t.bus.Log.Warn("bad result", "subject", m.Subject, "error", fault)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range results {
		if t.ended {
			return
		}
		if r.Code != protocol.OK && r.Message == "" { // clients are told what the worker said
			r.Message = r.Code.Row().Sentence
		}
		t.result.Result = r
		t.step(&t.result)
		if r.Epoch > t.epoch.Load() {
			t.resign("a worker obeys a newer epoch")
		}
	}
	if !t.ended {
		t.flushLast(m.Sub, len(results))
	}
}

// resign ends the term: the next one has a new epoch and is activated anew.
func (t *term) resign(why string) {
	t.bus.Log.Warn("giving up the lease: "+why, "epoch", t.epoch.Load())
	t.ended = true
	close(t.over)
}
