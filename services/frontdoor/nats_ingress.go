package frontdoor

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// natsIngress hears clients on the broker, where front doors share the requests as a queue
// group.
type natsIngress struct {
	door  *FrontDoor
	lanes *bus.Lanes // nil before open
	lines []*line
	// Answers that are encoded beside other work: as many may wait as requests may be
	// decoded beside it, and as many are encoded at a time as large requests are decoded.
	slowAnswers, encoders chan struct{}
}

// line is the requests of one lane, which one goroutine takes.
type line struct {
	ingress *natsIngress
	taking  *nats.Subscription
	held    int // requests taken since the last flush
}

// maxHeld bounds the requests taken before they are submitted, so that the first
// of a burst does not wait for the last.
const maxHeld = 16

func newNATSIngress(d *FrontDoor, core *frontdoor.Config) *natsIngress {
	return &natsIngress{door: d, slowAnswers: make(chan struct{}, core.SlowSlots), encoders: make(chan struct{}, core.LargeSlots)}
}

func (n *natsIngress) open(ctx context.Context) (err error) {
	d := n.door
	if n.lanes, err = d.bus.OpenLanes(ctx); err != nil {
		return err
	}
	for _, lane := range n.lanes.All() {
		l := &line{ingress: n}
		if l.taking, err = lane.Subscribe(d.bus, "frontdoor", l.onInfer); err != nil {
			return err
		}
		n.lines = append(n.lines, l)
	}
	return nil
}

// drainWait bounds how long a stopping front door takes requests that its
// clients sent before.
const drainWait = 2 * time.Second

// drain ends the subscriptions to requests and waits until the pending ones are taken.
func (n *natsIngress) drain() {
	if n.lanes == nil {
		return
	}
	drained := make(chan struct{}, len(n.lines))
	for _, l := range n.lines {
		l.taking.SetClosedHandler(func(string) { drained <- struct{}{} })
		go func() { // a connection that looks for its broker takes seconds to answer
			if l.taking.Drain() != nil {
				drained <- struct{}{} // the broker is unreachable, and so are the requests
			}
		}()
	}
	end := time.After(drainWait)
	for range n.lines {
		select {
		case <-drained:
		case <-end:
			return
		}
	}
}

func (n *natsIngress) close() {
	if n.lanes != nil {
		n.lanes.Close()
	}
}

// onInfer takes a client's request.
func (l *line) onInfer(m *nats.Msg) {
	defer l.flushLast(m.Sub)
	d, r := l.ingress.door, l.ingress.take(m, l.held == 0)
	switch {
	case r == nil:
	case !r.Beside:
		d.read(r, false)
	case !d.work.Start(func() { d.read(r, true) }):
		d.undecoded(r, protocol.Refusal(protocol.ShuttingDown))
	}
}

// take passes a message to the core, and returns it as a request if it is admitted. first: of
// several, so that a connection that broke is looked for.
func (n *natsIngress) take(m *nats.Msg, first bool) *frontdoor.Request {
	d := n.door
	in := frontdoor.Inbound{Reply: m.Reply, Bytes: len(m.Data), Slow: wire.ReadsSlowly(m.Data)}
	in.Model, in.Tenant = d.bus.Subjects.Inferred(m.Subject)
	if d.bus.Subjects.Roles && protocol.IsRole(in.Tenant) {
		in.Asker, in.Tenant = in.Tenant, ""
	}
	x := &natsExchange{ingress: n, subject: m.Subject, reply: m.Reply, encoding: wire.EncodingOf(m.Data), header: m.Header, body: m.Data}
	r, ignored := d.admit(&in, x, m.Header, first)
	if ignored != frontdoor.NotIgnored {
		n.noteIgnored(ignored, m.Reply, in.Tenant)
	}
	return r
}

// noteIgnored logs ignored messages, whose replies would go to a subject that is
// not their client's.
func (n *natsIngress) noteIgnored(why frontdoor.Ignored, reply, tenant string) {
	if why == frontdoor.NoReply {
		return
	}
	switch why {
	case frontdoor.OthersInbox:
		n.door.bus.Notice(slog.LevelWarn, "requests ignored: their reply subject is another client's inbox", tenant, "client", tenant, "reply", reply)
	default:
		n.door.bus.Notice(slog.LevelWarn, "requests ignored: their reply subject is not a client's", "", "reply", reply)
	}
}

