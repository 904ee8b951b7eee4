package sched

import (
	"fmt"
	"strings"
	"time"

	"clockwork/pkg/core/estimate"
	"clockwork/pkg/protocol"
)

// Core is the scheduler's decision core under one policy.
type Core interface {
	// Step applies one event and returns the work to be done. If now is before the last
	// instant, the last instant counts. The event may be reused after Step; the Output
	// is valid until the next Step.
	Step(now protocol.Time, e Event) Output
	Stats() Stats
	// Capacity returns what requests can be executed on now. Unavailable returns the first of
	// the models that it counts as such, as many as a heartbeat holds; valid until the next Step.
	Capacity(now protocol.Time) protocol.Capacity
	Unavailable() []string
	// Quarantined returns the models whose requests are refused for their crashes, and for
	// how long yet: as many as a heartbeat holds, the latest.
	Quarantined(now protocol.Time) []protocol.QuarantinedModel
	// Snapshot writes the core's state after its last Step, and reuses the memory of an
	// earlier Snapshot.
	Snapshot(into *Snapshot)
	// Waits returns the reason that the core would give if it refused the request now;
	// false if the request does not wait.
	Waits(id protocol.RequestID) (Reason, bool)
	// String shows the state, for tests and debugging.
	String() string
}

// New makes the core of a policy that a scheduler service runs, one of Policies. It fails
// if the name is unknown or the configuration is out of range.
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
// is out of range. Laboratory policies use it.
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

// Policies returns the names that New accepts, sorted.
func Policies() []string { return []string{"clockwork", "echo", "faithful", "simple"} }

// Config configures a core. The zero value is not valid; take Defaults.
type Config struct {
	// Outstanding bounds the Infer actions without a result of one GPU, under policy
	// simple; default 3.
	Outstanding int
	// MaxQueued bounds the waiting requests; default 100,000. Further ones are
	// refused OVERLOADED.
	MaxQueued int
	// Attempts is how often a request (or the load of its model) is tried
	// before a failure is final; default 3. The loss of its worker, or of a
	// result, does not count as a failure of the request.
	Attempts int
	// Lag is how much longer than planned a result may take before it counts
	// as lost; default 500 ms.
	Lag time.Duration
	// LoadWindow is how long a LoadWeights or EvictWeights may wait at the
	// worker before it begins; default 1 s.
	LoadWindow time.Duration
	// EvictRetry is the pause after an eviction that failed; default 10 ms.
	EvictRetry time.Duration
	// MaxInbound is the bytes of inputs on their way to a worker from which on it gets no
	// further Infer (inbound.go), 0 for no bound; default 256 MiB. One batch may exceed it.
	MaxInbound int64
	// QuarantineAfter is how many crashes of a model's executions within QuarantineWindow
	// quarantine the model for QuarantineFor (blame.go); defaults 3, 10 min, 1 min. With 0
	// no model is quarantined.
	QuarantineAfter                 int
	QuarantineWindow, QuarantineFor time.Duration
	// Estimate configures the estimates of durations.
	Estimate estimate.Config

	// The other fields are for the planner's policies.

	// DefaultSLO is C of the load priorities: the time in which a GPU's
	// outstanding work should be done; default 100 ms, at most 10 s.
	DefaultSLO time.Duration
	// Buffer is how long before its deadline a request should be done at the
	// GPU, at most a twentieth of its budget; default 5 ms.
	Buffer time.Duration
	// Ahead is how long before its planned begin work is sent; default 3 ms.
	Ahead time.Duration
	// Late is how much later than planned work may begin before its worker
	// refuses it; default 10 ms.
	Late time.Duration
	// Future is the least time from sending an action until it can begin, inputs
	// included; default 1 ms. Results may show that it takes longer (netdelay.go).
	Future time.Duration
	// Silent is how overdue a GPU's first result may be while the GPU still gets work;
	// default 10 ms.
	Silent time.Duration
	// MaxLoadBudget bounds the time for which a request counts as demand for a load;
	// default 25 ms.
	MaxLoadBudget time.Duration
	// MaxBatch (in items) and MaxExec leave out batch sizes that are larger or take
	// longer, the latter unless every model on the GPU can spare the time; the smallest
	// size always stays. Defaults 16 and 25 ms; 0 is no bound.
	MaxBatch int
	MaxExec  time.Duration
}

