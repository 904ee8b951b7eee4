package work

import "clockwork/pkg/core/observe"

// Observer is shown the steps of workers (package observe); Observers are several.
type (
	Observer  = observe.Observer[Config, Event, Output]
	Observers = observe.List[Config, Event, Output]
)
