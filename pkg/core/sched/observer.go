package sched

import "clockwork/pkg/protocol"

// Observer watches cores work: it is told of each new core, and then of each event
// that the core is given and of what it decided on it. Event and output are valid
// until Step returns, and are not to be changed. Who owns the core calls it, under
// the same lock: it takes little time and blocks on nothing.
type Observer interface {
	Begin(policy string, config Config)
	Step(now protocol.Time, e Event, out *Output)
}

// Observers is a list of them that is one itself.
type Observers []Observer

// Begin implements Observer.
func (list Observers) Begin(policy string, config Config) {
	for _, o := range list {
		o.Begin(policy, config)
	}
}

// Step implements Observer.
func (list Observers) Step(now protocol.Time, e Event, out *Output) {
	for _, o := range list {
		o.Step(now, e, out)
	}
}