// Defaults returns the default of each field.
func Defaults() Config {
	return Config{
		Outstanding: 3, MaxQueued: 100_000, Attempts: 3,
		Lag: 500 * time.Millisecond, LoadWindow: time.Second, EvictRetry: 10 * time.Millisecond,
		MaxInbound:      256 << 20,
		QuarantineAfter: 3, QuarantineWindow: 10 * time.Minute, QuarantineFor: time.Minute,
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
		return fmt.Errorf("outstanding is %d; it must be at least 1", c.Outstanding)
	case c.MaxQueued < 1:
		return fmt.Errorf("max queued is %d; it must be at least 1", c.MaxQueued)
	case c.Attempts < 1:
		return fmt.Errorf("attempts is %d; it must be at least 1", c.Attempts)
	case c.MaxInbound < 0:
		return fmt.Errorf("max inbound is %d; it must not be negative", c.MaxInbound)
	case c.Lag <= 0 || c.LoadWindow <= 0 || c.EvictRetry <= 0:
		return fmt.Errorf("lag is %v, load window %v and evict retry %v; all must be positive", c.Lag, c.LoadWindow, c.EvictRetry)
	case c.QuarantineAfter < 0 || c.QuarantineAfter > maxQuarantineAfter:
		return fmt.Errorf("quarantine-after is %d; it must be from 0 to %d", c.QuarantineAfter, maxQuarantineAfter)
	case c.QuarantineAfter > 0 && (c.QuarantineWindow <= 0 || c.QuarantineFor <= 0):
		return fmt.Errorf("quarantine-window is %v and quarantine-for %v; both must be positive", c.QuarantineWindow, c.QuarantineFor)
	case c.DefaultSLO > 10*time.Second:
		return fmt.Errorf("default SLO is %v; it must be at most 10 s", c.DefaultSLO)
	case c.DefaultSLO <= 0 || c.Ahead <= 0 || c.Late <= 0 || c.MaxLoadBudget <= 0:
		return fmt.Errorf("default SLO is %v, ahead %v, late %v and max load budget %v; all must be positive", c.DefaultSLO, c.Ahead, c.Late, c.MaxLoadBudget)
	case c.Buffer < 0 || c.Future < 0 || c.Silent < 0 || c.MaxBatch < 0 || c.MaxExec < 0:
		return fmt.Errorf("buffer is %v, future %v, silent %v, max batch %d and max exec %v; none may be negative", c.Buffer, c.Future, c.Silent, c.MaxBatch, c.MaxExec)
	}
	return c.Estimate.Validate()
}

// Event is an input of Core.Step: one of the types in this file.
type Event interface{ event() }

// Activate begins an epoch. If the epoch is not above the present one, the event is
// ignored. Otherwise every request of the present epoch is refused SCHEDULER_LOST, and
// all state is replaced.
type Activate struct {
	// Epoch and Issuer (the random identity of this process) are in every action.
	Epoch, Issuer uint64
	// State has the models and profiles of the epoch, and workers that are there already.
	State protocol.ClockworkState
}

// Submit is a request; its deadline is now + Budget. If a request with this id has not
// ended, the event is ignored and counted (G8).
type Submit struct{ protocol.Submission }

// Result is a worker's result of an action.
type Result struct{ protocol.Result }

// WorkerJoined adds a worker, replaces an earlier incarnation of it, or updates the
// models in its host memory.
type WorkerJoined struct{ State protocol.WorkerState }

// WorkerLost removes a worker if it is this incarnation (0: any). Its requests are
// planned again.
type WorkerLost struct {
	ID string
	// Incarnation is the one that is lost; 0 for whichever is there.
	Incarnation uint64
}

// GPUHealth is what a worker's heartbeat says of its GPUs, by index; GPUs that are not in
// the list are well. It is ignored if it is of another incarnation.
type GPUHealth struct {
	ID          string
	Incarnation uint64
	// GPUs are by index; nil if all are well.
	GPUs []protocol.GPUBeat
}

// SetSwitched replaces the models of the epoch by those of another set. If the set's number is
// not above the present one's, or no epoch has begun, the event is ignored. Models of both sets
// keep their queues, copies and estimates. Requests that wait for a model that leaves are
// refused MODEL_RETIRED, those that execute end as ever, and its copies are evicted when they are
// idle. A model that returns from an earlier set is the same again.
type SetSwitched struct {
	// State has the number, models and profiles of the set, and what each worker that is
	// there has of it in host memory.
	State protocol.ClockworkState
}

// DoorLost removes the requests of a front door. Those that execute end without a reply.
type DoorLost struct{ Door uint64 }

// Answered says that a front door sends the answers to these requests now, by RequestID.Seq.
type Answered struct {
	Door uint64
	Seqs []uint64
}

// Withdraw reports that nobody waits any more for the answer to a request. If it waits, it is
// refused CANCELLED. If it is a member of an action, it goes on, since a batch without one of
// its inputs fails for all; it is not planned again. Any other is ignored.
type Withdraw struct{ ID protocol.RequestID }

// Tick reports only that time has passed, as Output.Wake requests.
type Tick struct{}

