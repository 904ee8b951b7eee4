package frontdoor

// largeInputs are the payloads that are sent alone, one after the other: writing one takes as
// long as the broker does not take it. A request whose payload comes too late is planned again,
// often many times before the payload could be sent once. So each request has at most one place
// in the queue, and its payload goes to the worker that it was given to last; what has its
// answer is not sent. Otherwise a burst that is larger than the network is fast would never end.
type largeInputs struct {
	// queue are requests by number, in the order in which they were dispatched first. Some
	// may have their answer. Those that have none are Request.inputWaits.
	queue []uint64
	// sending: Output.LargeInput was given out, and InputSent has not come.
	sending bool
	// next is the memory of Output.LargeInput.
	next Input
}

// sendInput has a request's payload sent to the worker that it is dispatched to.
func (m *Machine) sendInput(r *Request) {
	if len(r.Payload) <= m.config.LargeInput {
		m.out.Inputs = append(m.out.Inputs, Input{r.Worker, r})
		return
	}
	if !r.inputWaits {
		r.inputWaits = true
		m.large.queue = append(m.large.queue, r.ID.Seq)
	}
	m.nextLargeInput()
}

// inputSent goes on with the next large payload.
func (m *Machine) inputSent() {
	m.large.sending = false
	m.nextLargeInput()
}

// nextLargeInput gives out the first payload of the queue whose request has no answer, unless
// one is being sent.
func (m *Machine) nextLargeInput() {
	l := &m.large
	for len(l.queue) > 0 && !l.sending {
		r := m.table.bySeq[l.queue[0]]
		if l.queue = l.queue[1:]; r == nil {
			continue
		}
		r.inputWaits = false
		l.next, l.sending = Input{r.Worker, r}, true
		m.out.LargeInput = &l.next
	}
}