// flushLast sends the submissions if no further request of the subscription is
// pending, or if maxHeld is reached.
func (l *line) flushLast(sub *nats.Subscription) {
	l.held++
	if waiting, _, err := sub.Pending(); err != nil || waiting <= 1 || l.held >= maxHeld {
		l.held = 0
		l.ingress.door.submissions.Flush()
	}
}

// sendBeside sends an answer from a goroutine of its own. It does not where as many wait
// as may wait, or where this front door stops.
func (n *natsIngress) sendBeside(e frontdoor.Ended) bool {
	select {
	case n.slowAnswers <- struct{}{}:
	default:
		return false
	}
	started := n.door.work.Start(func() {
		n.encoders <- struct{}{}
		n.door.Send(&e)
		<-n.encoders
		<-n.slowAnswers
	})
	if !started {
		<-n.slowAnswers
	}
	return started
}

// natsExchange is a message on the broker, or one out of the startup buffer, and its reply.
type natsExchange struct {
	ingress        *natsIngress
	subject, reply string
	encoding       protocol.Encoding
	// header and body are the message's; nil for a request from the startup buffer.
	header nats.Header
	body   []byte
}

func (x *natsExchange) Subject() string {
	asked, _ := x.ingress.door.bus.Subjects.Asked(x.subject)
	return asked
}

// Read decodes a message, whose deadline may be in a header.
func (x *natsExchange) Read(spec *protocol.ModelSpec, known bool, e *frontdoor.Decoded) *protocol.Error {
	parameters, fault := decode(x.body, spec, known, e)
	if fault == nil {
		e.SLO, fault = frontdoor.ReadSLO(headerOf(x.header, protocol.TimeoutHeader), parameters, x.ingress.door.config.DefaultSLO)
	}
	return fault
}

// decode decodes a body. The model may be unknown so far.
func decode(body []byte, spec *protocol.ModelSpec, known bool, e *frontdoor.Decoded) (protocol.InferParameters, *protocol.Error) {
	in, fault := wire.DecodeInfer(body)
	if fault != nil {
		return in.Parameters, fault
	}
	e.Encoding = wire.EncodingOf(body)
	return in.Parameters, Fill(e, &in, spec, known)
}

// headerOf returns the value of a header, whose name may be in any case, as in HTTP: NATS
// keeps the case in which it was sent.
func headerOf(header nats.Header, name string) string {
	if value := header.Get(name); value != "" {
		return value
	}
	for key, values := range header {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// Refuse implements Exchange.
func (x *natsExchange) Refuse(refusal *protocol.Error) {
	x.publish(bus.ErrorReply(x.encoding, x.reply, refusal))
}

// End implements Exchange.
func (x *natsExchange) End(e frontdoor.Ended) {
	if !e.Slow || !x.ingress.sendBeside(e) {
		x.ingress.door.Send(&e)
	}
}

// Tensors implements Exchange.
func (x *natsExchange) Tensors(outputs []protocol.Tensor) []byte {
	if x.encoding == protocol.JSON {
		return wire.OutputsJSON(outputs)
	}
	return nil
}

// Append implements Exchange.
func (x *natsExchange) Append(dst []byte, r *protocol.InferResponse, tensors []byte) []byte {
	if x.encoding == protocol.JSON {
		return wire.AppendResponseJSON(dst, r, tensors)
	}
	return wire.AppendResponse(dst, x.encoding, r)
}

// Limit implements Exchange.
func (x *natsExchange) Limit() int64 { return x.ingress.door.bus.Payload.MaxPayload() }

// Respond sends a reply. A reply on the payload connection is claimed on both
// connections: there, because the reply must not overtake its claim; on Control,
// because a claim on the payload connection may overtake the submission.
func (x *natsExchange) Respond(e *frontdoor.Ended, body []byte) {
	m := &nats.Msg{Subject: x.reply, Data: body}
	if d := x.ingress.door; x.connection(m) != d.bus.Control {
		d.claim(x.connection(m), *e)
	}
	x.publish(m)
}

// largeReply is the size in bytes from which a reply uses the payload
// connection.
const largeReply = 16 << 10

// connection returns the connection for a reply.
func (x *natsExchange) connection(m *nats.Msg) *nats.Conn {
	if len(m.Data) > largeReply {
		return x.ingress.door.bus.Payload
	}
	return x.ingress.door.bus.Control
}

func (x *natsExchange) publish(m *nats.Msg) {
	if err := x.connection(m).PublishMsg(m); err != nil {
		x.ingress.door.bus.Notice(slog.LevelWarn, "reply not sent", "", "error", err) // the broker is unreachable; the client times out
	}
}
