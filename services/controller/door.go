package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/bus"
	"clockwork/pkg/protocol"
)

// Door is a front door: it takes infer requests from clients, keeps each until
// its outcome, and gives the one reply. Any number of doors share the work as
// a NATS queue group. While no scheduler is active it stores requests in the
// startup buffer.
type Door struct {
	config Config
	bus    *bus.Bus
	state  *bus.State
	buffer *bus.Buffer
	id     uint64

	submitTo    string
	submissions *bus.Batch[bus.Submitted]
	misses      *misses
	ignored     ignored       // requests
	foreign     ignored       // outputs
	slow        chan struct{} // a slot for each large JSON request that is being read
	storing     chan struct{} // a slot for each request on its way into the buffer
	reconnects  atomic.Uint64 // of the bus, when the last request was taken

	// telling is held while the scheduler is told of requests, so that it hears
	// of each first that it is there and then that it is answered. Before mu.
	telling sync.Mutex
	said    bus.SubmissionBatch // used for each that says only what is answered

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

	// Counts for the accounting: received = answered + left + in flight + stored.
	// Left are late replies that were not sent, since the scheduler may have
	// answered.
	Received, Answered, Late, Left atomic.Int64

	// unclaimed are buffered requests that were answered while the buffer could
	// not be reached: they are there still, and must not be answered again.
	unclaimed map[uint64]struct{}

	subs   []*nats.Subscription
	taking *nats.Subscription // of infer
	beats  *bus.Liveness
	pulse  *bus.Pulse
	cancel context.CancelFunc
	work   tasks
}

type activeSeen struct{ epoch, incarnation uint64 }

// inputHead is what an Input takes beside its payload, at most.
const inputHead = 256

// slowBody is from how many bytes on a JSON request is read beside the others:
// numbers as text take up to a second, and nobody else may wait for that. maxSlow
// bounds how many are read at a time.
const (
	slowBody = 64 << 10
	maxSlow  = 64
)

// maxHeld bounds how many requests are taken before they are submitted, so
// that the first of a burst does not wait for the last.
const maxHeld = 16

// maxSubmissions bounds one message to the scheduler.
const maxSubmissions = 2048

// NewDoor makes a front door; Start opens it.
func NewDoor(config Config, b *bus.Bus, state *bus.State, buffer *bus.Buffer) *Door {
	return &Door{
		config:  config,
		bus:     b,
		state:   state,
		buffer:  buffer,
		id:      bus.RandomID(),
		misses:  &misses{bus: b},
		inputs:  inputBoxes{bus: b, boxes: map[string]*inputBox{}},
		slow:    make(chan struct{}, maxSlow),
		storing: make(chan struct{}, bus.MaxStoring),
		table:   newTable(config.MaxInFlight, config.MaxInFlightBytes),
		models:  map[string]protocol.ModelSpec{},
		actives: map[string]activeSeen{},
		wake:    make(chan struct{}, 1),

		unclaimed: map[uint64]struct{}{},
	}
}

// Start opens the door. It returns when requests are taken, or closes what it
// had opened and returns the error.
func (d *Door) Start() error {
	if err := d.open(); err != nil {
		d.Stop()
		return fmt.Errorf("open front door: %w", err)
	}
	return nil
}

