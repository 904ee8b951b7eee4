// Package frontdoor takes inference requests from clients and gives each exactly
// one reply. Any number of front doors share the work; they have no connection
// to each other except the broker.
package frontdoor

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
	"clockwork/services/host"
)

// FrontDoor takes infer requests from clients, keeps each until its outcome, and
// sends the one reply. Front doors share the work as a NATS queue group. The
// core (pkg/core/frontdoor) decides; this shell decodes, takes one lock, steps
// the core, encodes and sends.
type FrontDoor struct {
	config Config
	bus    *bus.Bus
	state  *bus.State
	buffer *bus.Buffer
	id     uint64

	submitTo    string
	submissions *bus.Batch[protocol.Submitted]
	live        *live

	// onControl is held while messages about requests are sent to the scheduler, so that
	// each request's submission comes before its answer; onPayload while answers are
	// claimed on the other connection, where that may wait for large messages. Lock order:
	// before mu.
	onControl, onPayload reporting

	mu         sync.Mutex
	core       *frontdoor.Machine
	timer      *time.Timer           // fires at the core's Wake
	wake       protocol.Time         // when the timer fires
	reconnects uint64                // of the bus before the core began
	questions  []question            // to be sent after the lock is released
	withdrawn  []uint64              // requests, to be sent then
	taking     protocol.ServiceState // how it takes requests from clients
	stopping   bool                  // what is left is refused
	// inputs are payloads to be sent; only onDispatch uses it, and sends without the lock.
	inputs *bus.Outboxes[string, protocol.Input]

	broker     *natsIngress // clients on the broker, and in the startup buffer
	subs       []*nats.Subscription
	unregister func() // removes the front door from the hub
	leave      func() // takes no more outputs from within the process
	beats      *bus.Liveness
	heartbeats *bus.Heartbeater
	cancel     context.CancelFunc
	work       host.Tasks
}

// reporting is what claims on one connection share.
type reporting struct {
	sync.Mutex
	said protocol.SubmissionBatch // reused for every claim
}

// question asks the scheduler of an epoch which process answers a request.
type question struct {
	epoch   uint64
	request protocol.Submitted
}

// inputHead bounds the bytes of an Input besides its payload.
const inputHead = 256

// maxSubmissions bounds one message to the scheduler.
const maxSubmissions = 2048

// New makes a front door; Start starts it.
func New(config Config, b *bus.Bus, state *bus.State, buffer *bus.Buffer) *FrontDoor {
	d := &FrontDoor{
		config:     config,
		bus:        b,
		state:      state,
		buffer:     buffer,
		id:         bus.RandomID(),
		wake:       protocol.Never,
		reconnects: b.Reconnects(),
		unregister: func() {},
		leave:      func() {},
		taking:     config.taking(),
	}
	core := frontdoor.Defaults()
	d.inputs = newInputs(b, core.LargeInput)
	core.ID, core.Subjects = d.id, b.Subjects
	core.DefaultSLO, core.BufferTimeout, core.Limits = config.DefaultSLO, config.BufferTimeout, config.Limits
	core.MaxInFlight, core.MaxInFlightBytes, core.MaxInFlightOutputs = config.MaxInFlight, config.MaxInFlightBytes, config.MaxInFlightOutputs
	core.MaxPayload, core.StoreSlots = b.Payload.MaxPayload()-inputHead, bus.MaxStoring
	d.core = frontdoor.New(core)
	d.broker = newNATSIngress(d, &core)
	config.Observers.Begin(core)
	d.timer = time.AfterFunc(time.Hour, d.tick)
	return d
}

// Name returns the front door's id as a token of a subject.
func (d *FrontDoor) Name() string { return protocol.DoorName(d.id) }

// Model returns a model that is served, or is about to be; UNKNOWN_MODEL if there is none.
func (d *FrontDoor) Model(name string) (protocol.ModelSpec, *protocol.Error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.core.Model(name)
}

// ModelNames returns the names of the models that are served, or are about to be, in no order.
func (d *FrontDoor) ModelNames() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.core.ModelNames()
}

// Stage returns the stack's stage as last seen.
func (d *FrontDoor) Stage() protocol.Stage { return d.snapshot().Stage }

// Missing returns what is missing for a request that comes now, "" if it would be executed.
func (d *FrontDoor) Missing() string {
	if why := d.bus.Unreachable(); why != "" {
		return why
	}
	s := d.snapshot()
	return protocol.Serving{Stage: s.Stage, Epoch: s.Epoch, FrontDoor: d.config.taking(), Capacity: s.Capacity}.Missing()
}

// Unserved returns why requests to a model are not executed now although others are, "" if
// they are.
func (d *FrontDoor) Unserved(model string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.core.Unserved(model)
}

// MaxBody is the largest message that a client may send on the broker, in bytes; what comes
// another way is no larger.
func (d *FrontDoor) MaxBody() int64 { return d.bus.Payload.MaxPayload() }

