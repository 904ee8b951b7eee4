package scheduler

import (
	"context"
	"log/slog"
	"sync"
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

// term is the shell around a sched.Term. One lock owns the core: each NATS
// callback and timer steps the core itself and sends its decisions. A goroutine
// in between would cost each request another switch.
type term struct {
	id      uint64 // of this process
	issuer  uint64 // of this term
	results *bus.Results
	bus     *bus.Bus
	hub     *watch.Hub
	caller  *bus.Caller
	starts  *wire.Chunks[protocol.ClockworkState]
	joins   *wire.Chunks[protocol.WorkerState]
	over    chan struct{} // closed when the term must end

	epoch uint64

	ctx     context.Context // ends with the term; bounds queries made in it
	sending sync.WaitGroup  // queries and answers that are sent outside the lock

	mu        sync.Mutex // guards the fields below
	core      *sched.Term
	observers sched.TermObservers
	live      *explain.Live  // observes the policy's core
	snapshot  sched.Snapshot // the last snapshot of the core
	timer     *time.Timer    // fires at the core's Wake
	wake      protocol.Time  // when the timer fires
	beat      func()         // sends a heartbeat now; nil until the term serves
	ended     bool           // the term is over; no more decisions
	doors     *bus.Outboxes[uint64, protocol.Dispatch]
	workers   *bus.Outboxes[string, protocol.Action]
	refs      []protocol.RequestRef // of the actions in workers
	report    sched.AnswersReported // reused for every event, as the next two
	submit    sched.Submitted
	result    sched.Result
	unsent    int // submissions and results since the last flush
}

// These bound messages.
const (
	maxDispatches = 2048
	maxActions    = 256
)

func newTerm(config Config, id uint64, b *bus.Bus, epoch uint64) (*term, error) {
	core, err := sched.New(config.Policy, config.Core)
	if err != nil {
		return nil, err
	}
	t := &term{
		id:     id,
		epoch:  epoch,
		issuer: bus.RandomID(),
		starts: wire.NewChunks(wire.Start),
		joins:  wire.NewChunks(wire.Join),
		bus:    b,
		hub:    config.Telemetry,
		live:   explain.NewLive(),
		over:   make(chan struct{}),
		doors: bus.NewOutboxes(bus.Cut[protocol.Dispatch]{Items: maxDispatches}, func(door uint64) func([]protocol.Dispatch) {
			return decisions(b, wire.Dispatches, b.Subjects.Dispatch(door))
		}),
		workers: bus.NewOutboxes(bus.Cut[protocol.Action]{Items: maxActions}, func(worker string) func([]protocol.Action) {
			return decisions(b, wire.Actions, b.Subjects.Action(worker))
		}),
		wake: protocol.Never,
	}
	t.results = b.NewResults(t.issuer)
	setup := sched.TermSetup{
		Setup: sched.Setup{Policy: config.Policy, Config: config.Core},
		Term:  sched.TermConfig{Epoch: epoch, Issuer: t.issuer, Question: bus.RandomID(), Missed: missedBy(b), Subjects: b.Subjects},
	}
	t.core, t.observers = sched.NewTerm(core, setup.Term), config.Observers
	t.observers.Begin(setup)
	ofPolicy := t.policyObservers(config.Telemetry)
	ofPolicy.Begin(setup.Setup)
	t.core.Observe = ofPolicy.Step
	t.timer = time.AfterFunc(time.Hour, t.tick)
	return t, nil
}

// serve runs the term until ctx ends or the lease is lost. beat sends the term's
// heartbeat at once.
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
			return nil // the broker is unreachable; campaign again
		}
	}
	t.mu.Lock()
	t.beat = beat
	t.mu.Unlock()
	beat()
	t.bus.Log.Info("holding the lease", "epoch", t.epoch)
	t.wait(ctx, lease)
	return nil
}

// wait returns when the term is over. Until then it sends HeartbeatDue to the
// core; while this process is paused there are no ticks, so no peer is declared
// lost.
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

// take applies one event to the core and sends the decisions.
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
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.core.Heartbeat(clock.Now())
	h.Incarnation = t.id
	return h
}

// step applies one event to the core; its decisions are sent by the next flush.
func (t *term) step(e sched.TermEvent) {
	now := clock.Now()
	out := t.decide(now, e)
	t.observers.Step(now, e, out)
	t.order(out.Actions)
	t.dispatch(out.Dispatches)
	t.dispatch(out.Refusals)
	t.dispatch(out.Verdicts)
	if len(out.Notes)+len(out.Incidents)+len(out.Ask)+len(out.Questions)+len(out.Owed) > 0 || out.Activated || out.Resign != "" {
		t.carryOut(out)
	}
	// An early timer is set again when it fires: that costs less than to postpone it
	// with each event.
	if out.Wake < t.wake {
		t.wake = out.Wake
		t.timer.Reset(max(0, out.Wake.Sub(clock.Now())))
	}
}

// decide steps the core, and measures the step if the hub wants that.
func (t *term) decide(now protocol.Time, e sched.TermEvent) *sched.TermOutput {
	if !t.hub.WantsSteps() {
		return t.core.Step(now, e)
	}
	began := time.Now()
	out := t.core.Step(now, e)
	t.hub.Step(time.Since(began))
	return out
}

// policyObservers returns the observers of the policy's core.
func (t *term) policyObservers(hub *watch.Hub) sched.Observers {
	list := sched.Observers{t.live}
	if o := hub.Observer(); o != nil {
		list = append(list, o)
	}
	return list
}

// carryOut carries out the rare parts of the output.
func (t *term) carryOut(out *sched.TermOutput) {
	for _, n := range out.Notes {
		t.say(n)
	}
	for i := range out.Incidents {
		t.incident(&out.Incidents[i])
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
	if out.Resign != "" { // the next term has a new epoch and needs an activation
		t.bus.Log.Warn("giving up the lease: "+out.Resign, "epoch", t.epoch)
		t.ended = true
		close(t.over)
	}
}

func (t *term) order(actions []sched.Addressed) {
	for _, a := range actions {
		first := len(t.refs)
		t.refs = append(t.refs, a.Action.Requests...) // the core reuses its own slice
		a.Action.Requests = t.refs[first:len(t.refs):len(t.refs)]
		t.workers.Add(a.Worker, a.Action)
	}
}

func (t *term) dispatch(decisions []protocol.Dispatch) {
	for _, d := range decisions {
		t.doors.Add(d.ID.Door, d)
	}
}

// decisions returns a function that sends decisions to one receiver.
func decisions[T any](b *bus.Bus, codec wire.Codec[[]T], subject string) func([]T) {
	return func(part []T) {
		if err := bus.PublishCut(b.Control, codec, subject, &part, bus.Halves); err != nil {
			b.Notice(slog.LevelWarn, "decisions not sent", subject, "subject", subject, "count", len(part), "error", err)
		}
	}
}

// flush sends every worker and every front door its decisions.
func (t *term) flush() {
	t.workers.Flush()
	t.doors.Flush()
	t.refs, t.unsent = t.refs[:0], 0
}