func (d *Door) open() error {
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	d.submitTo = d.bus.Subjects.Submit(d.id)
	d.submissions = bus.NewBatch(maxSubmissions, d.submit)
	var err error
	d.beats, err = d.bus.WatchHeartbeats(protocol.Scheduler, d.onScheduler, d.onSchedulerLost)
	if err != nil {
		return err
	}
	d.work.start(func() { d.watchState(ctx) })
	d.work.start(func() { d.watchDeadlines(ctx) })
	s := d.bus.Subjects
	for _, subscription := range []struct {
		nc      *nats.Conn
		subject string
		group   string
		handle  nats.MsgHandler
	}{
		{d.bus.Control, s.Dispatch(d.id), "", d.onDispatch},
		{d.bus.Payload, s.Output(d.id), "", d.onOutput},
		{d.bus.Payload, s.Infer("*"), "frontdoor", d.onInfer},
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
	return nil
}

// mayAnswer reports whether a client may be answered on a subject, and tells of
// those that may not.
func (d *Door) mayAnswer(reply string) bool {
	if reply == "" {
		return false // nobody waits for an answer
	}
	if !d.bus.Subjects.IsClients(reply) {
		if count := d.ignored.add(time.Now()); count > 0 {
			d.bus.Log.Warn("requests ignored: their reply subject is not a client's", "count", count, "latest", reply)
		}
		return false
	}
	return true
}

// tellEvery bounds how often it is told that requests are ignored.
const tellEvery = time.Second

// ignored counts what nobody heeds. Any goroutine may call it.
type ignored struct {
	mu    sync.Mutex
	count int // since it was told
	told  time.Time
}

// add counts one, and returns how many are to be told of now, 0 for not yet.
func (i *ignored) add(now time.Time) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.count++
	if now.Sub(i.told) < tellEvery {
		return 0
	}
	count := i.count
	i.count, i.told = 0, now
	return count
}

// onInfer takes a request of a client.
func (d *Door) onInfer(m *nats.Msg) {
	now := time.Now()
	if !d.mayAnswer(m.Reply) {
		return
	}
	d.Received.Add(1)
	if d.held == 0 {
		d.reconnects.Store(d.bus.Reconnects())
	}
	defer d.flushLast(m.Sub)
	model := d.bus.Subjects.Token(m.Subject, 1)
	if len(m.Data) <= slowBody || bus.EncodingOf(m.Data) != bus.JSON {
		d.accept(model, m, now)
		return
	}
	select {
	case d.slow <- struct{}{}:
	default:
		d.refuseMessage(m.Reply, m.Data, protocol.Errorf(protocol.Overloaded, "%d large JSON requests are being read; msgpack is read at once", maxSlow))
		return
	}
	if !d.work.start(func() {
		defer func() { <-d.slow }()
		d.accept(model, m, now)
		d.submissions.Flush()
	}) {
		d.refuseMessage(m.Reply, m.Data, protocol.Refusal(protocol.ShuttingDown))
	}
}

// accept serves a request, or stores it until somebody can.
func (d *Door) accept(model string, m *nats.Msg, now time.Time) {
	if d.accepting() {
		d.serve(model, m, now)
	} else {
		d.store(model, m)
	}
}

// serve takes a request that arrived at an instant, or refuses it.
func (d *Door) serve(model string, m *nats.Msg, now time.Time) {
	in, fault := bus.DecodeInfer(m.Data)
	if fault != nil {
		d.refuseMessage(m.Reply, m.Data, fault)
		return
	}
	slo, fault := sloOf(m.Header, in.Parameters, d.config.DefaultSLO)
	if fault != nil {
		d.refuseMessage(m.Reply, m.Data, fault)
		return
	}
	r := &request{encoding: bus.EncodingOf(m.Data), reply: m.Reply, arrived: now, deadline: now.Add(slo), reconnects: d.reconnects.Load()}
	if fault := d.admit(r, model, in); fault != nil {
		d.refuseMessage(m.Reply, m.Data, fault)
	}
}

// flushLast sends the submissions once no request of the subscription waits
// behind this one, or when enough have come together.
func (d *Door) flushLast(sub *nats.Subscription) {
	d.held++
	if waiting, _, err := sub.Pending(); err != nil || waiting <= 1 || d.held >= maxHeld {
		d.held = 0
		d.submissions.Flush()
	}
}

