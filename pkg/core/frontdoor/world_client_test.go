package frontdoor

import (
	"fmt"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// client sends one request and counts the answers.
type client struct {
	number    uint64
	in        Inbound
	inbox     string // where it is answered; a made-up name of one that is Direct
	slo       time.Duration
	batch     int
	generated bool
	unread    *protocol.Error // its message cannot be decoded

	taken   bool   // a front door received it
	excused string // why it may have no answer
	answers []answer
	// claimedBy is the owner that took it out of the store; 0 for none.
	claimedBy uint64
}

// answer is the code of an answer, and who sent it: 0 is a scheduler.
type answer struct {
	door uint64
	code protocol.Code
}

// payload is the request's input; it begins with the client's number.
func (c *client) payload() []byte {
	if c.generated {
		return nil
	}
	p := make([]byte, 8*c.batch)
	p[0], p[1] = byte(c.number), byte(c.number>>8)
	return p
}

// read is the decoded message.
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

// demand sends requests in bursts.
func (w *world) demand() {
	var next func()
	next = func() {
		if !w.faulty() {
			return
		}
		for range 1 + w.RNG.IntN(6) {
			w.After(w.UpTo(10*time.Millisecond), w.send)
		}
		w.After(w.UpTo(60*time.Millisecond), next)
	}
	w.After(0, next)
}

// send sends a request to a front door chosen by the broker.
func (w *world) send() {
	c := w.newClient()
	if c.in.Direct && len(w.frontDoors) == 0 {
		return // nobody listens
	} else if c.in.Direct {
		d := w.frontDoors[w.RNG.IntN(len(w.frontDoors))]
		w.After(w.Delay(), d.On(func() { d.inbound(c) }))
	} else if d := w.someFrontDoor(); d != nil {
		d.deliver(func() { d.inbound(c) })
	}
}

func (w *world) newClient() *client {
	c := &client{number: uint64(len(w.order) + 1), batch: []int{1, 1, 1, 2, 2, 4}[w.RNG.IntN(6)], generated: w.oneIn(8)}
	if c.generated {
		c.batch = 1
	}
	c.slo = 20*time.Millisecond + w.UpTo(200*time.Millisecond)
	if w.oneIn(8) {
		c.slo += w.UpTo(2 * time.Second)
	}
	tenant := []string{"", "alice", "bob", "carol", "dave"}[w.RNG.IntN(5)]
	c.in = Inbound{Model: []string{"a", "a", "a", "b", "b", "never"}[w.RNG.IntN(6)], Tenant: tenant, Bytes: 40 + w.RNG.IntN(60), Slow: w.oneIn(4)}
	c.in.Reply = w.inbox(c)
	c.inbox = c.in.Reply
	if w.oneIn(5) {
		c.in.Reply, c.in.Direct = "", true
		c.inbox = fmt.Sprintf("direct %d", c.number)
	}
	if w.oneIn(30) {
		c.unread = protocol.Refusal(protocol.InvalidInput)
	}
	switch w.RNG.IntN(150) {
	case 0:
		c.in.Model = "no name"
	case 1:
		c.in.Tenant = "no name"
	}
	w.clients[c.inbox] = c
	w.order = append(w.order, c)
	return c
}

// inbox is the reply subject: most clients have an inbox of their own, some a shared one,
// and a few name an inbox or subject that is not theirs.
func (w *world) inbox(c *client) string {
	tenant, role := c.in.Tenant, "client"
	switch w.RNG.IntN(60) {
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

// mayBeAnswered reports whether the reply subject is the client's.
func (c *client) mayBeAnswered() bool {
	owner, owned := protocol.InboxOwner(c.in.Reply)
	return c.in.Direct || c.in.Reply[0] == '_' && (!owned || owner == c.in.Tenant)
}

// clientOf is the client of a request.
func (w *world) clientOf(r *Request) *client {
	if c, direct := r.Driver.(*client); direct {
		return c
	}
	return w.clients[r.Reply]
}

// excuse allows that a client gets no answer.
func (c *client) excuse(why string) {
	if c.excused == "" {
		c.excused = why
	}
}

// answered counts an answer at its client (G1).
func (w *world) answered(reply string, by uint64, code protocol.Code) {
	c := w.clients[reply]
	if c == nil || !c.mayBeAnswered() || !c.taken {
		w.failf("G1: %v of front door %d goes to %q, where nobody waits", code, by, reply)
	}
	w.count(string(code))
	if len(c.answers) == 1 {
		w.count("answered again")
	}
	c.answers = append(c.answers, answer{by, code})
	if len(c.answers) > 1 && !c.mayBeAnsweredAgain() {
		w.failf("G1: request %d has the answers %v", c.number, c.answers)
	}
}

// mayBeAnsweredAgain is the known case of more than one answer: the previous owner of the
// startup buffer claimed the request in its last moments. The next owner had seen it, and
// answers STATE_UNAVAILABLE if the buffer is lost, or if its own claim gets no reply and the
// request is gone then.
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

// checkEnd checks a world after some time without faults.
func (w *world) checkEnd() {
	for _, c := range w.order {
		if c.taken && c.mayBeAnswered() && c.excused == "" && len(c.answers) == 0 {
			w.failf("G1: request %d has no answer: %+v", c.number, c.in)
		}
	}
	for _, d := range w.frontDoors {
		d.books.checkEnd()
		w.checkLimits(d)
	}
}

// checkLimits: with nothing in flight, a request of each tenant is admitted (G13).
func (w *world) checkLimits(d *frontDoor) {
	for i, tenant := range []string{"", "alice", "bob", "carol", "dave"} {
		reply := fmt.Sprintf("_INBOX.last.%d.%d", d.id, i)
		out := d.m.Step(w.Now, &Inbound{Model: "a", Tenant: tenant, Reply: reply, Bytes: 100, Slow: true})
		if out.Admitted == nil {
			w.failf("G13: front door %d has nothing left to do, and refuses a request of %q: %v", d.id, tenant, out.Refusal)
		}
		d.m.Step(w.Now, &Undecoded{Request: out.Admitted, Fault: protocol.Refusal(protocol.InvalidInput)})
	}
}
