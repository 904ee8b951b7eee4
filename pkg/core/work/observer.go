package work

import "clockwork/pkg/protocol"

// Observer receives the inputs and outputs of workers from their driver, between a
// step and the execution of its output. An Observer must not keep the event or the
// output.
type Observer interface {
	// Begin reports a new worker with this config; the steps that follow belong to it.
	Begin(Config)
	Step(now protocol.Time, e Event, out *Output)
}

// Observers calls each Observer in order.
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