// admit checks a request against its model, takes it in and queues it for the
// scheduler.
func (d *Door) admit(r *request, model string, in protocol.InferRequest) *protocol.Error {
	d.mu.Lock()
	spec, known := d.models[model]
	d.mu.Unlock()
	if !known {
		return protocol.Errorf(protocol.UnknownModel, "no model is called %q", model)
	}
	payload, batch, fault := payloadOf(spec, in.Inputs)
	if limit := d.bus.Payload.MaxPayload() - inputHead; fault == nil && int64(len(payload)) > limit {
		fault = protocol.Errorf(protocol.PayloadTooLarge, "the inputs have %d bytes, the broker carries %d", len(payload), limit)
		fault.Got, fault.Limit = int64(len(payload)), limit
	}
	if fault != nil {
		return fault
	}
	r.model, r.clientID, r.priority = spec, in.ID, in.Parameters.Priority
	r.payload, r.batch, r.generated = payload, batch, len(in.Inputs) == 0

	d.mu.Lock()
	d.seq++
	r.id = protocol.RequestID{Door: d.id, Seq: d.seq}
	r.epoch = d.epoch
	fault = d.table.add(r) // without a scheduler it waits there for the next one
	first := fault == nil && (d.watched.IsZero() || r.deadline.Before(d.watched))
	if first {
		d.watched = r.deadline
	}
	d.mu.Unlock()
	if fault != nil {
		return fault
	}
	if first {
		d.rewake()
	}
	if r.epoch != 0 {
		d.submissions.Add(r.submission(time.Now()))
	}
	return nil
}

