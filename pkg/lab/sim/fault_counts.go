package sim

import "time"

// Happened counts what the faults of a run did.
type FaultCounts struct {
	// Lost, Doubled and Reordered are messages.
	Lost      int `json:"messages_lost"`
	Doubled   int `json:"messages_doubled"`
	Reordered int `json:"messages_reordered"`
	// Kills ended Voided actions that workers had, and Dropped messages for them.
	Kills   int `json:"kills"`
	Voided  int `json:"actions_voided"`
	Dropped int `json:"messages_dropped"`
	// Pauses let Held messages and ends of executions wait.
	Pauses int `json:"pauses"`
	Held   int `json:"events_held"`
	// Cuts lost Silenced messages.
	Cuts     int `json:"cuts"`
	Silenced int `json:"messages_cut_off"`
	// Slowdowns were there when Slowed actions began, Hangs when Stuck ones ran.
	Slowdowns int `json:"slowdowns"`
	Slowed    int `json:"actions_slowed"`
	Hangs     int `json:"hangs"`
	Stuck     int `json:"actions_stuck"`
	// Missed is how often the scheduler was told that a worker is lost, Joined
	// how often one came, at the beginning or again.
	Missed int `json:"workers_missed"`
	Joined int `json:"workers_joined"`
	// Failovers are losses of the scheduler: Resubmitted requests went to the next
	// one, among them those that Waited for any.
	Failovers   int `json:"failovers"`
	Resubmitted int `json:"requests_resubmitted"`
	Waited      int `json:"requests_waited"`
	// Restarts are the controller's.
	Restarts int `json:"controller_restarts"`
	// ClockError is the most that a worker was wrong about the scheduler's time.
	ClockError time.Duration `json:"clock_error_ns"`
}

// NamedCount is a count as people call it.
type NamedCount struct {
	Name  string
	Count int
}

// Counts lists what happened, always in the same order.
func (h FaultCounts) Counts() []NamedCount {
	return []NamedCount{
		{"messages lost", h.Lost}, {"messages doubled", h.Doubled}, {"messages reordered", h.Reordered},
		{"workers killed", h.Kills}, {"actions voided", h.Voided}, {"workers paused", h.Pauses}, {"workers cut off", h.Cuts},
		{"workers missed", h.Missed}, {"GPUs slow", h.Slowdowns}, {"actions slowed", h.Slowed}, {"GPUs hung", h.Hangs},
		{"actions stuck", h.Stuck}, {"schedulers lost", h.Failovers},
		{"requests submitted again", h.Resubmitted}, {"requests without one", h.Waited}, {"controller restarts", h.Restarts}, {"clock error, us", int(h.ClockError.Microseconds())},
	}
}
