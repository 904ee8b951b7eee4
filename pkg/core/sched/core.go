package sched

import (
	"fmt"
	"strings"
	"time"

	"clockwork/pkg/core/estimate"
	"clockwork/pkg/protocol"
)

// Core decides. Step takes one event at an instant and returns what to do now
// and when to be woken; a now before an earlier one counts as that one. The
// event may be used again after it, the Output until the next Step.
type Core interface {
	Step(now protocol.Time, e Event) Output
	Stats() Stats
	// Snapshot writes down how the core stands; it uses the memory of an earlier one.
	Snapshot(into *Snapshot)
	// Waits says what a request that waits would be refused for if it were now; false
	// of one that does not wait.
	Waits(id protocol.RequestID) (Reason, bool)
	// String draws the state for a person.
	String() string
}

// New makes the core of a policy that a scheduler service runs, one of Policies. It fails
// if the name is unknown or the configuration out of range.
func New(policy string, config Config) (Core, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("configure %s: %w", policy, err)
	}
	if o, ok := planners[policy]; ok {
		return newPlanner(o, config), nil
	}
	switch policy {
	case "simple":
		c := newEngine(config)
		c.decideBy(&simplePolicy{engine: c})
		return c, nil
	case "echo":
		return &echo{}, nil
	}
	return nil, fmt.Errorf("choose policy: none is called %q (%s)", policy, strings.Join(Policies(), ", "))
}

// NewPlanner makes the core of a planner with these rules. It fails if the configuration
// is out of range.
func NewPlanner(o Options, config Config) (Core, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("configure planner: %w", err)
	}
	return newPlanner(o, config), nil
}

func newPlanner(o Options, config Config) Core {
	c := newEngine(config)
	c.decideBy(newClockworkPolicy(c, o))
	return c
}

// Policies are the names that New knows, sorted.
func Policies() []string { return []string{"clockwork", "echo", "faithful", "simple"} }

// Config configures a core. The zero value is not valid; take Defaults.
type Config struct {
	// Outstanding is how many Infer actions a GPU has at most under policy
	// simple; default 3.
	Outstanding int
	// MaxQueued is how many requests wait at most; default 100,000. More are
	// refused OVERLOADED.
	MaxQueued int
	// Attempts is how often a request (or the load of its model) is tried
	// before a failure is final; default 3. The loss of its worker, or of a
	// result, is no failure of a request's.
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

	// The rest is for the policies that plan lanes.

	// DefaultSLO is C of the load priorities: the time in which a GPU's
	// outstanding work should be done; default 100 ms.
	DefaultSLO time.Duration
	// Buffer is how long before its deadline a request is to be done at the
	// GPU, at most a twentieth of its budget; default 5 ms.
	Buffer time.Duration
	// Ahead is how far ahead of its beginning work is sent; default 3 ms.
	Ahead time.Duration
	// Late is how much later than planned work may begin before its worker
	// refuses it; default 10 ms.
	Late time.Duration
	// Future is how long an action takes to its worker, and the inputs to follow
	// it, until results tell that it is more; default 1 ms.
	Future time.Duration
	// Silent is how overdue a GPU may be and still get work; default 10 ms.
	Silent time.Duration
	// MaxLoadBudget is how long a request counts as demand for a load at most;
	// default 25 ms.
	MaxLoadBudget time.Duration
	// MaxBatch and MaxExec leave out batch sizes that are larger or take
	// longer (unless every model on the GPU can spare the time); batch 1 always
	// stays. Defaults 16 and 25 ms; 0 is no bound.
	MaxBatch int
	MaxExec  time.Duration
}

// Defaults returns the default of each field.
func Defaults() Config {
	return Config{
		Outstanding: 3, MaxQueued: 100_000, Attempts: 3,
		Lag: 500 * time.Millisecond, LoadWindow: time.Second, EvictRetry: 10 * time.Millisecond,
		Estimate:   estimate.Defaults(),
		DefaultSLO: 100 * time.Millisecond, Buffer: 5 * time.Millisecond, Ahead: 3 * time.Millisecond,
		Late: 10 * time.Millisecond, Future: time.Millisecond, Silent: 10 * time.Millisecond, MaxLoadBudget: 25 * time.Millisecond,
		MaxBatch: 16, MaxExec: 25 * time.Millisecond,
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
	case c.DefaultSLO > 10*time.Second:
		return fmt.Errorf("validate default SLO: %v is more than 10 s", c.DefaultSLO)
	case c.DefaultSLO <= 0 || c.Ahead <= 0 || c.Late <= 0 || c.MaxLoadBudget <= 0:
		return fmt.Errorf("validate default SLO %v, ahead %v, late %v, max load budget %v: not all positive", c.DefaultSLO, c.Ahead, c.Late, c.MaxLoadBudget)
	case c.Buffer < 0 || c.Future < 0 || c.Silent < 0 || c.MaxBatch < 0 || c.MaxExec < 0:
		return fmt.Errorf("validate buffer %v, future %v, silent %v, max batch %d, max exec %v: negative", c.Buffer, c.Future, c.Silent, c.MaxBatch, c.MaxExec)
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

func (*Activate) event()     {}
func (*Submit) event()       {}
func (*Result) event()       {}
func (*WorkerJoined) event() {}
func (*WorkerLost) event()   {}
func (*DoorLost) event()     {}
func (*Tick) event()         {}

// Addressed is an action and the worker it is for.
type Addressed struct {
	Worker string
	Action protocol.Action
	// Plan is for those who watch; no part of the decision.
	Plan Plan
}

// Plan is what a core expected of an action: when it would begin and end at the GPU
// (what is promised to requests leaves more time), and then how many requests still waited for its model, of which so many
// copies could be used.
type Plan struct {
	Begin, End     protocol.Time
	Queued, Copies int
}

// Output is what a Step wants done. Dispatches are of kind ToWorker or Answer,
// Refusals of kind Refuse. Wake replaces every earlier one.
type Output struct {
	Actions    []Addressed
	Dispatches []protocol.Dispatch
	Refusals   []protocol.Dispatch
	// Reasons are those of a core's Refusals, one for each, for those who watch; no
	// part of the decision.
	Reasons []Reason
	Wake    protocol.Time
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
	s, ok := e.(*Submit)
	if !ok {
		return Output{Wake: protocol.Never}
	}
	c.stats.Submitted++
	c.stats.Answered++
	return Output{Dispatches: []protocol.Dispatch{{ID: s.ID, Kind: protocol.Answer}}, Wake: protocol.Never}
}

func (c *echo) Stats() Stats                                 { return c.stats }
func (c *echo) Snapshot(into *Snapshot)                      { *into = Snapshot{} }
func (c *echo) Waits(protocol.RequestID) (r Reason, ok bool) { return r, false }
func (c *echo) String() string                               { return fmt.Sprintf("echo answered %d\n", c.stats.Answered) }
