package sched

import (
	"fmt"
	"time"

	"clockwork/pkg/estimate"
	"clockwork/pkg/protocol"
)

// Core decides. Step takes one event at an instant and returns what to do now
// and when to be woken; a now before an earlier one counts as that one. The
// Output belongs to the caller.
type Core interface {
	Step(now protocol.Time, e Event) Output
	Stats() Stats
	// String draws the state for a person.
	String() string
}

// New makes the core of a policy: "simple" or "echo".
func New(policy string, config Config) (Core, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("configure %s: %w", policy, err)
	}
	switch policy {
	case "simple":
		return newSimple(config), nil
	case "echo":
		return &echo{}, nil
	}
	return nil, fmt.Errorf("choose policy: none is called %q (simple, echo)", policy)
}

// Config configures a core. The zero value is not valid; take Defaults.
type Config struct {
	// Outstanding is how many Infer actions a GPU has at most; default 3.
	Outstanding int
	// MaxQueued is how many requests wait at most; default 100,000. More are
	// refused OVERLOADED.
	MaxQueued int
	// Attempts is how often a request (or the load of its model) is tried
	// before a failure is final; default 3.
	Attempts int
	// Lag is how much longer than planned a result may take before it counts
	// as lost; default 500 ms.
	Lag time.Duration
	// LoadWindow is how long a LoadWeights or EvictWeights may wait at the
	// worker; default 1 s.
	LoadWindow time.Duration
	// EvictRetry is the pause after an eviction that failed; default 10 ms.
	EvictRetry time.Duration
	// Estimate configures the estimates of durations.
	Estimate estimate.Config
}

// Defaults returns the default of each field.
func Defaults() Config {
	return Config{
		Outstanding: 3, MaxQueued: 100_000, Attempts: 3,
		Lag: 500 * time.Millisecond, LoadWindow: time.Second, EvictRetry: 10 * time.Millisecond,
		Estimate: estimate.Defaults(),
	}
}

// Validate reports the first field that is out of range.
func (c Config) Validate() error {
	switch {
	case c.Outstanding < 1:
		return fmt.Errorf("validate outstanding: %d is less than 1", c.Outstanding)
	case c.MaxQueued < 1:
		return fmt.Errorf("validate max queued: %d is less than 1", c.MaxQueued)
	case c.Attempts < 1:
		return fmt.Errorf("validate attempts: %d is less than 1", c.Attempts)
	case c.Lag <= 0 || c.LoadWindow <= 0 || c.EvictRetry <= 0:
		return fmt.Errorf("validate lag %v, load window %v, evict retry %v: not all positive", c.Lag, c.LoadWindow, c.EvictRetry)
	}
	return c.Estimate.Validate()
}

// Event is what can happen to a core.
type Event interface{ event() }

// Activate begins an epoch. One that is not above the present epoch is
// ignored; a higher one refuses all that is known with SCHEDULER_LOST and
// begins anew. Issuer is this process's random identity.
type Activate struct {
	Epoch, Issuer uint64
	State         protocol.ClockworkState
}

// Submit is a request; its deadline is now + Budget. An id that is still
// known is ignored and counted (G8).
type Submit struct{ protocol.Submission }

// Result is a worker's answer to an action.
type Result struct{ protocol.Result }

// WorkerJoined brings a worker, or its next incarnation.
type WorkerJoined struct{ State protocol.WorkerState }

// WorkerLost takes a worker away, if it still is this incarnation (0: any).
type WorkerLost struct {
	ID          string
	Incarnation uint64
}

// DoorLost forgets the requests of a front door; nobody waits for them.
type DoorLost struct{ Door uint64 }

// Tick says that the time asked for by Output.Wake has come.
type Tick struct{}

func (Activate) event()     {}
func (Submit) event()       {}
func (Result) event()       {}
func (WorkerJoined) event() {}
func (WorkerLost) event()   {}
func (DoorLost) event()     {}
func (Tick) event()         {}

// Addressed is an action and the worker it is for.
type Addressed struct {
	Worker string
	Action protocol.Action
}

// Output is what a Step wants done. Dispatches are of kind ToWorker or Answer,
// Refusals of kind Refuse. Wake replaces every earlier one.
type Output struct {
	Actions    []Addressed
	Dispatches []protocol.Dispatch
	Refusals   []protocol.Dispatch
	Wake       protocol.Time
}

// Stats count since the core was made, except Queued and InFlight, which are
// of now. Submitted = Succeeded + Refused + Answered + Forgotten + Duplicates
// + Queued + InFlight.
type Stats struct {
	Submitted, Succeeded, Refused, Answered, Forgotten, Duplicates int
	Queued, InFlight                                               int
	// Replanned counts requests put back after a failure; Strays results of no
	// known action; Lost actions without a result.
	Replanned, Strays, Lost int
}

// echo answers every request at once: it measures the way there and back.
type echo struct{ stats Stats }

// Step answers a Submit; other events do nothing.
func (c *echo) Step(_ protocol.Time, e Event) Output {
	s, ok := e.(Submit)
	if !ok {
		return Output{Wake: protocol.Never}
	}
	c.stats.Submitted++
	c.stats.Answered++
	return Output{Dispatches: []protocol.Dispatch{{ID: s.ID, Kind: protocol.Answer}}, Wake: protocol.Never}
}

func (c *echo) Stats() Stats   { return c.stats }
func (c *echo) String() string { return fmt.Sprintf("echo answered %d\n", c.stats.Answered) }
