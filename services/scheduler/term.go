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

// term is the shell around a sched.Term. One lock owns the core: whoever brings an
// event, a callback of NATS or a timer, steps it and sends what it decided. A
// goroutine between the two would cost each request another switch.
type term struct {
	id     uint64 // of this process
	issuer uint64 // of this term
	bus    *bus.Bus
	hub    *watch.Hub
	caller *bus.Caller
	starts *wire.Chunks[protocol.ClockworkState]
	joins  *wire.Chunks[protocol.WorkerState]
	over   chan struct{} // closed when the term must not go on

	// What the heartbeat says, as of the last step that changed it.
	epoch  atomic.Uint64
	active atomic.Bool
	queued atomic.Int64

	ctx     context.Context // ends with the term; of what is asked in it
	sending sync.WaitGroup  // questions and answers that are sent beside the lock

	mu       sync.Mutex // guards what follows
	core     *sched.Term
	live     *explain.Live  // observes the core
	snapshot sched.Snapshot // of the core, as of the last look
	demand   demand
	timer    *time.Timer   // of the core's wake
	wake     protocol.Time // when it is set to
	beat     func()        // sends a heartbeat now; nil until the term serves
	ended    bool          // the term is over; nothing more is decided
	doors    map[uint64]*box[protocol.Dispatch]
	workers  map[string]*box[protocol.Action]
	refs     []protocol.RequestRef // of the actions in workers
	report   sched.AnswersReported // used for each, as the next two are
	submit   sched.Submitted
	result   sched.Result
	full     []flusher // of doors and workers, those with something to send
	unsent   int       // submissions and results since the last flush
	missed   uint64    // how often the broker did not get through to here
}

// Bounds of messages and boxes, and of the wait for a worker's answer.
const (
	maxDispatches = 2048 // in a message, as the next
	maxActions    = 256
	maxBoxes      = 4096 // of workers, and of front doors
	queryWait     = 2 * time.Second
)

func newTerm(config Config, id uint64, b *bus.Bus, epoch uint64) (*term, error) {
	core, err := sched.New(config.Policy, config.Core)
	if err != nil {
		return nil, err
	}
	t := &term{
		id:      id,
		issuer:  bus.RandomID(),
		starts:  wire.NewChunks(wire.Start),
		joins:   wire.NewChunks(wire.Join),
		bus:     b,
		hub:     config.Telemetry,
		live:    explain.NewLive(),
		over:    make(chan struct{}),
		doors:   map[uint64]*box[protocol.Dispatch]{},
		workers: map[string]*box[protocol.Action]{},
		wake:    protocol.Never,
		missed:  missedBy(b),
	}
	t.core = sched.NewTerm(core, sched.TermConfig{Epoch: epoch, Issuer: t.issuer, Question: bus.RandomID(), Subjects: b.Subjects})
	observers := t.observers(config)
	observers.Begin(config.Policy, config.Core)
	t.core.Observe = observers.Step
	t.epoch.Store(epoch)
	t.timer = time.AfterFunc(time.Hour, t.tick)
	return t, nil
}

// serve works until ctx ends or the lease is lost. beat has the term's heartbeat
// sent now.
func (t *term) serve(ctx context.Context, lease *bus.Lease, beat func()) error {
	ctx, cancel := context.WithCancel(ctx)
	t.ctx = ctx
	stop, err := t.listen()
	defer func() {
		cancel()
		stop()
		t.end()
		t.sending.Wait()
	}()
	if err != nil {
		return err
	}
	for _, nc := range []*nats.Conn{t.bus.Control, t.bus.Payload} {
		if err := nc.Flush(); err != nil {
			return nil // the broker is gone; campaign again
		}
	}
	t.mu.Lock()
	t.beat = beat
	t.mu.Unlock()
	beat()
	t.bus.Log.Info("holding the lease", "epoch", t.epoch.Load())
	t.wait(ctx, lease)
	return nil
}

