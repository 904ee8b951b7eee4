// Package frontdoor takes inference requests from clients and gives each its one
// reply. Any number of front doors share the work; they know of each other only
// through the broker.
package frontdoor

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
	"clockwork/services/host"
)

// FrontDoor is a front door: it takes infer requests from clients, keeps each until
// its outcome, and gives the one reply. Any number of doors share the work as
// a NATS queue group. While no scheduler is active it stores requests in the
// startup buffer.
type FrontDoor struct {
	config Config
	bus    *bus.Bus
	state  *bus.State
	buffer *bus.Buffer
	id     uint64

	submitTo    string
	submissions *bus.Batch[protocol.Submitted]
	misses      *misses
	live        *live
	ignored     bus.Tally     // requests whose answers would go to another client
	foreign     bus.Tally     // outputs
	slow        *slots        // of requests that are read beside the others
	storing     *slots        // of requests on their way into the buffer
	reconnects  atomic.Uint64 // of the bus, when the last request was taken

	// telling is held while the scheduler is told of requests, so that it hears
	// of each first that it is there and then that it is answered. Before mu.
	telling sync.Mutex
	said    protocol.SubmissionBatch // used for each that says only what is answered

	mu      sync.Mutex
	table   *table
	seq     uint64
	models  map[string]protocol.ModelSpec
	stage   protocol.Stage
	epoch   uint64                // of the active scheduler, 0 for none
	latest  uint64                // the last epoch that was not 0
	begun   bool                  // there was one
	actives map[string]activeSeen // schedulers that say they are active
	wake    chan struct{}         // a deadline came that is before watched
	watched time.Time             // what watchDeadlines sleeps towards, zero for nothing
	held    int                   // requests taken since the last flush; onInfer's own
	inputs  inputBoxes            // onDispatch's own
	stored  []storedShare         // in the order in which they end, by and large

	// Counts for the accounting: received = answered + left + in flight + stored.
	// Left are late replies that were not sent, since the scheduler may have
	// answered.
	Received, Answered, Late, Left atomic.Int64
	waiting                        atomic.Int64 // in the startup buffer, the keeper's own count

	// unclaimed are buffered requests that were answered while the buffer could
	// not be reached: they are there still, and must not be answered again.
	unclaimed map[uint64]struct{}

	subs   []*nats.Subscription
	taking *nats.Subscription // of infer
	unlend func()             // of what can be read of it
	beats  *bus.Liveness
	pulse  *bus.Pulse
	cancel context.CancelFunc
	work   host.Tasks
}

type activeSeen struct{ epoch, incarnation uint64 }

// inputHead is what an Input takes beside its payload, at most.
const inputHead = 256

// slowSlots bounds how much is read at a time beside the others, since numbers as
// text take up to a second and nobody else may wait for that: a message of more than
// largeBody takes largeSlots of them, a smaller one takes one.
const (
	slowSlots  = 1024
	largeBody  = 64 << 10
	largeSlots = 16
)

func slotsOf(bytes int) int {
	if bytes > largeBody {
		return largeSlots
	}
	return 1
}

// maxHeld bounds how many requests are taken before they are submitted, so
// that the first of a burst does not wait for the last.
const maxHeld = 16

// maxSubmissions bounds one message to the scheduler.
const maxSubmissions = 2048

// New makes a front door; Start opens it.
func New(config Config, b *bus.Bus, state *bus.State, buffer *bus.Buffer) *FrontDoor {
	return &FrontDoor{
		config:  config,
		bus:     b,
		state:   state,
		buffer:  buffer,
		id:      bus.RandomID(),
		misses:  &misses{bus: b},
		inputs:  inputBoxes{bus: b, boxes: map[string]*inputBox{}},
		slow:    newSlots(slowSlots),
		storing: newSlots(bus.MaxStoring),
		table:   newTable(config.MaxInFlight, config.MaxInFlightBytes, config.Limits),
		models:  map[string]protocol.ModelSpec{},
		actives: map[string]activeSeen{},
		wake:    make(chan struct{}, 1),
		unlend:  func() {},

		unclaimed: map[uint64]struct{}{},
	}
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
	d.work.Start(func() { d.watchDeadlines(ctx) })
	s := d.bus.Subjects
	for _, subscription := range []struct {
		nc      *nats.Conn
		subject string
		group   string
		handle  nats.MsgHandler
	}{
		{d.bus.Control, s.Dispatch(d.id), "", d.onDispatch},
		{d.bus.Payload, s.Output(d.id), "", d.onOutput},
		{d.bus.Payload, s.Infer(">"), "frontdoor", d.onInfer},
	} {
		sub, err := d.bus.QueueSubscribe(subscription.nc, subscription.subject, subscription.group, subscription.handle)
		if err != nil {
			return err
		}
		d.subs = append(d.subs, sub)
		d.taking = sub // the last one
	}
	for _, nc := range []*nats.Conn{d.bus.Control, d.bus.Payload} {
		if err := nc.Flush(); err != nil { // the broker knows the subscriptions now
			return err
		}
	}
	d.pulse = d.bus.StartPulse(protocol.FrontDoor, protocol.DoorName(d.id), func() protocol.Heartbeat {
		d.mu.Lock()
		defer d.mu.Unlock()
		return protocol.Heartbeat{Incarnation: d.id, Epoch: d.epoch, State: "open", InFlight: len(d.table.bySeq)}
	})
	d.unlend = d.config.Telemetry.Lend(d.source())
	return nil
}

// submit sends a batch of submissions, but of those that are answered by now;
// the batch calls it.
func (d *FrontDoor) submit(batch []protocol.Submitted) {
	d.telling.Lock()
	defer d.telling.Unlock()
	m := protocol.SubmissionBatch{Door: d.id}
	d.mu.Lock()
	m.Epoch = d.latest
	m.Requests = slices.DeleteFunc(batch, func(s protocol.Submitted) bool { return d.table.bySeq[s.ID.Seq] == nil })
	d.mu.Unlock()
	if len(m.Requests) == 0 {
		return
	}
	if err := bus.Publish(d.bus.Control, wire.Submissions, d.submitTo, &m); err != nil {
		d.bus.Log.Warn("submissions not sent", "count", len(batch), "error", err) // the deadline answers them
	}
}

// claim tells the scheduler that requests are answered, before they are: if this
// process dies in between, nobody answers; were it the other way round, two
// would. What is claimed is answered at once.
func (d *FrontDoor) claim(rs ...*request) {
	d.telling.Lock()
	defer d.telling.Unlock()
	d.said.Answered = d.said.Answered[:0]
	for _, r := range rs {
		if r.isSubmitted() && !d.isLeft(r) {
			r.claimed = true
			d.said.Answered = append(d.said.Answered, r.id.Seq)
		}
	}
	d.say(d.bus.Control)
}

// claimBefore is claim for a reply that leaves on the other connection. Claimed
// on both: the submission may come behind this one.
func (d *FrontDoor) claimBefore(nc *nats.Conn, r *request) {
	d.telling.Lock()
	defer d.telling.Unlock()
	d.said.Answered = append(d.said.Answered[:0], r.id.Seq)
	d.say(nc)
}

// say sends what is in said. The caller holds telling.
func (d *FrontDoor) say(nc *nats.Conn) {
	if len(d.said.Answered) == 0 {
		return
	}
	d.mu.Lock()
	d.said.Door, d.said.Epoch = d.id, d.latest
	d.mu.Unlock()
	if err := bus.Publish(nc, wire.Submissions, d.submitTo, &d.said); err != nil {
		d.bus.Log.Debug("claim not sent", "error", err) // nor will the reply be
	}
}
