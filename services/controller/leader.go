package controller

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/liveness"
	"clockwork/pkg/core/startup"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
	"clockwork/services/frontdoor"
	"clockwork/services/host"
)

// leader drives the startup phase: whoever has an event takes the lock, steps the machine and
// carries out its output.
type leader struct {
	config Config
	bus    *bus.Bus
	buffer *bus.Buffer
	door   *frontdoor.FrontDoor
	caller *bus.Caller

	writer *bus.Writer // of this term
	// profiles are stored apart from the state.
	profiles *bus.State
	machine  *startup.Machine
	issuer   uint64 // of this term's actions and jobs
	results  *bus.Results
	// unreadable is why the state could not be read at the last try, "" if it was read; it
	// is the service's.
	unreadable *string
	readable   uint64        // up to which revision all of the store could be read at the start
	over       chan struct{} // closed when the machine steps down

	// mu is held during each Step and the execution of its output; nothing blocks under it.
	// It guards the machine and all below.
	mu       sync.Mutex
	stage    protocol.Stage
	since    time.Time
	revision uint64
	timer    *time.Timer // fires at the machine's Wake
	// ended: the machine gets no more events, since it stepped down, the lease is lost, or the
	// controller stops.
	ended     bool
	loads     map[uint64]*nats.Msg // by token, until answered
	nextToken uint64

	// storeFault is why the state cannot be kept, nil if it can; the watchdog sets it.
	storeFault atomic.Pointer[string]

	// answering holds a slot per ls or state request being answered.
	answering chan struct{}
	reports   *wire.Chunks[protocol.ProfileReport]

	records records
	work    host.Tasks
}

// maxAnswering bounds the concurrent ls and state requests.
const maxAnswering = 64

// queryWait bounds the wait for a worker's state when a client asks for the
// stack's state.
const queryWait = time.Second

// recallPause is the pause before a controller that cannot read the store
// campaigns again.
const recallPause = 500 * time.Millisecond

// recallWait bounds how long taking over the store may take, before it is read.
const recallWait = 30 * time.Second

func newLeader(config Config, b *bus.Bus, buffer *bus.Buffer, door *frontdoor.FrontDoor, unreadable *string) *leader {
	return &leader{
		config: config,
		bus:    b,
		buffer: buffer,
		door:   door,
		over:   make(chan struct{}),
		loads:  map[uint64]*nats.Msg{},

		unreadable: unreadable,
		records:    records{waiting: map[string]*protocol.WorkerState{}},

		answering: make(chan struct{}, maxAnswering),
		reports:   wire.NewChunks(wire.Report),
	}
}

// lead works until ctx ends, the lease is lost, or another controller has moved
// the stage.
func (l *leader) lead(ctx context.Context, lease *bus.Lease) error {
	ctx, cancel := context.WithCancel(ctx)
	stop := func() {}
	defer func() {
		cancel()
		l.end()
		stop()
		l.work.Stop()
	}()
	config := startup.DefaultConfig()
	l.issuer = bus.RandomID() // distinguishes actions and jobs of this term from earlier ones
	l.results = l.bus.NewResults(l.issuer)
	config.Issuer, config.MaxNames = l.issuer, min(config.MaxNames, int(l.bus.Control.MaxPayload())/2)
	config.MaxDescription = min(config.MaxDescription, l.bus.Control.MaxPayload()/4) // a page has more than that
	config.LoadIdle, config.LoadTimeout, config.MaxBatch = l.config.LoadIdle, l.config.LoadTimeout, l.config.MaxBatch
	first, err := l.recall(ctx, lease)
	if err != nil {
		l.unread(err)
		clock.Pause(ctx, recallPause)
		return nil
	}
	*l.unreadable = ""
	config.Term = l.writer.Term()
	if l.machine, err = startup.New(config); err != nil {
		return fmt.Errorf("configure startup phase: %w", err)
	}
	l.config.Observers.Begin(config)
	l.bus.Log.Info("leading", "stage", max(first.Stage, protocol.Querying), "models", len(first.Models))
	l.begin(ctx, first)
	if stop, err = l.listen(ctx); err != nil {
		return err
	}
	startupBuffer := frontdoor.NewStartupBuffer(l.door)
	l.work.Start(func() { startupBuffer.Run(ctx) })
	watchdog := newStoreWatchdog(l, startupBuffer)
	l.work.Start(func() { watchdog.run(ctx) })
	select {
	case <-ctx.Done():
	case <-lease.Lost():
		l.bus.Log.Warn("another controller leads now")
	case <-l.over:
		l.bus.Log.Warn("stepping down: another controller leads now")
	}
	return nil
}