func (*Activate) event()     {}
func (*Submit) event()       {}
func (*Result) event()       {}
func (*WorkerJoined) event() {}
func (*WorkerLost) event()   {}
func (*GPUHealth) event()    {}
func (*DoorLost) event()     {}
func (*Answered) event()     {}
func (*Withdraw) event()     {}
func (*SetSwitched) event()  {}
func (*Tick) event()         {}

// Addressed is an action and the worker it is for.
type Addressed struct {
	Worker string
	Action protocol.Action
	// Plan is for displays and recordings; the decision does not use it.
	Plan Plan
}

// Plan is what a core expected when it sent an action.
type Plan struct {
	// Begin and End are the most likely times at the GPU. The times by which requests
	// are admitted are later, because they leave time for slow messages.
	Begin, End protocol.Time
	// Queued counts the requests that still waited for the model, Copies the resident
	// copies.
	Queued, Copies int
}

// Output is the work for the driver after one Step.
type Output struct {
	// Actions are in the order in which they were decided; Requests in them are valid until
	// the next step.
	Actions []Addressed
	// Dispatches are of kind ToWorker or Answer, Refusals of kind Refuse.
	Dispatches []protocol.Dispatch
	Refusals   []protocol.Dispatch
	// Reasons explain the Refusals, at the same indices, for displays and recordings.
	// The decision does not use them.
	Reasons []Reason
	// Late are the requests that a result ended after their budget, for displays.
	Late []Late
	// Unanswered are the actions whose results are awaited no longer. What they had to do
	// is planned again or refused; a result that comes all the same is only counted.
	Unanswered []Unanswered
	// Incidents are for logs and displays.
	Incidents []Incident
	// Wake is when the next Tick is due, Never for none. It replaces every earlier one.
	Wake protocol.Time
}

// Late is a request that was executed, and done after its budget. Why is WhySlow if its
// execution began in time for it and took longer than expected, WhySlowBefore if it began
// too late.
type Late struct {
	ID  protocol.RequestID
	Why Why
}

// Unanswered is an action without a result: overdue by far, or lost with its worker.
type Unanswered struct {
	Action protocol.ActionID
	// Lost: with its worker; otherwise its result is overdue.
	Lost bool
}

// Incident is something that operators are told.
type Incident struct {
	Kind IncidentKind
	// Worker and GPU are where it happened; Worker is "" for ModelQuarantined.
	Worker string
	GPU    int
	// Model and Requests are what was executed, and by how many requests.
	Model    string
	Requests int
	// For is how long a quarantine lasts.
	For time.Duration
}

// IncidentKind says what happened.
type IncidentKind uint8

// The incidents.
const (
	// ExecutionCrashed: an executor ended while it executed requests of a model.
	// ExecutionHung: an execution on a stalled GPU was given up. WorkerCrashed: a worker
	// was lost while it may have executed a request that had been blamed before.
	ExecutionCrashed IncidentKind = iota + 1
	ExecutionHung
	WorkerCrashed
	// GPUStalled: a GPU gets nothing done, and gets no work until GPUServes.
	GPUStalled
	GPUServes
	// ModelQuarantined: requests of the model are refused for a while.
	ModelQuarantined
)

// Stats count requests since the core was made, except for Queued and InFlight, which
// are the present numbers. Submitted = Succeeded + Refused + Answered + Withdrawn +
// Forgotten + Duplicates + Queued + InFlight.
type Stats struct {
	// Withdrawn counts requests whose clients went away before they were executed, Forgotten
	// those of lost front doors that ended without a result OK.
	Submitted, Succeeded, Refused, Answered, Withdrawn, Forgotten, Duplicates int
	// InFlight counts the requests that are members of an action.
	Queued, InFlight int
	// Replanned counts requests that were queued again after a failure, Strays results
	// of no outstanding action, Lost actions without a result.
	Replanned, Strays, Lost int
	// Crashes counts the executions that ended or hung a worker or an executor, as far as
	// that is known; Quarantines how often a model was quarantined.
	Crashes, Quarantines int
}

// echo answers every request at once, so that the time of the messages alone is measured.
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

func (c *echo) Stats() Stats                                          { return c.stats }
func (c *echo) Unavailable() []string                                 { return nil }
func (c *echo) Capacity(protocol.Time) protocol.Capacity              { return protocol.Capacity{GPUs: 1} } // itself: it answers without any GPU
func (c *echo) Quarantined(protocol.Time) []protocol.QuarantinedModel { return nil }
func (c *echo) Snapshot(into *Snapshot)                               { *into = Snapshot{} }
func (c *echo) Waits(protocol.RequestID) (r Reason, ok bool)          { return r, false }
func (c *echo) String() string                                        { return fmt.Sprintf("echo answered %d\n", c.stats.Answered) }
