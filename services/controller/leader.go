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
	"clockwork/pkg/core/startup"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
	"clockwork/services/frontdoor"
	"clockwork/services/host"
)

// leader drives the startup phase: one goroutine owns the machine, all others
// send it events.
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
	events     chan startup.Event
	turns      chan func() // functions to run in the machine's goroutine

	// Owned by the machine's goroutine.
	stage    protocol.Stage
	since    time.Time
	revision uint64
	readable uint64 // up to which revision all of the store could be read at the start
	stepDown bool

	mu        sync.Mutex
	loads     map[uint64]*nats.Msg // by token, until answered
	nextToken uint64
	// quarantined are the models that the active scheduler refuses for crashes, by name,
	// and for how long more, as its last heartbeat said; quarantinedBy is its id.
	quarantined   map[string]time.Duration
	quarantinedBy string

	// storeFault is why the state cannot be kept, nil if it can; the watchdog sets it.
	storeFault atomic.Pointer[string]

	// answering holds a slot per ls or state request being answered.
	answering chan struct{}
	reports   *wire.Chunks[protocol.ProfileReport]

	records records
	work    host.Tasks
}

// queuedEvents bounds the events waiting for the machine.
const queuedEvents = 4096

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
		events: make(chan startup.Event, queuedEvents),
		turns:  make(chan func()),
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
		cancel() // first, because callbacks may wait for the machine's goroutine, which has ended
		stop()
		l.work.Stop()
		l.refuseLoads(protocol.Refusal(protocol.ShuttingDown)) // loads that arrived during the stop
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
	if stop, err = l.listen(ctx); err != nil {
		return err
	}
	startupBuffer := frontdoor.NewStartupBuffer(l.door)
	l.work.Start(func() { startupBuffer.Run(ctx) })
	watchdog := &storeWatchdog{l: l, watcher: startupBuffer, read: l.readable}
	l.work.Start(func() { watchdog.run(ctx) })
	l.drive(ctx, lease, first)
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

// drive is the driver loop of pkg/core/startup.
func (l *leader) drive(ctx context.Context, lease *bus.Lease, first startup.Event) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	event := first
	for {
		if event != nil {
			now := clock.Now()
			out := l.machine.Step(now, event)
			l.config.Observers.Step(now, event, &out)
			l.do(ctx, out)
			if out.Wake != protocol.Never {
				timer.Reset(out.Wake.Sub(clock.Now()))
			} else {
				timer.Stop()
			}
		}
		if l.stepDown {
			l.bus.Log.Warn("stepping down: another controller leads now")
			return
		}
		event = nil
		select {
		case <-ctx.Done():
			l.refuseLoads(protocol.Refusal(protocol.ShuttingDown))
			return
		case <-lease.Lost():
			l.bus.Log.Warn("another controller leads now")
			l.refuseLoads(protocol.Refusal(protocol.ShuttingDown))
			return
		case event = <-l.events:
		case <-timer.C:
			event = startup.Tick{}
		case turn := <-l.turns:
			turn()
		}
	}
}

// report sends an event to the machine.
func (l *leader) report(ctx context.Context, e startup.Event) {
	select {
	case l.events <- e:
	case <-ctx.Done():
	}
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
func (l *leader) watchServices(ctx context.Context) ([]func(), error) {
	seen := map[string]uint64{}
	known := map[protocol.ServiceKind]map[string]bool{protocol.Profiler: {}, protocol.Scheduler: {}, protocol.FrontDoor: {}, protocol.Gateway: {}}
	there := func(h protocol.Heartbeat, is bool) {
		if is != known[h.Service][h.ID] {
			known[h.Service][h.ID] = is
			l.report(ctx, startup.ServiceSeen{Kind: h.Service, ID: h.ID, There: is})
		}
	}
	gone := func(h protocol.Heartbeat) {
		there(h, false)
		delete(known[h.Service], h.ID)
	}
	beatOf := map[protocol.ServiceKind]func(protocol.Heartbeat){
		protocol.Worker: func(h protocol.Heartbeat) {
			if seen[h.ID] != h.Incarnation {
				seen[h.ID] = h.Incarnation
				l.report(ctx, startup.WorkerSeen{ID: h.ID, Incarnation: h.Incarnation})
			}
		},
		protocol.Profiler: func(h protocol.Heartbeat) {
			there(h, h.State != protocol.Stopping)
			if h.State == protocol.Standby {
				return
			}
			job := uint64(0)
			if h.Job != 0 {
				job = h.Job - l.issuer
			}
			l.report(ctx, startup.ProfilerSeen{Incarnation: h.Incarnation, Job: job})
		},
		protocol.Scheduler: func(h protocol.Heartbeat) {
			l.heardQuarantined(h)
			there(h, h.State != protocol.Stopping)
			l.report(ctx, startup.SchedulerSeen{Active: h.State == protocol.SchedulerActive, Epoch: h.Epoch})
		},
		protocol.FrontDoor: func(h protocol.Heartbeat) {
			there(h, h.State == protocol.FrontDoorOpen)
			h.Service = protocol.Gateway // a front door of another kind
			there(h, h.State == protocol.FrontDoorGateway)
		},
	}
	lostOf := map[protocol.ServiceKind]func(protocol.Heartbeat){
		protocol.Profiler: gone,
		protocol.FrontDoor: func(h protocol.Heartbeat) {
			gone(h)
			h.Service = protocol.Gateway
			gone(h)
		},
		protocol.Worker: func(h protocol.Heartbeat) {
			delete(seen, h.ID)
			l.report(ctx, startup.WorkerLost{ID: h.ID, Incarnation: h.Incarnation})
		},
	}
	lostOf[protocol.Scheduler] = func(h protocol.Heartbeat) {
		l.schedulerLost(h)
		gone(h)
	}
	var stops []func()
	for kind, beat := range beatOf {
		lost := lostOf[kind]
		if lost == nil {
			lost = func(protocol.Heartbeat) {}
		}
		live, err := l.bus.WatchHeartbeats(kind, beat, lost)
		if err != nil {
			return stops, err
		}
		stops = append(stops, live.Stop)
	}
	return stops, nil
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
			l.report(ctx, startup.WorkerAnswered{State: *r.State})
		} else {
			l.report(ctx, startup.LoadResult{Result: r})
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
	l.report(ctx, done)
}