// unread logs why no term begins, once for each reason that follows on another.
func (l *leader) unread(err error) {
	if *l.unreadable != err.Error() {
		*l.unreadable = err.Error()
		l.bus.Log.Warn("state not read; campaigning again until it is", "error", err)
	}
}

// recall takes over the store and reads its content: from the fence on only this
// controller writes. What cannot be read in it is as it was before, or as if it had been
// lost: the machine then takes it from the workers.
func (l *leader) recall(ctx context.Context, lease *bus.Lease) (startup.Started, error) {
	begin, cancel := context.WithTimeout(ctx, recallWait)
	defer cancel()
	// A controller that takes over the lease may be the first to detect that the
	// store was lost.
	state, err := l.bus.OpenState(begin)
	if err != nil {
		return startup.Started{}, err
	}
	if l.writer, err = state.Lead(begin, protocol.Controller, lease); err != nil {
		return startup.Started{}, err
	}
	stored, err := l.writer.Recall(ctx) // of many models: as long as it goes on
	if err == nil && stored.Flawed {
		stored, err = l.repair(ctx)
	}
	if err != nil {
		return startup.Started{}, err
	}
	if stored.Profiles, err = l.recallProfiles(ctx, stored.Profiles); err != nil {
		return startup.Started{}, err
	}
	l.stage, l.since, l.revision, l.readable = stored.Stage, stored.Since, stored.Revision, stored.Upto
	first := startup.Started{Stage: stored.Stage, Models: stored.Models, Torn: stored.Torn, Profiles: stored.Profiles}
	for _, name := range slices.Sorted(maps.Keys(stored.Quarantined)) {
		first.Quarantined = append(first.Quarantined, startup.Quarantine{Model: name, Reason: stored.Quarantined[name]})
	}
	return first, nil
}

// repair replaces what cannot be read in the store, and reads it again.
func (l *leader) repair(ctx context.Context) (bus.Stored, error) {
	repaired, err := l.writer.Repair(ctx)
	if len(repaired) > 0 {
		l.bus.Log.Warn("values in the state store could not be read and were repaired", "keys", strings.Join(repaired, ", "))
	}
	if err != nil {
		return bus.Stored{}, err
	}
	return l.writer.Recall(ctx)
}

// begin gives the machine its first event. It knows of no worker yet, so that nothing it does
// then is answered by one.
func (l *leader) begin(ctx context.Context, first startup.Started) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(time.Hour, func() { l.step(ctx, startup.Tick{}) })
	l.decide(ctx, first)
}

// step gives the machine an event.
func (l *leader) step(ctx context.Context, e startup.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.decide(ctx, e)
}

// decide steps the machine and carries out its output. The caller holds the lock.
func (l *leader) decide(ctx context.Context, e startup.Event) {
	if l.ended {
		return
	}
	now := clock.Now()
	out := l.machine.Step(now, e)
	l.config.Observers.Step(now, e, &out)
	l.do(ctx, out)
	if out.Wake == protocol.Never {
		l.timer.Stop()
	} else {
		l.timer.Reset(max(0, out.Wake.Sub(clock.Now())))
	}
	if out.StepDown {
		l.ended = true
		close(l.over)
	}
}

