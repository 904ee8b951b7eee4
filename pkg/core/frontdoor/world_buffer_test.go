package frontdoor

import (
	"fmt"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// stream is the startup buffer in the store, and who keeps it.
type stream struct {
	w          *world
	generation int // it was lost so often
	last       uint64
	messages   []*message
	silent     protocol.Time // until then the store does not say what it does
	keeper     *door         // whom the controller has keep it
	watch      *bufferWatch
}

// message is a request in the stream. Who deletes it first has claimed it.
type message struct {
	seq    uint64
	client *client // nil if somebody else wrote it
	reply  string
	model  string
	budget time.Duration
	at     protocol.Time
	gone   bool
}

func (m *message) id() BufferedID { return BufferedID{Seq: m.seq, Stored: int64(m.at)} }

// maxStored bounds the stream.
const maxStored = 30

// bufferWatch is a keeper's subscription. The broker goes on from what the keeper has.
type bufferWatch struct {
	door       *door
	generation int
	sent, got  uint64 // the last message
	ended      bool
}

// store puts a front door's request into the stream, and tells it what came of that.
// What was put there and not confirmed is put again, which changes nothing.
func (s *stream) store(d *door, r *Request) {
	w := s.w
	var fault *protocol.Error
	ended := d.on(func() {
		d.owed--
		d.heed(&Stored{r, fault})
		if fault != nil {
			d.reply(r.Reply, fault.Code)
		}
	})
	w.after(w.delay(), func() {
		switch {
		case !d.connected || s.silent > w.now:
			fault = protocol.Refusal(protocol.StateUnavailable)
		case len(s.messages) >= maxStored:
			fault = protocol.Refusal(protocol.BufferFull)
		default:
			s.put(&message{client: w.clients[r.Reply], reply: r.Reply, model: r.Name, budget: r.Deadline.Sub(r.Arrived)})
		}
		w.after(s.takes(), ended)
	})
}

// takes is how long the store needs for a word.
func (s *stream) takes() time.Duration {
	if s.w.one(8) {
		return s.w.upTo(400 * time.Millisecond)
	}
	return s.w.upTo(5 * time.Millisecond)
}

func (s *stream) put(m *message) {
	s.last++
	m.seq, m.at = s.last, s.w.now
	if s.w.one(10) {
		m.budget = 0
	}
	s.messages = append(s.messages, m)
	s.pump()
}

// claim deletes a message for a keeper, or does not, and may not say which.
func (s *stream) claim(d *door, c Claim) {
	w, m := s.w, c.Driver.(*message)
	if w.faulty() && w.one(80) {
		w.after(s.takes(), s.lose)
	}
	e := &Claimed{BufferedID: c.BufferedID}
	ended := d.on(func() { s.claimed(d, e) })
	w.after(s.takes(), func() {
		e.Unknown = !d.connected || s.silent > w.now || w.faulty() && w.one(12)
		if !m.gone && (!e.Unknown || d.connected && w.one(3)) {
			s.delete(d, m, e.Unknown)
			e.Mine = !e.Unknown
		}
		if e.Mine {
			s.read(m, c, e)
		}
		w.after(s.takes(), ended)
	})
}

func (s *stream) delete(d *door, m *message, unknown bool) {
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

func (s *stream) claimed(d *door, e *Claimed) {
	d.owed--
	switch {
	case e.Unknown:
		s.w.happens("claim unknown")
	case !e.Mine:
		s.w.happens("claim gone")
	}
	d.heed(e)
}

// trouble is what happens to the store now and then; somebody writes into the stream
// what no front door would.
func (s *stream) trouble() {
	w := s.w
	if !w.faulty() {
		return
	}
	switch n := w.rng.IntN(30); {
	case n < 2:
		w.happens("store silent")
		s.silent = w.now.Add(w.upTo(1500 * time.Millisecond))
	case n < 4:
		s.lose()
	case n < 8:
		s.intrude()
	}
}

// intrude puts a message into the stream whose answer would go to a scheduler.
func (s *stream) intrude() {
	s.put(&message{reply: fmt.Sprintf("clockwork.scheduler.submit.%d", s.w.nth), model: "a"})
}

// lose loses the stream: another one is made, with the same numbers, and the keeper is
// told after a while.
func (s *stream) lose() {
	w := s.w
	w.happens("buffer lost")
	for _, m := range s.messages {
		m.gone = true
		if m.client != nil {
			m.client.excuse("the buffer was lost")
		}
	}
	numbers := min(s.last, 12)
	s.messages, s.last = nil, 0
	s.generation++
	for range numbers * uint64(w.rng.IntN(2)) { // soon others have the same numbers
		s.intrude()
	}
	renewal := w.upTo(300 * time.Millisecond)
	if w.one(2) {
		renewal = w.upTo(5 * time.Millisecond)
	}
	w.after(renewal, s.renew)
}

func (s *stream) renew() {
	old := s.watch
	if old == nil || old.generation == s.generation {
		return
	}
	s.watch = nil
	d := old.door
	d.on(func() {
		old.ended = true
		d.heed(&BufferLost{})
		if s.keeper == d {
			s.begin(d)
		}
	})()
}

// changeKeeper has another front door keep the stream. The old one goes on until it
// hears of it.
func (s *stream) changeKeeper() {
	w, old, watch := s.w, s.keeper, s.watch
	s.keeper, s.watch = w.someDoor(), nil
	if old != nil && watch != nil {
		w.happens("keeper changed")
		old.on(func() { watch.ended = true; old.heed(&KeeperEnded{}) })()
	}
	if d := s.keeper; d != nil {
		w.after(w.upTo(200*time.Millisecond), d.on(func() {
			if s.keeper == d && s.watch == nil {
				s.begin(d)
			}
		}))
	}
}

// keeperGone takes note that a front door is no more.
func (s *stream) keeperGone(d *door) {
	if s.keeper == d {
		s.keeper, s.watch = nil, nil
	}
}

func (s *stream) begin(d *door) {
	s.watch = &bufferWatch{door: d, generation: s.generation}
	s.pump()
}

// goOn has the broker go on where a connection was lost.
func (s *stream) goOn(d *door) {
	if s.watch != nil && s.watch.door == d {
		s.watch.sent = s.watch.got
		s.pump()
	}
}

// pump sends the keeper what it was not sent yet.
func (s *stream) pump() {
	v := s.watch
	if v == nil || v.generation != s.generation || !v.door.connected {
		return
	}
	for _, m := range s.messages {
		if m.seq > v.sent {
			v.sent = m.seq
			v.door.toDoor(func() { v.seen(m) }, func() { v.got = m.seq })
		}
	}
}

// seen has the keeper take note of a message.
func (v *bufferWatch) seen(m *message) {
	d := v.door
	if v.ended {
		return
	}
	age := d.w.now.Sub(m.at) + time.Duration(d.id%3)*20*time.Millisecond - 20*time.Millisecond
	d.heed(&BufferSeen{BufferedID: m.id(), Model: m.model, Reply: m.reply, Budget: m.budget, Age: age, Driver: m})
}
