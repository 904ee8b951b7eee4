package work

import "clockwork/pkg/protocol"

// Observer is shown what workers are given and what they want done, by whoever
// drives them, between a step and its consequences. It keeps neither event nor
// output.
type Observer interface {
	// Begin says that a worker was made with this config; the steps after it are
	// its.
	Begin(Config)
	Step(now protocol.Time, e Event, out *Output)
}

// Observers are shown the same, in order.
type Observers []Observer

// Begin implements Observer.
func (l Observers) Begin(c Config) {
	for _, o := range l {
		o.Begin(c)
	}
}

// Step implements Observer.
func (l Observers) Step(now protocol.Time, e Event, out *Output) {
	for _, o := range l {
		o.Step(now, e, out)
	}
}
