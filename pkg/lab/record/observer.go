package record

import (
	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/protocol"
)

// Observer is a sched.TermObserver that records the terms it is shown, one after the other.
type Observer struct {
	*Writer
	// Config is what the terms' cores are made with.
	Config policies.Config
	// Err is the first error; nothing is written after it.
	Err error
}

// Begin implements sched.TermObserver.
func (o *Observer) Begin(setup sched.TermSetup) {
	if o.Err == nil {
		o.Err = o.BeginTerm(setup.Policy, o.Config, setup.Term)
	}
}

// Step implements sched.TermObserver.
func (o *Observer) Step(now protocol.Time, e sched.TermEvent, out *sched.TermOutput) {
	if o.Err == nil {
		o.Err = o.Writer.Step(now, e, out)
	}
}
