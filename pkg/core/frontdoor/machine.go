package frontdoor

import (
	"fmt"
	"strings"
	"time"

	"clockwork/pkg/protocol"
)

// Machine is one front door. The zero value is not usable; see New.
//
// Invariants: a request is in exactly one of: being decoded, being stored, the table,
// asked, the startup buffer's claims, or ended; received = answered + left + in flight
// + stored, at every moment (G13).
type Machine struct {
	config Config
	// now is the time of the current step; it never goes back.
	now      protocol.Time
	admitted uint64 // how many were
	// seq is the number of the last accepted request, RequestID.Seq; it only grows.
	seq    uint64
	table  table
	large  largeInputs
	slow   slots // of requests that are decoded beside other work
	stores slots // of requests on their way into the startup buffer

	// models are those that the state names, by name; stage is the stack's as last seen.
	models map[string]protocol.ModelSpec
	stage  protocol.Stage
	schedulers

	stored []storedShare // in the order in which they end, by and large
	// openQueries are requests whose answer may be the scheduler's, by number, until it says
	// whose. They are in no other place.
	openQueries map[uint64]*Request
	connection  Connection   // as reported last
	breaks      uint64       // connections that broke, as far as they are dealt with
	down        bool         // the broker is not reached
	heldAnswers []heldAnswer // answers that wait until it is
	outage      time.Duration
	broken      uint64 // the epoch that was active when a connection broke
	buffer      buffer
	// counts and out are what Step returns and shows; out is used again by the next step.
	counts Counts
	out    Output
}

// Counts add up: Received = Answered + Left + in flight + being decoded or stored +
// Stored since the start, but for what the owner answers of others' requests. Late are
// outputs and words on requests that had their answer; Left late replies that were not
// sent, since the scheduler has answered or may have.
type Counts struct {
	Received, Answered, Late, Left int64
}

// New makes a front door that knows of no scheduler and no model.
func New(config Config) *Machine {
	return &Machine{
		config: config, table: newTable(&config), slow: newSlots(config.SlowSlots), stores: newSlots(config.StoreSlots),
		models: map[string]protocol.ModelSpec{}, schedulers: schedulers{actives: map[string]active{}},
		openQueries: map[uint64]*Request{}, connection: Connection{Up: true}, buffer: newBuffer(),
	}
}

// Step takes one event at an instant and returns what to do now. A now before an
// earlier one counts as that one.
func (m *Machine) Step(now protocol.Time, e Event) *Output {
	m.now = max(m.now, now)
	m.out.begin()
	switch e := e.(type) {
	case *Inbound:
		m.inbound(e)
	case *Decoded:
		m.decoded(e)
	case *Undecoded:
		m.releaseSlots(e.Request)
		m.reject(e.Request, e.Fault)
	case *ClientGone:
		m.clientGone(e.ID)
	case *Stored:
		m.storeEnded(e)
	case *Dispatched:
		m.dispatched(&e.Dispatch)
	case *OutputArrived:
		m.outputArrived(e)
	case *Unsent:
		m.unsent(e)
	case *InputSent:
		m.inputSent()
	case *StageSeen:
		m.stage = e.Stage
	case *ModelSeen:
		m.models[e.Spec.Name] = e.Spec
	case *ModelDropped:
		delete(m.models, e.Name)
	case *SchedulerBeat:
		m.schedulerBeat(e.Heartbeat)
	case *SchedulerLost:
		m.schedulerLost(e.Heartbeat)
	case *Connection:
		m.connectionSeen(*e)
	case *BufferSeen:
		m.bufferSeen(e)
	case *Claimed:
		m.claimed(e)
	case *BufferLost:
		m.bufferLost()
	case *BufferReleased:
		m.bufferReleased()
	case *Stop:
		m.stop()
	case *Tick:
		m.expire()
		m.repeatQueries()
	}
	m.keepBuffer()
	m.out.Wake = min(m.table.next(), m.nextQuery(), m.buffer.next(&m.config))
	return &m.out
}

// inbound checks what can be told without decoding a message, the cheapest first, and
// counts it in.
func (m *Machine) inbound(e *Inbound) {
	if m.out.Ignored = m.ignores(e); m.out.Ignored != NotIgnored {
		return
	}
	m.counts.Received++
	if refusal := m.Screen(e); refusal != nil {
		m.refuse(refusal)
		return
	}
	accepting := m.activated()
	spec, known := m.models[e.Model]
	m.forgetStored()
	share, fault := m.table.limits.Take(e.Tenant, e.Model, int64(e.Bytes), instant(m.now))
	if fault != nil {
		m.refuse(fault)
		return
	}
	r := &Request{Number: m.admitted + 1, Name: e.Model, Model: spec, Known: known, Reply: e.Reply, Tenant: e.Tenant, Bytes: e.Bytes,
		Arrived: m.now, share: share, accepting: accepting, direct: e.Direct}
	if e.Slow && !m.takeSlow(r) {
		m.table.limits.Return(share)
		m.refuse(protocol.Errorf(protocol.Overloaded, "too many JSON tensors are being decoded; send raw bytes (msgpack bin, or binary data over HTTP)"))
		return
	}
	m.admitted++
	m.out.Admitted = r
}