// end ends the machine, and refuses the loads that it has not answered.
func (l *leader) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.timer != nil { // otherwise no term began
		l.timer.Stop()
	}
	for _, token := range slices.Sorted(maps.Keys(l.loads)) {
		l.answerLoad(startup.Reply{Token: token, Error: protocol.Refusal(protocol.ShuttingDown)})
	}
}

// locked calls f under the machine's lock, unless the machine has ended.
func (l *leader) locked(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	f()
	return true
}

// listen subscribes to all inputs of the machine and opens the control
// endpoints. The returned function closes everything, also after an error.
func (l *leader) listen(ctx context.Context) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}
	l.caller = l.bus.NewCaller(bus.RandomID(), queryWait)
	for _, s := range []struct {
		subject string
		handle  nats.MsgHandler
	}{
		{l.bus.Subjects.Result("*"), func(m *nats.Msg) { l.onResult(ctx, m) }},
		{l.bus.Subjects.ProfilerReport(), func(m *nats.Msg) { l.onReport(ctx, m) }},
	} {
		sub, err := l.bus.Subscribe(l.bus.Control, s.subject, s.handle)
		if err != nil {
			return stop, err
		}
		stops = append(stops, func() { _ = sub.Unsubscribe() })
	}
	watches, err := l.watchServices(ctx)
	stops = append(stops, watches...)
	if err != nil {
		return stop, err
	}
	endpoints, err := l.serve(ctx)
	if err != nil {
		return stop, err
	}
	stops = append(stops, endpoints.Stop)
	return stop, nil
}

// watchServices follows the heartbeats of all other services.
func (l *leader) watchServices(ctx context.Context) (stops []func(), err error) {
	watching := func(live *bus.Liveness, failed error) {
		if err = failed; err == nil {
			stops = append(stops, live.Stop)
		}
	}
	watching(l.bus.WatchInstances(protocol.Worker, func(c liveness.Change) { l.step(ctx, startup.OfWorker(c)) }))
	for _, kind := range []protocol.ServiceKind{protocol.Profiler, protocol.Scheduler, protocol.FrontDoor} {
		if err == nil {
			watching(l.bus.WatchHeartbeats(kind, func(h protocol.Heartbeat) { l.step(ctx, startup.ServiceBeat{Heartbeat: l.ownJob(h)}) },
				func(h protocol.Heartbeat) { l.step(ctx, startup.ServiceLost{Heartbeat: l.ownJob(h)}) }))
		}
	}
	return stops, err
}

// ownJob has a heartbeat name a job as the machine does, which counts its jobs from 1; on the
// wire their ids are unique to this term.
func (l *leader) ownJob(h protocol.Heartbeat) protocol.Heartbeat {
	if h.Job != 0 {
		h.Job -= l.issuer
	}
	return h
}

func (l *leader) onResult(ctx context.Context, m *nats.Msg) {
	results, fault := l.results.Read(m)
	if fault != nil {
		l.bus.BadMessage("bad result", m.Subject, fault)
	}
	for _, r := range results {
		if r.Code == protocol.StaleTerm {
			l.bus.Notice(slog.LevelWarn, "a worker obeys a later controller", r.Worker, "worker", r.Worker, "term", l.writer.Term())
		}
		if r.State != nil {
			l.step(ctx, startup.WorkerAnswered{State: *r.State})
		} else {
			l.step(ctx, startup.LoadResult{Result: r})
		}
	}
}

func (l *leader) onReport(ctx context.Context, m *nats.Msg) {
	r, whole, fault := l.reports.Add(m.Data)
	if fault != nil {
		l.bus.BadMessage("bad profile report", m.Subject, fault)
	}
	if !whole {
		return
	}
	done := startup.ProfilingDone{Job: r.ID - l.issuer, Profiles: r.Profiles}
	for _, f := range r.Failures {
		done.Quarantined = append(done.Quarantined, startup.Quarantine{Digest: f.Digest, Reason: f.GPUType + ": " + f.Reason})
	}
	l.step(ctx, done)
}
