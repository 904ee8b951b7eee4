package work

import (
	"time"

	"clockwork/pkg/protocol"
)

// Config is the identity of a worker, its GPUs and its limits. It does not change.
type Config struct {
	// Name identifies the worker, Incarnation this process of it. The caller sets both;
	// actions for another incarnation are refused STALE_INCARNATION.
	Name        string
	Incarnation uint64
	// Backend and BackendVersion are part of the key of profiles.
	Backend, BackendVersion string
	// GPUs are the worker's GPUs; an action names a GPU by its index. All have the same
	// PageSize.
	GPUs []GPU
	// GenerateInputs: requests without inputs run on generated inputs. False: they are
	// refused INVALID_INPUT.
	GenerateInputs bool
	// Ahead bounds how far in the future an action may begin; default 1 min. Later
	// ones are refused TOO_EARLY.
	Ahead time.Duration
	// MaxQueued bounds the actions that wait for one lane of one GPU; default 4096.
	// Further ones are refused NO_MEMORY.
	MaxQueued int
	// MaxInputs bounds the payloads that no action has claimed, default 65536.
	// MaxInputBytes bounds the bytes of all payloads, claimed or not, default 1 GiB.
	// Further payloads displace the oldest that no action has claimed, or are dropped. A
	// payload that is not claimed within InputWait, default 1 min, is dropped as well.
	MaxInputs     int
	MaxInputBytes int64
	InputWait     time.Duration
	// MaxModels bounds the models in host memory, each copy counted; default 65536.
	// MaxLoads bounds the loads without a result, default 256; further ones are refused
	// NO_MEMORY. ConcurrentLoads bounds the models being read from disk at the same
	// time, default 2; further loads wait.
	MaxModels, MaxLoads, ConcurrentLoads int
	// SlowLoad is how long a model is read before another may be read beside it, default
	// 10 s: a disk that hangs keeps nobody waiting whose model is on another. At most
	// ConcurrentLoads models are read beside slow ones.
	SlowLoad time.Duration
	// StallAfter is how much longer than expected an execution may take before its GPU
	// counts as stalled; default 250 ms.
	StallAfter time.Duration
	// Overdue says when an execution or a transfer counts as hung; default never.
	Overdue Overdue
	// RestartWithin is how long the executor after one that ended may take to be ready before
	// its start counts as hung, default 15 s; 0 for any time. After each that failed or hung
	// the next has twice as long, up to 8 times.
	RestartWithin time.Duration
	// MaxOutput bounds the output of one request, in bytes; default 8 MiB. An Infer
	// with a larger one is refused BACKEND_ERROR.
	MaxOutput int64
}

// GPU describes one GPU of the worker.
type GPU struct {
	UUID string
	// Type is part of the key of profiles: GPUs of one type run equally fast.
	Type string
	// Pages is the number of weight pages, PageSize their size in bytes.
	Pages    int
	PageSize int64
	// Processor is protocol.GPUState's.
	Processor string
}

// Defaults returns the default of each limit; the caller adds identity and GPUs.
func Defaults() Config {
	return Config{
		Ahead:           time.Minute,
		MaxQueued:       4096,
		MaxInputs:       65536,
		MaxInputBytes:   1 << 30,
		InputWait:       time.Minute,
		MaxModels:       65536,
		MaxLoads:        256,
		ConcurrentLoads: 2,
		SlowLoad:        10 * time.Second,
		StallAfter:      250 * time.Millisecond,
		RestartWithin:   15 * time.Second,
		MaxOutput:       8 << 20,
	}
}

// pageSize returns the size of a weight page in bytes, 0 without GPUs.
func (c *Config) pageSize() int64 {
	if len(c.GPUs) == 0 {
		return 0
	}
	return c.GPUs[0].PageSize
}

// Event is an input of Step: one of the types of event.go. A recording holds events as
// JSON: it names their order by Order.Number and leaves out the driver's own data.
type Event interface{ event() }

// Output is the work for the driver after one Step, in the order of its fields. It is
// valid until the next Step, which reuses its memory. Its JSON leaves out the driver's
// own data.
type Output struct {
	// Stage are Infers whose inputs are complete and must be copied to the device.
	Stage []*Order
	// Execute are Infers that begin now, at most one of each GPU.
	Execute []*Order
	// Fetch are Infers that succeeded and whose outputs must be copied back.
	Fetch []*Order
	// Transfer are LoadWeights, EvictWeights and parts of a ClearCache that begin
	// now, at most one of each GPU.
	Transfer []*Order
	// Overdue are orders that were output for Execute or Transfer and count as hung: the
	// driver ends the executor of their GPU, and then the orders.
	Overdue []*Order
	// HungStarts are GPUs whose next executor is still not ready: the driver ends what it
	// starts there, which is then reported as ExecutorLost, and starts another.
	HungStarts []HungStart
	// GivenUp are orders that were output for Read and whose time is over: the driver ends
	// what it does for them, and then the orders.
	GivenUp []*Order
	// Read are loads whose models must be read from disk now; at most
	// Config.ConcurrentLoads are outstanding, and as many slow ones.
	Read []*Order
	// Deliver are Infers whose outputs must be sent to the front doors, before their
	// results are sent to the issuer.
	Deliver []*Order
	// Release are Infers whose memory may be freed: their inputs are not read any more.
	Release []*Order
	// Close are models whose last copy was removed, and models that were read but not
	// kept. No order of them is left.
	Close []*Model
	// Results are the results of actions, in the order in which the actions ended, each
	// for the Issuer that it names. Ended are their orders, at the same indices.
	Results []protocol.Result
	Ended   []*Order
	// Again are the results to send of which no order is in Ended: results of actions
	// that arrived again, and results of GetWorkerState.
	Again []protocol.Result
	// Dropped are the requests whose payloads exceeded MaxInputs or MaxInputBytes.
	Dropped []protocol.RequestID
	// Loaded are the loads that succeeded in this step, for the log.
	Loaded []*Order
	// Stepped: the scheduler's clock or the local clock was stepped, and the offset
	// between them is being measured anew.
	Stepped bool
	// Renewed: the worker is another incarnation as of this step. The driver reports it at once.
	Renewed bool
	// ClockKnown: as of this step the offset to the clock of another epoch is known.
	// The driver reports it at once, because the scheduler waits for it.
	ClockKnown bool
	// Wake is when a Tick is due at the latest because of changes in this step; Never
	// for none. Earlier wakes stay due. A Tick returns the wake of all lanes.
	Wake protocol.Time
}

// HungStart is a GPU whose next executor had After to become ready, and did not.
type HungStart struct {
	GPU   int
	After time.Duration
}

// begin empties the output for the next step and keeps its memory.
func (o *Output) begin() {
	o.Stage, o.Execute, o.Fetch, o.Transfer, o.Read = o.Stage[:0], o.Execute[:0], o.Fetch[:0], o.Transfer[:0], o.Read[:0]
	o.Deliver, o.Release, o.Close, o.Results, o.Again = o.Deliver[:0], o.Release[:0], o.Close[:0], o.Results[:0], o.Again[:0]
	o.Ended, o.Overdue, o.GivenUp = o.Ended[:0], o.Overdue[:0], o.GivenUp[:0]
	o.HungStarts = o.HungStarts[:0]
	o.Dropped, o.Loaded = o.Dropped[:0], o.Loaded[:0]
	o.Stepped, o.ClockKnown, o.Renewed, o.Wake = false, false, false, protocol.Never
}