// Screen says why a message is refused whatever its size and its body are, nil if it depends
// on those. Nothing changes.
func (m *Machine) Screen(e *Inbound) *protocol.Error {
	_, known := m.models[e.Model]
	switch {
	case !protocol.ValidName(e.Model):
		return noName(e.Model)
	case e.Tenant != "" && !protocol.ValidName(e.Tenant):
		return protocol.Errorf(protocol.BadMessage, "the subject ends with %q, which is no client's name", e.Tenant)
	case m.activated() && !known:
		return unknown(e.Model)
	case e.Direct && !m.activated():
		return m.notActive()
	}
	return nil
}

// activationRetry is how long clients are told to wait before they ask again for a stack to be
// active. When that will be nobody knows: more models may be loaded.
const activationRetry = time.Second

// notActive says that nothing is served yet. The stage may be ACTIVE, but no scheduler was seen.
func (m *Machine) notActive() *protocol.Error {
	stage := max(m.stage, protocol.Querying)
	refusal := protocol.Errorf(protocol.NotActive, "the stack serves nothing yet: it is in stage %v; only requests on the broker wait for its activation", stage)
	if stage == protocol.Active {
		refusal.Message = "the stack serves nothing yet: no scheduler was active since this front door began"
	}
	refusal.Stage, refusal.RetryMS = stage.String(), protocol.Milliseconds(activationRetry)
	return refusal
}

// ignores says why a message gets no answer at all.
func (m *Machine) ignores(e *Inbound) Ignored {
	switch {
	case e.Direct:
		return NotIgnored
	case e.Reply == "":
		return NoReply
	case !m.config.Subjects.IsClients(e.Reply):
		return NoClientsInbox
	case !m.config.Subjects.MayAnswerInfer(e.asker(), e.Reply):
		return OthersInbox
	}
	return NotIgnored
}

// refuse answers a message that never became a request.
func (m *Machine) refuse(refusal *protocol.Error) {
	m.counts.Answered++
	m.out.Refusal = refusal
}

// reject refuses a request that was admitted, and gives back what it had.
func (m *Machine) reject(r *Request, refusal *protocol.Error) {
	m.table.limits.Return(r.share)
	m.out.Rejected = r
	m.refuse(refusal)
}

func noName(model string) *protocol.Error {
	refusal := protocol.Errorf(protocol.UnknownModel, "%q is no model's name: 1 to %d of a-z, 0-9, _ and -", model, protocol.MaxName)
	if name := protocol.Name(model); len(name) == len(model) && name != "" {
		refusal.Message += fmt.Sprintf("; a model from a directory of that name is called %q", name)
	}
	return refusal
}

func unknown(model string) *protocol.Error {
	return protocol.Errorf(protocol.UnknownModel, "no model is called %q", model)
}

func (m *Machine) takeSlow(r *Request) bool {
	n := 1
	if r.Bytes > m.config.LargeBody {
		n = m.config.LargeSlots
	}
	if !m.slow.take(r.Tenant, n) {
		return false
	}
	r.Beside, r.slots = true, n
	return true
}

func (m *Machine) releaseSlots(r *Request) {
	if r.slots > 0 {
		m.slow.giveBack(r.Tenant, r.slots)
		r.slots = 0
	}
}

// decoded serves a request, or has it stored until somebody can.
func (m *Machine) decoded(e *Decoded) {
	r := e.Request
	m.releaseSlots(r)
	m.fill(r, e)
	r.Deadline = r.Arrived.Add(e.SLO)
	if !r.accepting {
		m.store(r)
		return
	}
	if fault := m.accept(r); fault != nil {
		m.reject(r, fault)
	}
}

func (m *Machine) fill(r *Request, e *Decoded) {
	r.ClientID, r.Outputs, r.Encoding, r.Priority = e.ClientID, e.Outputs, e.Encoding, e.Priority
	r.Payload, r.Batch, r.Generated = e.Payload, e.Batch, e.Generated
}

// accept takes in a request that was checked, and submits it if there is a scheduler;
// without one it waits in the table for the next.
func (m *Machine) accept(r *Request) *protocol.Error {
	if n := int64(len(r.Payload)); n > m.config.MaxPayload {
		fault := protocol.Errorf(protocol.PayloadTooLarge, "the inputs have %d bytes, the broker carries %d", n, m.config.MaxPayload)
		fault.Got, fault.Limit = n, m.config.MaxPayload
		return fault
	}
	m.seq++
	r.ID = protocol.RequestID{Door: m.config.ID, Seq: m.seq}
	if fault := m.table.add(m.now, r); fault != nil {
		r.ID = protocol.RequestID{}
		return fault
	}
	r.breaks = m.breaks
	m.submit(r)
	return nil
}

// submit submits a request to the active scheduler. Without time left it is not submitted,
// since a submission without budget is a question; the next Tick answers it.
func (m *Machine) submit(r *Request) {
	if m.epoch == 0 || m.now >= r.Deadline {
		return
	}
	r.epoch = m.epoch
	m.out.Submit = append(m.out.Submit, r)
}

