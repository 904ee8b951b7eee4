package sched

import "clockwork/pkg/core/observe"

// Setup is what a core is made with.
type Setup struct {
	// Policy is a name that New knows, Config the core's configuration.
	Policy string
	Config Config
}

// Observer is shown the steps of cores (package observe); Observers are several.
type (
	Observer  = observe.Observer[Setup, Event, Output]
	Observers = observe.List[Setup, Event, Output]
)

// TermSetup is what a term is made with, and the core inside it.
type TermSetup struct {
	Setup
	Term TermConfig
}

// TermObserver is shown the steps of terms; TermObservers are several. The steps of the core
// inside follow from them; Term.Observe shows those.
type (
	TermObserver  = observe.Observer[TermSetup, TermEvent, TermOutput]
	TermObservers = observe.List[TermSetup, TermEvent, TermOutput]
)