// wait returns when the term is over. Until then it counts for those who are
// watched: where this process was stopped, the ticks of that time do not come.
func (t *term) wait(ctx context.Context, lease *bus.Lease) {
	every := time.NewTicker(protocol.HeartbeatEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-lease.Lost():
			t.bus.Log.Warn("another scheduler holds the lease now")
			return
		case <-t.over:
			return
		case <-every.C:
			t.take(&sched.HeartbeatDue{})
		}
	}
}

// take gives the core an event and sends what was decided.
func (t *term) take(e sched.TermEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	t.step(e)
	t.flush()
}

func (t *term) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.timer.Stop()
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
	h := protocol.Heartbeat{Incarnation: t.id, Epoch: t.epoch.Load(), State: protocol.SchedulerReady, InFlight: int(t.queued.Load())}
	if t.active.Load() {
		h.State = protocol.SchedulerActive
	}
	return h
}

// step gives the core one event; what it decided leaves with the next flush.
func (t *term) step(e sched.TermEvent) {
	out := t.decide(e)
	t.order(out.Actions)
	t.dispatch(out.Dispatches)
	t.dispatch(out.Refusals)
	t.dispatch(out.Verdicts)
	if len(out.Notes)+len(out.Ask)+len(out.Questions)+len(out.Owed) > 0 || out.Activated || out.Resign != "" {
		t.carryOut(out)
	}
	// A timer that rings too early is set anew then: that is less work than to
	// set it back with each event.
	if out.Wake < t.wake {
		t.wake = out.Wake
		t.timer.Reset(max(0, out.Wake.Sub(clock.Now())))
	}
}

// decide steps the core, with those who observe it.
func (t *term) decide(e sched.TermEvent) *sched.TermOutput {
	if !t.hub.WantsSteps() {
		return t.core.Step(clock.Now(), e)
	}
	began := time.Now()
	out := t.core.Step(clock.Now(), e)
	t.hub.Step(time.Since(began))
	return out
}

// observers are shown what the policy's core is given, and what it decides.
func (t *term) observers(config Config) sched.Observers {
	list := sched.Observers{t.live}
	if o := config.Telemetry.Observer(); o != nil {
		list = append(list, o)
	}
	return append(list, config.Observers...)
}

// carryOut does what is seldom to do.
func (t *term) carryOut(out *sched.TermOutput) {
	t.epoch.Store(t.core.Epoch())
	t.active.Store(t.core.Active())
	for _, n := range out.Notes {
		t.say(n)
	}
	for _, q := range out.Ask {
		t.sending.Go(func() { t.ask(q) })
	}
	for _, q := range out.Questions {
		t.queryResponders(q)
	}
	for _, o := range out.Owed {
		t.sending.Go(func() { t.answerFor(o) })
	}
	if out.Activated && t.beat != nil {
		t.beat()
	}
	if out.Resign != "" { // the next term has a new epoch and is activated anew
		t.bus.Log.Warn("giving up the lease: "+out.Resign, "epoch", t.epoch.Load())
		t.ended = true
		close(t.over)
	}
}

func (t *term) order(actions []sched.Addressed) {
	for _, a := range actions {
		box := t.workers[a.Worker]
		if box == nil {
			box = newBox(t.bus, t.bus.Subjects.Action(a.Worker), wire.Actions, maxActions)
			addBox(t.workers, a.Worker, box)
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
			box = newBox(t.bus, t.bus.Subjects.Dispatch(door), wire.Dispatches, maxDispatches)
			addBox(t.doors, door, box)
		}
		if box.add(d) {
			t.full = append(t.full, box)
		}
	}
}

// flush sends every worker and every front door what was decided for it.
func (t *term) flush() {
	for _, box := range t.full {
		box.flush()
	}
	clear(t.full)
	t.full, t.refs, t.unsent = t.full[:0], t.refs[:0], 0
	stats := t.core.Stats()
	t.queued.Store(int64(stats.Queued + stats.InFlight))
}
