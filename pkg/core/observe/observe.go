// Package observe shows the work of a core to those who watch it: recordings,
// telemetry, explanations. Whoever drives the core calls them, between a step and the
// execution of its output, under the lock of the core. The package decides nothing.
package observe

import "clockwork/pkg/protocol"

// Observer receives what cores of one kind are made with (C), each event (E) and what
// was decided on it (O). Event and output are valid until Step returns and must not be
// changed. An Observer takes little time and blocks on nothing.
type Observer[C, E, O any] interface {
	// Begin reports a new core; the steps that follow belong to it.
	Begin(C)
	Step(now protocol.Time, e E, out *O)
}

// List calls each of its observers, in order.
type List[C, E, O any] []Observer[C, E, O]

// Begin implements Observer.
func (l List[C, E, O]) Begin(c C) {
	for _, o := range l {
		o.Begin(c)
	}
}

// Step implements Observer.
func (l List[C, E, O]) Step(now protocol.Time, e E, out *O) {
	for _, o := range l {
		o.Step(now, e, out)
	}
}