// store has a request put into the startup buffer. What can be seen to be wrong was
// refused; whether the model exists is known only at activation.
func (m *Machine) store(r *Request) {
	if !m.stores.take(r.Tenant, 1) {
		m.reject(r, protocol.Errorf(protocol.BufferFull, "too many concurrent writes to the startup buffer"))
		return
	}
	m.out.Store = r
}

// storedShare is what a request in the startup buffer has of the limits. Its owner
// answers it, so the front door that stored it does not hear when.
type storedShare struct {
	until   protocol.Time
	request *Request
}

// storeEnded counts a stored request until its time in the buffer is over, or until
// somebody serves.
func (m *Machine) storeEnded(e *Stored) {
	m.stores.giveBack(e.Request.Tenant, 1)
	if e.Fault != nil {
		m.reject(e.Request, e.Fault)
		return
	}
	m.stored = append(m.stored, storedShare{e.Request.Arrived.Add(m.config.BufferTimeout), e.Request})
}

func (m *Machine) forgetStored() {
	for len(m.stored) > 0 && (m.activated() || m.now >= m.stored[0].until) {
		m.table.limits.Return(m.stored[0].request.share)
		m.stored = m.stored[1:]
	}
}

// instant is a time for quotas, which count in time.Time.
func instant(t protocol.Time) time.Time { return time.Unix(0, int64(t)) }

// Open reports whether a request has no answer yet; a submission of one that has is
// not sent.
func (m *Machine) Open(seq uint64) bool { return m.Request(seq) != nil }

// Request returns a request that has no answer yet, nil if there is none.
func (m *Machine) Request(seq uint64) *Request {
	if r := m.table.bySeq[seq]; r != nil {
		return r
	}
	return m.openQueries[seq]
}

// Model returns a model that is served, or is about to be; UNKNOWN_MODEL if there is none.
func (m *Machine) Model(name string) (protocol.ModelSpec, *protocol.Error) {
	spec, known := m.models[name]
	switch {
	case !protocol.ValidName(name):
		return spec, noName(name)
	case !known:
		return spec, unknown(name)
	}
	return spec, nil
}

// ModelNames returns the names of all models, in no order.
func (m *Machine) ModelNames() []string {
	names := make([]string, 0, len(m.models))
	for name := range m.models {
		names = append(names, name)
	}
	return names
}

// Epoch is that of the active scheduler, 0 for none.
func (m *Machine) Epoch() uint64 { return m.epoch }

// Connection is how the connection to the broker stands, as the driver reported it last.
func (m *Machine) Connection() Connection { return m.connection }

// LastEpoch is that of the scheduler that was active last, 0 for none ever.
func (m *Machine) LastEpoch() uint64 { return m.latest }

// inFlight counts the requests without an answer, and the answers that were not sent yet.
func (m *Machine) inFlight() int {
	return len(m.table.bySeq) + len(m.openQueries) + len(m.heldAnswers)
}

// Heartbeat returns what the front door tells the other services. Taking says how its driver
// takes requests of clients. Without a stage it does not know what becomes of them.
func (m *Machine) Heartbeat(taking protocol.ServiceState) protocol.Heartbeat {
	h := protocol.Heartbeat{Incarnation: m.config.ID, Epoch: m.latest, State: taking, InFlight: m.inFlight()}
	if m.stage < protocol.Querying {
		h.State = protocol.FrontDoorClosed
	}
	return h
}

// Snapshot is a front door for those who watch it.
type Snapshot struct {
	Stage protocol.Stage
	Epoch uint64
	// Capacity is the active scheduler's.
	Capacity protocol.Capacity
	InFlight int
	// Bytes are those of the payloads in flight, EarlyBytes those of the outputs that wait
	// for the notice of their dispatch. Waiting are requests in the startup buffer, as far
	// as this front door keeps it.
	Bytes, EarlyBytes int64
	Waiting           int
	Models            int
	Counts
}

// Snapshot shows the front door at this moment.
func (m *Machine) Snapshot() Snapshot {
	return Snapshot{Stage: m.stage, Epoch: m.epoch, Capacity: m.capacity(), InFlight: m.inFlight(), Bytes: m.table.bytes,
		EarlyBytes: int64(m.table.early.taken), Waiting: m.buffer.len(), Models: len(m.models), Counts: m.counts}
}

// String draws the front door for a person.
func (m *Machine) String() string {
	var b strings.Builder
	s := m.Snapshot()
	fmt.Fprintf(&b, "front door %x: %v, epoch %d, %d models, %d in flight, %d waiting\n", m.config.ID, max(s.Stage, protocol.Querying), s.Epoch, s.Models, s.InFlight, s.Waiting)
	for _, r := range m.table.all() {
		fmt.Fprintf(&b, "  %d %s until %v, submitted to %d, at %s\n", r.ID.Seq, r.Model.Name, r.Deadline, r.epoch, r.Worker)
	}
	return b.String()
}
