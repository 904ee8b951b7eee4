package sim

import "time"

// FaultCounts counts the effects of a run's faults.
type FaultCounts struct {
	// Lost, Doubled and Reordered count messages.
	Lost      int `json:"messages_lost"`
	Doubled   int `json:"messages_doubled"`
	Reordered int `json:"messages_reordered"`
	// Kills counts killed workers, Voided the actions they had, Dropped the messages
	// to dead workers.
	Kills   int `json:"kills"`
	Voided  int `json:"actions_voided"`
	Dropped int `json:"messages_dropped"`
	// Pauses counts paused workers, Held the messages and ends of executions that
	// they delayed.
	Pauses int `json:"pauses"`
	Held   int `json:"events_held"`
	// Cuts counts cut-off workers, Silenced the messages lost thereby.
	Cuts     int `json:"cuts"`
	Silenced int `json:"messages_cut_off"`
	// Slowdowns counts slow GPUs, Slowed the actions started on them. Hangs counts
	// hung GPUs, Stuck the actions running on them.
	Slowdowns int `json:"slowdowns"`
	Slowed    int `json:"actions_slowed"`
	Hangs     int `json:"hangs"`
	Stuck     int `json:"actions_stuck"`
	// Poisoned counts executions that ended their executor, Endless those that did not
	// end until it was ended.
	Poisoned int `json:"executors_ended"`
	Endless  int `json:"executions_endless"`
	// Missed counts reports to the scheduler of a lost worker, Joined those of a
	// worker that joined, at the start or again.
	Missed int `json:"workers_missed"`
	Joined int `json:"workers_joined"`
	// Failovers counts losses of the scheduler, Resubmitted the requests sent to the
	// next scheduler, Waited those that arrived without a scheduler.
	Failovers   int `json:"failovers"`
	Resubmitted int `json:"requests_resubmitted"`
	Waited      int `json:"requests_waited"`
	// Sleeps counts schedulers that stood still, TwoLed those of them whose lease a
	// standby took meanwhile, Resigned those that gave up when a worker obeyed another.
	Sleeps   int `json:"scheduler_sleeps"`
	TwoLed   int `json:"schedulers_two"`
	Resigned int `json:"schedulers_resigned"`
	// FrontDoors counts front doors that died or, DoorCuts, were cut off; Brokers restarts
	// of the broker; Owed the answers that the scheduler gave for lost front doors;
	// Unanswered the requests that had none: their front door or their connection was lost.
	FrontDoors int `json:"front_doors_lost"`
	DoorCuts   int `json:"front_doors_cut_off"`
	Brokers    int `json:"broker_restarts"`
	Owed       int `json:"requests_answered_for"`
	Unanswered int `json:"requests_unanswered"`
	// Restarts counts restarts of the controller.
	Restarts int `json:"controller_restarts"`
	// ClockError is the largest error of a worker about the scheduler's time.
	ClockError time.Duration `json:"clock_error_ns"`
}

// NamedCount is a count with its display name.
type NamedCount struct {
	Name  string
	Count int
}

// Counts lists the counts, always in the same order.
func (h FaultCounts) Counts() []NamedCount {
	return []NamedCount{
		{"messages lost", h.Lost}, {"messages doubled", h.Doubled}, {"messages reordered", h.Reordered},
		{"workers killed", h.Kills}, {"actions voided", h.Voided}, {"workers paused", h.Pauses}, {"workers cut off", h.Cuts},
		{"workers missed", h.Missed}, {"GPUs slow", h.Slowdowns}, {"actions slowed", h.Slowed}, {"GPUs hung", h.Hangs},
		{"actions stuck", h.Stuck}, {"executors ended", h.Poisoned}, {"executions endless", h.Endless}, {"schedulers lost", h.Failovers},
		{"requests submitted again", h.Resubmitted}, {"requests without one", h.Waited},
		{"front doors lost", h.FrontDoors}, {"broker restarts", h.Brokers}, {"answered for the lost", h.Owed}, {"never answered", h.Unanswered},
		{"schedulers paused", h.Sleeps}, {"schedulers beside another", h.TwoLed}, {"controller restarts", h.Restarts}, {"clock error, us", int(h.ClockError.Microseconds())},
	}
}