// Start starts the front door. It returns when requests are taken; on an error
// it stops everything again. ctx ends the waiting for the broker.
func (d *FrontDoor) Start(ctx context.Context) error {
	if err := d.open(ctx); err != nil {
		d.Stop()
		return fmt.Errorf("open front door: %w", err)
	}
	return nil
}

func (d *FrontDoor) open(starting context.Context) error {
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	d.submitTo = d.bus.Subjects.Submit(d.id)
	d.submissions = bus.NewBatch(maxSubmissions, d.submit)
	d.live = newLive(d)
	err := d.live.start()
	if err != nil {
		return err
	}
	d.beats, err = d.bus.WatchHeartbeats(protocol.Scheduler, d.onScheduler, d.onSchedulerLost)
	if err != nil {
		return err
	}
	d.work.Start(func() { d.watchState(ctx) })
	s := d.bus.Subjects
	for _, subscription := range []struct {
		nc      *nats.Conn
		subject string
		handle  nats.MsgHandler
	}{
		{d.bus.Control, s.Dispatch(d.id), d.onDispatch},
		{d.bus.Payload, s.Output(d.id), d.onOutput},
	} {
		sub, err := d.bus.Subscribe(subscription.nc, subscription.subject, subscription.handle)
		if err != nil {
			return err
		}
		d.subs = append(d.subs, sub)
	}
	d.leave = d.bus.Local.FrontDoor(d.id, d.takeOutputs)
	if !d.config.NoClients {
		if err := d.broker.open(starting); err != nil {
			return err
		}
	}
	for _, nc := range []*nats.Conn{d.bus.Control, d.bus.Payload} {
		if err := nc.Flush(); err != nil { // the broker has the subscriptions now
			return err
		}
	}
	d.heartbeats = d.bus.StartHeartbeatsOf(protocol.FrontDoor, d.config.Health, protocol.DoorName(d.id), d.heartbeat)
	d.unregister = d.config.Telemetry.Register(d.source())
	return nil
}

func (d *FrontDoor) heartbeat() protocol.Heartbeat {
	d.mu.Lock()
	ended := d.checkConnection(nil)
	h := d.core.Heartbeat(d.taking)
	d.unlock(ended)
	return h
}

// submit sends a batch of submissions, without those answered in the meantime.
// It is the batch's callback.
func (d *FrontDoor) submit(batch []protocol.Submitted) {
	d.onControl.Lock()
	defer d.onControl.Unlock()
	m := protocol.SubmissionBatch{Door: d.id}
	d.mu.Lock()
	m.Epoch = d.core.LastEpoch()
	m.Requests = slices.DeleteFunc(batch, func(s protocol.Submitted) bool { return !d.core.Open(s.ID.Seq) })
	d.mu.Unlock()
	if len(m.Requests) == 0 {
		return
	}
	if err := bus.PublishCut(d.bus.Control, wire.Submissions, d.submitTo, &m, bus.HalfBatches); err != nil {
		d.bus.Notice(slog.LevelWarn, "submissions not sent", "", "requests", len(batch), "error", err) // the requests' deadlines answer them
	}
}

// ask sends questions to schedulers.
func (d *FrontDoor) ask(questions []question) {
	for _, q := range questions {
		m := protocol.SubmissionBatch{Door: d.id, Epoch: q.epoch, Requests: []protocol.Submitted{q.request}}
		if err := bus.Publish(d.bus.Control, wire.Submissions, d.submitTo, &m); err != nil {
			d.bus.Log.Debug("question not sent", "error", err) // the core asks again
		}
	}
}

// withdraw tells the scheduler that nobody waits for requests any more.
func (d *FrontDoor) withdraw(requests []uint64) {
	if len(requests) == 0 {
		return
	}
	d.onControl.Lock()
	defer d.onControl.Unlock()
	d.mu.Lock()
	m := protocol.SubmissionBatch{Door: d.id, Epoch: d.core.LastEpoch(), Withdrawn: requests}
	d.mu.Unlock()
	if err := bus.PublishCut(d.bus.Control, wire.Submissions, d.submitTo, &m, bus.HalfBatches); err != nil {
		d.bus.Log.Debug("withdrawals not sent", "error", err) // they are executed, or end at their deadlines
	}
}

// claim tells the scheduler that requests are answered, before they are: if this
// process dies in between, they get no reply; in the other order they could get
// two.
func (d *FrontDoor) claim(nc *nats.Conn, ended ...frontdoor.Ended) {
	on := &d.onControl
	if nc == d.bus.Payload {
		on = &d.onPayload
	}
	on.Lock()
	defer on.Unlock()
	if on.said.Answered = frontdoor.ToClaim(on.said.Answered[:0], ended); len(on.said.Answered) == 0 {
		return
	}
	d.mu.Lock()
	on.said.Door, on.said.Epoch = d.id, d.core.LastEpoch()
	d.mu.Unlock()
	if err := bus.PublishCut(nc, wire.Submissions, d.submitTo, &on.said, bus.HalfBatches); err != nil {
		d.bus.Log.Debug("claim not sent", "error", err) // the reply will fail as well
	}
}