func (d *Door) rewake() {
	select {
	case d.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// submit sends a batch of submissions, but of those that are answered by now;
// the batch calls it.
func (d *Door) submit(batch []bus.Submitted) {
	d.telling.Lock()
	defer d.telling.Unlock()
	m := bus.SubmissionBatch{Door: d.id}
	d.mu.Lock()
	m.Epoch = d.latest
	m.Requests = slices.DeleteFunc(batch, func(s bus.Submitted) bool { return d.table.bySeq[s.ID.Seq] == nil })
	d.mu.Unlock()
	if len(m.Requests) == 0 {
		return
	}
	if err := bus.Submissions.Publish(d.bus.Control, d.submitTo, &m); err != nil {
		d.bus.Log.Warn("submissions not sent", "count", len(batch), "error", err) // the deadline answers them
	}
}

// claim tells the scheduler that requests are answered, before they are: if this
// process dies in between, nobody answers; were it the other way round, two
// would. What is claimed is answered at once.
func (d *Door) claim(rs ...*request) {
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
func (d *Door) claimBefore(nc *nats.Conn, r *request) {
	d.telling.Lock()
	defer d.telling.Unlock()
	d.said.Answered = append(d.said.Answered[:0], r.id.Seq)
	d.say(nc)
}

// say sends what is in said. The caller holds telling.
func (d *Door) say(nc *nats.Conn) {
	if len(d.said.Answered) == 0 {
		return
	}
	d.mu.Lock()
	d.said.Door, d.said.Epoch = d.id, d.latest
	d.mu.Unlock()
	if err := bus.Submissions.Publish(nc, d.submitTo, &d.said); err != nil {
		d.bus.Log.Debug("claim not sent", "error", err) // nor will the reply be
	}
}

// onDispatch does what the scheduler decided.
func (d *Door) onDispatch(m *nats.Msg) {
	defer d.sendLast(m.Sub)
	dispatches, fault := bus.Dispatches.Decode(m.Data)
	if fault != nil {
		d.bus.Log.Warn("bad dispatch", "error", fault)
		return
	}
	now := time.Now()
	var ended []*request
	var refusals []*protocol.Error // of each, nil for an answer
	for i := range dispatches {
		switch x := &dispatches[i]; x.Kind {
		case protocol.ToWorker:
			d.dispatch(x, now)
		case protocol.Refuse, protocol.Answer:
			if x.Kind == protocol.Refuse && x.Refusal == nil {
				x.Refusal = protocol.Refusal(protocol.Internal)
			}
			if r := d.take(x.ID); r != nil {
				ended, refusals = append(ended, r), append(refusals, x.Refusal)
			}
		}
	}
	d.claim(ended...)
	for i, r := range ended {
		if refusals[i] != nil {
			d.refuse(r, refusals[i])
		} else {
			d.respond(r, nil, now)
		}
	}
}

// dispatch queues a request's payload for the worker that will run it.
func (d *Door) dispatch(x *protocol.Dispatch, now time.Time) {
	d.mu.Lock()
	r := d.table.bySeq[x.ID.Seq]
	var in protocol.Input
	if r != nil && x.ID.Door == d.id {
		r.dispatch(x.Worker, x.Cold, now)
		in = protocol.Input{ID: r.id, Model: r.model.Name, Batch: r.batch, Data: r.payload}
	}
	needed := r != nil && !r.generated
	d.mu.Unlock()
	if !needed || !protocol.ValidName(x.Worker) {
		return
	}
	d.inputs.add(x.Worker, in)
}

// sendLast sends the payloads once no dispatch waits behind this one, or when
// enough have come together.
func (d *Door) sendLast(sub *nats.Subscription) {
	if waiting, _, err := sub.Pending(); err != nil || waiting <= 1 || d.inputs.count >= maxHeld {
		d.inputs.flush()
	}
}

// onOutput answers requests that were executed. Who the worker is, the subject says.
func (d *Door) onOutput(m *nats.Msg) {
	outputs, fault := bus.Outputs.Decode(m.Data)
	if fault != nil {
		d.bus.Log.Warn("bad output", "error", fault)
		return
	}
	now, worker := time.Now(), d.bus.Subjects.Token(m.Subject, 3)
	var ended []*request
	for i := range outputs {
		if r := d.takeFrom(worker, outputs[i].ID); r != nil {
			ended = append(ended, r)
			outputs[len(ended)-1] = outputs[i]
		}
	}
	d.claim(ended...)
	for i, r := range ended {
		d.respond(r, &outputs[i], now)
	}
}

// takeFrom is take for an output, which counts only from a worker that the request
// was dispatched to.
func (d *Door) takeFrom(worker string, id protocol.RequestID) *request {
	if id.Door != d.id {
		return nil
	}
	d.mu.Lock()
	r := d.table.bySeq[id.Seq]
	foreign := r != nil && !r.mayComeFrom(worker)
	if !foreign {
		r = d.table.take(id.Seq)
	}
	d.mu.Unlock()
	if foreign {
		if count := d.foreign.add(time.Now()); count > 0 {
			d.bus.Log.Warn("outputs ignored: their requests were given to other workers", "count", count, "latest", worker, "request", id)
		}
		return nil
	}
	if r == nil {
		d.Late.Add(1)
	}
	return r
}

// take takes a request out for its answer; nil when it was answered before.
func (d *Door) take(id protocol.RequestID) *request {
	if id.Door != d.id {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.table.take(id.Seq)
	if r == nil {
		d.Late.Add(1)
	}
	return r
}

// watchDeadlines answers each request whose deadline comes first.
func (d *Door) watchDeadlines(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-d.wake:
		}
		for {
			d.mu.Lock()
			r, next, epoch := d.table.expired(time.Now()), d.table.next(), d.epoch
			d.watched = next
			d.mu.Unlock()
			if r == nil {
				if !next.IsZero() {
					timer.Reset(time.Until(next))
				}
				break
			}
			d.refuse(r, overdue(r, epoch))
		}
	}
}

// overdue says why a request has no answer at its deadline.
func overdue(r *request, epoch uint64) *protocol.Error {
	if epoch == 0 {
		return protocol.Errorf(protocol.SchedulerLost, "no scheduler was active when the deadline came")
	}
	refusal := protocol.Errorf(protocol.DeadlineExceeded, "no answer within %v", r.deadline.Sub(r.arrived))
	refusal.BudgetMS = milliseconds(r.deadline.Sub(r.arrived))
	return refusal
}
