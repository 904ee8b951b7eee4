package frontdoor

import (
	"fmt"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// stream is the startup buffer in the store.
type stream struct {
	w          *world
	generation int // number of losses
	last       uint64
	messages   []*message
	silent     protocol.Time // until then the store does not reply
	keeper     *frontDoor    // chosen by the controller
	watch      *bufferWatch
}

// message is a request in the stream. The first to delete it has claimed it.
type message struct {
	seq    uint64
	client *client // nil if no front door stored it
	reply  string
	model  string
	budget time.Duration
	at     protocol.Time
	gone   bool
}

// bytes are those of the message.
func (m *message) bytes() int {
	if m.client == nil {
		return 0
	}
	return m.client.in.Bytes
}

func (m *message) id() BufferedID { return BufferedID{Seq: m.seq, Stored: int64(m.at)} }

// maxStored bounds the stream.
const maxStored = 30

// bufferWatch is an owner's subscription. After a reconnect it resumes.
type bufferWatch struct {
	door       *frontDoor
	generation int
	sent, got  uint64 // last sequence number
	ended      bool
}

// store puts a request into the stream. A write without a reply is repeated under the same
// message id, so a fault means that the request is not stored.
func (s *stream) store(d *frontDoor, r *Request) {
	w := s.w
	var fault *protocol.Error
	ended := d.On(func() {
		d.owed--
		d.checkedStep(&Stored{r, fault})
		if fault != nil {
			d.reply(w.clientOf(r), fault.Code)
		}
	})
	w.After(w.Delay(), func() {
		switch {
		case !d.Connected || s.silent > w.Now:
			fault = protocol.Refusal(protocol.StateUnavailable)
		case len(s.messages) >= maxStored:
			fault = protocol.Refusal(protocol.BufferFull)
		default:
			s.put(&message{client: w.clients[r.Reply], reply: r.Reply, model: r.Name, budget: r.Deadline.Sub(r.Arrived)})
		}
		w.After(s.latency(), ended)
	})
}

// latency is how long the store takes to reply.
func (s *stream) latency() time.Duration {
	if s.w.oneIn(8) {
		return s.w.UpTo(400 * time.Millisecond)
	}
	return s.w.UpTo(5 * time.Millisecond)
}

func (s *stream) put(m *message) {
	s.last++
	m.seq, m.at = s.last, s.w.Now
	if s.w.oneIn(10) {
		m.budget = 0
	}
	s.messages = append(s.messages, m)
	s.pump()
}

// claim deletes a message for an owner; the reply may get lost.
func (s *stream) claim(d *frontDoor, c Claim) {
	w, m := s.w, c.Driver.(*message)
	if w.faulty() && w.oneIn(80) {
		w.After(s.latency(), s.lose)
	}
	e := &Claimed{BufferedID: c.BufferedID}
	ended := d.On(func() { s.claimed(d, e) })
	w.After(s.latency(), func() {
		e.Unknown = !d.Connected || s.silent > w.Now || w.faulty() && w.oneIn(12)
		if !m.gone && (!e.Unknown || d.Connected && w.oneIn(3)) {
			s.delete(d, m, e.Unknown)
			e.Mine = !e.Unknown
		}
		if e.Mine {
			s.read(m, c, e)
		}
		w.After(s.latency(), ended)
	})
}

func (s *stream) delete(d *frontDoor, m *message, unknown bool) {
	m.gone = true
	s.messages = slices.DeleteFunc(s.messages, func(o *message) bool { return o == m })
	if m.client != nil {
		m.client.claimedBy = d.id
		if unknown {
			m.client.excuse("nobody knows who claimed it")
		}
	}
}

func (s *stream) read(m *message, c Claim, e *Claimed) {
	if m.client == nil {
		e.Fault = protocol.Refusal(protocol.BadMessage)
		return
	}
	e.Read, e.Bytes, e.Fault = m.client.read(c.Known), m.client.in.Bytes, m.client.unread
}

func (s *stream) claimed(d *frontDoor, e *Claimed) {
	d.owed--
	switch {
	case e.Unknown:
		s.w.count("claim unknown")
	case !e.Mine:
		s.w.count("claim gone")
	}
	d.checkedStep(e)
}

// injectFaults draws a fault now and then.
func (s *stream) injectFaults() {
	w := s.w
	if !w.faulty() {
		return
	}
	switch n := w.RNG.IntN(30); {
	case n < 2:
		w.count("store silent")
		s.silent = w.Now.Add(w.UpTo(1500 * time.Millisecond))
	case n < 4:
		s.lose()
	case n < 8:
		s.intrude()
	}
}

// intrude stores a message that no front door would: its reply subject is a scheduler's.
func (s *stream) intrude() {
	s.put(&message{reply: fmt.Sprintf("clockwork.scheduler.submit.%d", s.w.Now), model: "a"})
}

// lose replaces the stream by an empty one, whose sequence numbers begin again. The owner
// hears of it after a while.
func (s *stream) lose() {
	w := s.w
	w.count("buffer lost")
	for _, m := range s.messages {
		m.gone = true
		if m.client != nil {
			m.client.excuse("the buffer was lost")
		}
	}
	numbers := min(s.last, 12)
	s.messages, s.last = nil, 0
	s.generation++
	for range numbers * uint64(w.RNG.IntN(2)) { // reuse the numbers soon
		s.intrude()
	}
	renewal := w.UpTo(300 * time.Millisecond)
	if w.oneIn(2) {
		renewal = w.UpTo(5 * time.Millisecond)
	}
	w.After(renewal, s.renew)
}

func (s *stream) renew() {
	old := s.watch
	if old == nil || old.generation == s.generation {
		return
	}
	s.watch = nil
	d := old.door
	d.On(func() {
		old.ended = true
		d.checkedStep(&BufferLost{})
		if s.keeper == d {
			s.begin(d)
		}
	})()
}

// changeOwner chooses another owner. The old one continues until it hears of it.
func (s *stream) changeKeeper() {
	w, old, watch := s.w, s.keeper, s.watch
	s.keeper, s.watch = w.someFrontDoor(), nil
	if old != nil && watch != nil {
		w.count("keeper changed")
		old.On(func() { watch.ended = true; old.checkedStep(&BufferReleased{}) })()
	}
	if d := s.keeper; d != nil {
		w.After(w.UpTo(200*time.Millisecond), d.On(func() {
			if s.keeper == d && s.watch == nil {
				s.begin(d)
			}
		}))
	}
}

// ownerGone handles the end of a front door.
func (s *stream) keeperGone(d *frontDoor) {
	if s.keeper == d {
		s.keeper, s.watch = nil, nil
	}
}

func (s *stream) begin(d *frontDoor) {
	s.watch = &bufferWatch{door: d, generation: s.generation}
	s.pump()
}

// resume continues the subscription after a reconnect.
func (s *stream) resume(d *frontDoor) {
	if s.watch != nil && s.watch.door == d {
		s.watch.sent = s.watch.got
		s.pump()
	}
}

// pump sends the owner new messages.
func (s *stream) pump() {
	v := s.watch
	if v == nil || v.generation != s.generation || !v.door.Connected {
		return
	}
	for _, m := range s.messages {
		if m.seq > v.sent {
			v.sent = m.seq
			v.door.deliver(func() { v.seen(m) }, func() { v.got = m.seq })
		}
	}
}

// seen gives the owner a message.
func (v *bufferWatch) seen(m *message) {
	d := v.door
	if v.ended {
		return
	}
	age := d.w.Now.Sub(m.at) + time.Duration(d.id%3)*20*time.Millisecond - 20*time.Millisecond
	d.checkedStep(&BufferSeen{BufferedID: m.id(), Model: m.model, Reply: m.reply, Budget: m.budget, Age: age, Bytes: m.bytes(), Driver: m})
}
