package frontdoor

import (
	"fmt"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// client is somebody with one request.
type client struct {
	number    uint64
	in        Inbound
	slo       time.Duration
	batch     int
	generated bool
	unread    *protocol.Error // what its message is no request for

	taken   bool   // a front door has read it
	excused string // why it may have no answer
	answers []answer
	// claimedBy is the keeper that took it out of the store; 0 for none.
	claimedBy uint64
}

// answer is what a client got, and from whom: 0 is a scheduler.
type answer struct {
	door uint64
	code protocol.Code
}

// payload is what the request's inputs are laid out to. It begins with whose it is.
func (c *client) payload() []byte {
	if c.generated {
		return nil
	}
	p := make([]byte, 8*c.batch)
	p[0], p[1] = byte(c.number), byte(c.number>>8)
	return p
}

// read is what decoding its message gives.
func (c *client) read(known bool) Decoded {
	d := Decoded{ClientID: fmt.Sprint(c.number), SLO: c.slo, Generated: c.generated}
	if c.number%2 == 0 {
		d.Encoding = protocol.JSON
	}
	if known {
		d.Payload, d.Batch = c.payload(), c.batch
	}
	return d
}

// demand has clients send, in bursts.
func (w *world) demand() {
	var next func()
	next = func() {
		if !w.faulty() {
			return
		}
		for range 1 + w.rng.IntN(6) {
			w.after(w.upTo(10*time.Millisecond), w.send)
		}
		w.after(w.upTo(60*time.Millisecond), next)
	}
	w.after(0, next)
}

// send has a client send a request; the broker chooses the front door.
func (w *world) send() {
	c := w.newClient()
	if d := w.someDoor(); d != nil {
		d.toDoor(func() { d.inbound(c) })
	}
}

func (w *world) newClient() *client {
	c := &client{number: uint64(len(w.order) + 1), batch: []int{1, 1, 1, 2, 2, 4}[w.rng.IntN(6)], generated: w.one(8)}
	if c.generated {
		c.batch = 1
	}
	c.slo = 20*time.Millisecond + w.upTo(200*time.Millisecond)
	if w.one(8) {
		c.slo += w.upTo(2 * time.Second)
	}
	tenant := []string{"", "alice", "bob", "carol", "dave"}[w.rng.IntN(5)]
	c.in = Inbound{Model: []string{"a", "a", "a", "b", "b", "never"}[w.rng.IntN(6)], Tenant: tenant, Bytes: 40 + w.rng.IntN(60), Slow: w.one(4)}
	c.in.Reply = w.inbox(c)
	if w.one(30) {
		c.unread = protocol.Refusal(protocol.InvalidInput)
	}
	switch w.rng.IntN(150) {
	case 0:
		c.in.Model = "no name"
	case 1:
		c.in.Tenant = "no name"
	}
	w.clients[c.in.Reply] = c
	w.order = append(w.order, c)
	return c
}

// inbox is where a client waits: most have one that is theirs by its name, some one of
// everybody's, and a few name what is not theirs.
func (w *world) inbox(c *client) string {
	tenant, role := c.in.Tenant, "client"
	switch w.rng.IntN(60) {
	case 0:
		return fmt.Sprintf("clockwork.scheduler.submit.%d", c.number)
	case 1:
		tenant = "eve"
	case 2, 3, 4, 5, 6, 7, 8, 9, 10, 11:
		return fmt.Sprintf("_INBOX.%d", c.number)
	}
	if tenant == "" {
		tenant = role
	}
	return fmt.Sprintf("_INBOX_%s.%s.%d", role, tenant, c.number)
}

// mayBeAnswered reports whether a request's answer may go where it says.
func (c *client) mayBeAnswered() bool {
	owner, owned := protocol.InboxOwner(c.in.Reply)
	return c.in.Reply[0] == '_' && (!owned || owner == c.in.Tenant)
}

// excuse says why a client may have no answer.
func (c *client) excuse(why string) {
	if c.excused == "" {
		c.excused = why
	}
}

// answered counts what arrives at a client: its one answer (G1).
func (w *world) answered(reply string, by uint64, code protocol.Code) {
	c := w.clients[reply]
	if c == nil || !c.mayBeAnswered() || !c.taken {
		w.failf("G1: %v of front door %d goes to %q, where nobody waits", code, by, reply)
	}
	w.happens(string(code))
	if len(c.answers) == 1 {
		w.happens("answered again")
	}
	c.answers = append(c.answers, answer{by, code})
	if len(c.answers) > 1 && !c.mayBeAnsweredAgain() {
		w.failf("G1: request %d has the answers %v", c.number, c.answers)
	}
}

// mayBeAnsweredAgain is the known way to more than one answer: another keeper of the
// startup buffer claimed the request just before it lost its office. The next one, which
// had seen it, answers STATE_UNAVAILABLE if the buffer is lost, or if its own claim had no
// word and the request is gone then.
func (c *client) mayBeAnsweredAgain() bool {
	sure := 0
	for i, a := range c.answers {
		if slices.ContainsFunc(c.answers[:i], func(o answer) bool { return o.door == a.door }) {
			return false
		}
		unsure := c.claimedBy != 0 && c.claimedBy != a.door
		if a.code != protocol.StateUnavailable || !unsure {
			sure++
		}
	}
	return sure <= 1
}

// checkEnd looks at a world in which all has been well for a while.
func (w *world) checkEnd() {
	for _, c := range w.order {
		if c.taken && c.mayBeAnswered() && c.excused == "" && len(c.answers) == 0 {
			w.failf("G1: request %d has no answer: %+v", c.number, c.in)
		}
	}
	for _, d := range w.doors {
		d.books.checkEnd()
		w.checkLimits(d)
	}
}

// checkLimits has one request of each tenant let in, where nobody has anything (G13).
func (w *world) checkLimits(d *door) {
	for i, tenant := range []string{"", "alice", "bob", "carol", "dave"} {
		reply := fmt.Sprintf("_INBOX.last.%d.%d", d.id, i)
		out := d.m.Step(w.now, &Inbound{Model: "a", Tenant: tenant, Reply: reply, Bytes: 100, Slow: true})
		if out.Admitted == nil {
			w.failf("G13: front door %d has nothing left to do, and refuses a request of %q: %v", d.id, tenant, out.Refused)
		}
		d.m.Step(w.now, &Undecoded{Request: out.Admitted, Fault: protocol.Refusal(protocol.InvalidInput)})
	}
}
