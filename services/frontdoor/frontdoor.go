// Package frontdoor takes inference requests from clients and gives each its one
// reply. Any number of front doors share the work; they know of each other only
// through the broker.
package frontdoor

import (
	"context"
	"fmt"
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

// FrontDoor takes infer requests from clients, keeps each until its outcome, and gives
// the one reply. Any number of front doors share the work as a NATS queue group. The
// core (pkg/core/frontdoor) decides; this shell decodes, takes one lock, steps the core,
// encodes and sends.
type FrontDoor struct {
	config Config
	bus    *bus.Bus
	state  *bus.State
	buffer *bus.Buffer
	id     uint64

	submitTo    string
	submissions *bus.Batch[protocol.Submitted]
	misses      *missEvents
	live        *live
	ignored     bus.LogLimiter // requests whose answers would go to another client
	foreign     bus.LogLimiter // outputs

	// telling is held while the scheduler is told of requests, so that it hears
	// of each first that it is there and then that it is answered. Before mu.
	reporting sync.Mutex
	said      protocol.SubmissionBatch // used for each that says only what is answered

	mu         sync.Mutex
	core       *frontdoor.Machine
	timer      *time.Timer   // of the core's wake
	wake       protocol.Time // when it is set to
	reconnects uint64        // of the bus, as the core knows
	down       bool          // the core knows that the broker is not reached
	questions  []question    // to be sent once the lock is given back
	held       int           // requests taken since the last flush; onInfer's own
	inputs     inputBoxes    // onDispatch's own

	subs       []*nats.Subscription
	taking     *nats.Subscription // of infer
	unregister func()             // of what can be read of it
	beats      *bus.Liveness
	heartbeats *bus.Heartbeater
	cancel     context.CancelFunc
	work       host.Tasks
}

// question asks the scheduler of an epoch whose the answer of a request is.
type question struct {
	epoch   uint64
	request protocol.Submitted
}

// inputHead is what an Input takes beside its payload, at most.
const inputHead = 256

// maxHeld bounds how many requests are taken before they are submitted, so
// that the first of a burst does not wait for the last.
const maxHeld = 16

// maxSubmissions bounds one message to the scheduler.
const maxSubmissions = 2048

// New makes a front door; Start opens it.
func New(config Config, b *bus.Bus, state *bus.State, buffer *bus.Buffer) *FrontDoor {
	d := &FrontDoor{
		config:     config,
		bus:        b,
		state:      state,
		buffer:     buffer,
		id:         bus.RandomID(),
		misses:     &missEvents{bus: b},
		inputs:     inputBoxes{bus: b, boxes: map[string]*inputBox{}},
		wake:       protocol.Never,
		reconnects: b.Reconnects(),
		unregister: func() {},
	}
	core := frontdoor.Defaults()
	core.ID, core.Subjects = d.id, b.Subjects
	core.DefaultSLO, core.BufferTimeout, core.Limits = config.DefaultSLO, config.BufferTimeout, config.Limits
	core.MaxInFlight, core.MaxInFlightBytes = config.MaxInFlight, config.MaxInFlightBytes
	core.MaxPayload, core.StoreSlots = b.Payload.MaxPayload()-inputHead, bus.MaxStoring
	d.core = frontdoor.New(core)
	config.Observers.Begin(core)
	d.timer = time.AfterFunc(time.Hour, d.tick)
	return d
}

// Name is the front door's identity as a token of a subject.
func (d *FrontDoor) Name() string { return protocol.DoorName(d.id) }

// Start opens the door. It returns when requests are taken, or closes what it
// had opened and returns the error.
func (d *FrontDoor) Start() error {
	if err := d.open(); err != nil {
		d.Stop()
		return fmt.Errorf("open front door: %w", err)
	}
	return nil
}

func (d *FrontDoor) open() error {
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
	if !d.config.NoClients {
		if d.taking, err = d.bus.QueueSubscribe(d.bus.Payload, s.Infer(">"), "frontdoor", d.onInfer); err != nil {
			return err
		}
		d.subs = append(d.subs, d.taking)
	}
	for _, nc := range []*nats.Conn{d.bus.Control, d.bus.Payload} {
		if err := nc.Flush(); err != nil { // the broker knows the subscriptions now
			return err
		}
	}
	d.heartbeats = d.bus.StartHeartbeats(protocol.FrontDoor, protocol.DoorName(d.id), d.heartbeat)
	d.unregister = d.config.Telemetry.Register(d.source())
	return nil
}

func (d *FrontDoor) heartbeat() protocol.Heartbeat {
	d.mu.Lock()
	ended := d.mindConnection(nil)
	s := d.core.Snapshot()
	d.unlock(ended)
	return protocol.Heartbeat{Incarnation: d.id, Epoch: s.Epoch, State: "open", InFlight: s.InFlight}
}

// submit sends a batch of submissions, but of those that are answered by now; the
// batch calls it.
func (d *FrontDoor) submit(batch []protocol.Submitted) {
	d.reporting.Lock()
	defer d.reporting.Unlock()
	m := protocol.SubmissionBatch{Door: d.id}
	d.mu.Lock()
	m.Epoch = d.core.LastEpoch()
	m.Requests = slices.DeleteFunc(batch, func(s protocol.Submitted) bool { return !d.core.Open(s.ID.Seq) })
	d.mu.Unlock()
	if len(m.Requests) == 0 {
		return
	}
	if err := bus.Publish(d.bus.Control, wire.Submissions, d.submitTo, &m); err != nil {
		d.bus.Log.Warn("submissions not sent", "count", len(batch), "error", err) // the deadline answers them
	}
}

// ask sends questions whose answers are.
func (d *FrontDoor) ask(questions []question) {
	for _, q := range questions {
		m := protocol.SubmissionBatch{Door: d.id, Epoch: q.epoch, Requests: []protocol.Submitted{q.request}}
		if err := bus.Publish(d.bus.Control, wire.Submissions, d.submitTo, &m); err != nil {
			d.bus.Log.Debug("question not sent", "error", err) // it is asked again
		}
	}
}

// claim tells the scheduler that requests are answered, before they are: if this
// process dies in between, nobody answers; were it the other way round, two would.
func (d *FrontDoor) claim(nc *nats.Conn, ended ...frontdoor.Ended) {
	d.reporting.Lock()
	defer d.reporting.Unlock()
	d.said.Answered = d.said.Answered[:0]
	for i := range ended {
		if ended[i].Claim {
			d.said.Answered = append(d.said.Answered, ended[i].Request.ID.Seq)
		}
	}
	if len(d.said.Answered) == 0 {
		return
	}
	d.mu.Lock()
	d.said.Door, d.said.Epoch = d.id, d.core.LastEpoch()
	d.mu.Unlock()
	if err := bus.Publish(nc, wire.Submissions, d.submitTo, &d.said); err != nil {
		d.bus.Log.Debug("claim not sent", "error", err) // nor will the reply be
	}
}
