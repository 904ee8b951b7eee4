package sched

import "clockwork/pkg/core/observe"

// Setup is what a core is made with.
type Setup struct {
	Policy string
	Config Config
}

// Observer is shown the steps of cores (package observe); Observers are several.
type (
	Observer  = observe.Observer[Setup, Event, Output]
	Observers = observe.List[Setup, Event, Output]
)
