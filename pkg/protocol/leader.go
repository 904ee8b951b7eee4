package protocol

// Leader is what a message says about the lease of its sender. The terms of a service
// grow from one holder of its lease to the next, also when the store was lost in between.
// A receiver refuses a message of a lower term than the highest that it has seen of the
// same service: its sender has slept, or the message was held on its way, and another
// process leads since. The zero value claims no lease and is never refused.
//
// Schedulers have epochs instead: Action.Epoch.
type Leader struct {
	Service ServiceKind
	Term    uint64
}

// Terms are the highest terms that a receiver has seen of each service. The zero value
// has seen none.
type Terms struct{ controller, profiler uint64 }

// Admit notes the term of a message and reports whether the message is obeyed.
func (t *Terms) Admit(l Leader) bool {
	if !t.Obeyed(l) {
		return false
	}
	if seen := t.of(l.Service); seen != nil {
		*seen = max(*seen, l.Term)
	}
	return true
}

// Obeyed reports whether a message that was admitted earlier would be admitted now.
func (t *Terms) Obeyed(l Leader) bool {
	seen := t.of(l.Service)
	return seen == nil || l.Term == 0 || l.Term >= *seen
}

// of returns where the term of a service is kept, nil for a service without terms.
func (t *Terms) of(s ServiceKind) *uint64 {
	switch s {
	case Controller:
		return &t.controller
	case Profiler:
		return &t.profiler
	}
	return nil
}
